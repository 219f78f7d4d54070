//! `up`: everything, on ports that nobody else uses, until Ctrl-C.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::process::{Identity, last};

use crate::args::Up;
use crate::artifact;
use crate::env_file;
use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::setup::{self, Purpose};
use crate::stack::{SERVERS, Stack, pid_file, running};
use crate::welcome;

/// How soon Ctrl-C or the end of a server is noticed.
const WATCH: Duration = Duration::from_millis(50);

/// Name of our own pid file.
pub const SUPERVISOR: &str = "up";

/// Runs everything.
pub fn run(place: &Place, options: &Up, progress: &Progress) -> Result<()> {
    refuse_twice(place)?;
    for port in options.ports() {
        port.require_free()?;
    }
    let tools = setup::run(place, Purpose::Run, &[], progress)?;
    artifact::all(place, &tools, progress)?;
    fs::create_dir_all(&place.up).map_err(Failure::io(format!("make {}", place.up.display())))?;
    let interrupts = Interrupts::catch()?;
    let mut stack = Stack::plan(place, &tools, options)?;
    let ready =
        stack.start(place, &interrupts, progress).and_then(|()| announce(place, &stack, options, progress));
    let ended = match ready {
        Ok(()) if options.detach => return Ok(()),
        Ok(()) => supervise(place, &stack, &interrupts),
        Err(failure) => Err(failure),
    };
    stack.stop(&interrupts, progress);
    let _ = fs::remove_file(pid_file(&place.up, SUPERVISOR));
    ended
}

fn refuse_twice(place: &Place) -> Result<()> {
    let names = SERVERS.iter().map(|(name, _)| *name).chain([SUPERVISOR]);
    let alive: Vec<&str> = names.filter(|name| running(&place.up, name).is_some()).collect();
    if alive.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!("already up ({}): `cargo xtask down` stops it", alive.join(", "))))
}

fn announce(place: &Place, stack: &Stack, options: &Up, progress: &Progress) -> Result<()> {
    let variables = welcome::variables(stack)?;
    let file = place.up.join("env");
    env_file::write(&file, &variables)?;
    progress.step("ready");
    welcome::print(&file, &variables, options.detach);
    Ok(())
}

/// Waits for Ctrl-C, for `down` in another terminal, or for the end of a server.
fn supervise(place: &Place, stack: &Stack, interrupts: &Interrupts) -> Result<()> {
    if let Some(me) = i32::try_from(std::process::id()).ok().and_then(Identity::of) {
        me.write(&pid_file(&place.up, SUPERVISOR))?;
    }
    while !interrupts.requested() {
        if let Some((name, log)) = stack.fallen() {
            return Err(Failure::Refused(format!(
                "{name} ended; its log {} says:\n{}",
                log.display(),
                last(log)
            )));
        }
        sleep(WATCH);
    }
    Ok(())
}
