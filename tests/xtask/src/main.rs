//! The two commands, `up` and `test`, and what belongs to them.

mod args;
mod artifact;
mod down;
mod env_file;
mod interrupt;
mod progress;
mod proof;
mod run_dir;
mod secrets;
mod setup;
mod stack;
mod up;
mod welcome;

use std::process::ExitCode;

use xtask::failure::Result;
use xtask::place::Place;

use crate::args::Command;
use crate::progress::Progress;
use crate::setup::Purpose;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let command = args::parse(std::env::args().skip(1), &|name| {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    })?;
    let place = Place::find()?;
    let progress = Progress::start();
    match command {
        Command::Up(options) => up::run(&place, &options, &progress),
        Command::Down { purge } => down::run(&place, purge, &progress),
        Command::Test { stage, filter, versions } => {
            proof::run(&place, stage, filter.as_deref(), &versions, &progress)
        }
        Command::Build => {
            artifact::all(&place, &setup::run(&place, Purpose::Run, &[], &progress)?, &progress)
        }
        Command::Bench { what } => proof::measure(&place, what.as_deref(), &progress),
        Command::Setup { run_only } => {
            let (purpose, versions): (_, &[u32]) =
                if run_only { (Purpose::Run, &[]) } else { (Purpose::Test, &args::VERSIONS) };
            setup::run(&place, purpose, versions, &progress)?;
            progress.step("nothing is missing");
            Ok(())
        }
        Command::Help => {
            print!("{}", args::HELP);
            Ok(())
        }
    }
}
