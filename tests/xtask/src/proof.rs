//! `test`: the stages, in the order in which a mistake is cheapest to find.

use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use crate::args::Stage;
use crate::artifact;
use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::run_dir::RunDir;
use crate::setup::{self, Purpose, Tools};

/// Tests of the extension alone begin with this; every other file of `tests/tests` needs the whole stack.
const PG_TESTS: &str = "sql_";

/// Runs all stages, or one, and says at the end what failed.
pub fn run(place: &Place, stage: Option<Stage>, filter: Option<&str>, progress: &Progress) -> Result<()> {
    let purpose = if matches!(stage, Some(Stage::Core | Stage::Pg)) { Purpose::Run } else { Purpose::Test };
    let tools = setup::run(place, purpose, progress)?;
    let interrupts = Interrupts::catch()?;
    let wanted = |one: Stage| stage.is_none_or(|only| only == one);
    let mut outcomes = Vec::new();
    for (one, name) in [(Stage::Core, "core"), (Stage::Pg, "pg"), (Stage::E2e, "e2e"), (Stage::Lint, "lint")]
    {
        if !wanted(one) || interrupts.requested() {
            continue;
        }
        let begun = progress.seconds();
        let outcome = match one {
            Stage::Core => core(place, &tools, filter, progress),
            Stage::Pg | Stage::E2e => harness(place, &tools, one, filter, progress),
            Stage::Lint => lint(place, &tools, progress),
        };
        if let Err(failure) = &outcome {
            println!("{name}: {failure}");
        }
        outcomes.push((name, outcome.is_ok(), progress.seconds() - begun));
    }
    conclude(&outcomes, interrupts.requested(), progress)
}

/// The last line: every stage with its outcome and its time.
fn conclude(outcomes: &[(&str, bool, f64)], interrupted: bool, progress: &Progress) -> Result<()> {
    let each: Vec<String> = outcomes
        .iter()
        .map(|(name, passed, seconds)| {
            format!("{name} {} ({seconds:.0} s)", if *passed { "passed" } else { "FAILED" })
        })
        .collect();
    let failed = outcomes.iter().filter(|(_, passed, _)| !passed).count();
    progress.step(each.join(", "));
    match failed {
        _ if interrupted => Err(Failure::Refused("interrupted".to_owned())),
        0 => Ok(()),
        _ => Err(Failure::Refused(format!("{failed} of {} stages failed", outcomes.len()))),
    }
}

fn core(place: &Place, tools: &Tools, filter: Option<&str>, progress: &Progress) -> Result<()> {
    progress.step("unit tests of the core, the gateway and these commands");
    let mut cargo = cargo(place, tools);
    cargo.args([
        "test",
        "--quiet",
        "--no-fail-fast",
        "-p",
        "quote_collab_core",
        "-p",
        "quote_collab_gateway",
        "-p",
        "xtask",
    ]);
    program::run(filtered(&mut cargo, filter))
}

/// Runs the tests that start their own servers. They find what was built through their environment.
fn harness(
    place: &Place,
    tools: &Tools,
    stage: Stage,
    filter: Option<&str>,
    progress: &Progress,
) -> Result<()> {
    artifact::extension(place, tools, progress)?;
    let mut command = cargo(place, tools);
    command.args(["test", "--no-fail-fast", "-p", "quote_collab_tests"]);
    if stage == Stage::E2e {
        artifact::gateway(place, progress)?;
        command.arg("--lib").env("CHROMIUM", setup::chromium()?);
    }
    let files = test_files(&place.root.join("tests/tests"), stage)?;
    if files.is_empty() && stage == Stage::Pg {
        progress.step("there are no tests of the extension alone");
        return Ok(());
    }
    for file in &files {
        command.args(["--test", file]);
    }
    progress.step(format_args!("{} test files against the real parts", files.len()));
    let run_dir = RunDir::make()?;
    command.env("TMPDIR", run_dir.path());
    command.env("QUOTE_COLLAB_EXTENSION", place.extension()).env("QUOTE_COLLAB_GATEWAY", place.gateway());
    command.env("QUOTE_COLLAB_PG_CONFIG", &tools.pg_config).env("NATS_SERVER", &tools.nats);
    command.env("QUOTE_COLLAB_NODE_MODULES", place.clients().join("node_modules"));
    if let Some(nats) = &tools.newer_nats {
        command.env("NATS_SERVER_NEW", nats);
    }
    let outcome = program::run(filtered(&mut command, filter));
    let left = run_dir.sweep();
    if outcome.is_ok() && !left.is_empty() {
        return Err(Failure::Refused(format!("the tests left behind: {}", left.join(", "))));
    }
    outcome
}

/// Names of the test files of a stage.
fn test_files(dir: &Path, stage: Stage) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).map_err(Failure::io(format!("read {}", dir.display())))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name.starts_with(PG_TESTS) == (stage == Stage::Pg))
        .collect();
    names.sort();
    Ok(names)
}

fn lint(place: &Place, tools: &Tools, progress: &Progress) -> Result<()> {
    progress.step("formatting");
    program::run(cargo(place, tools).args(["fmt", "--all", "--check"]))?;
    progress.step("clippy");
    program::run(cargo(place, tools).args([
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    if program::find("cargo-deny").is_none() {
        progress.step("skipped licences, bans and sources: cargo-deny is not installed");
        return Ok(());
    }
    progress.step("licences, bans and sources");
    program::run(cargo(place, tools).args(["deny", "--offline", "check", "licenses", "bans", "sources"]))
}

/// cargo in the clone, with the PostgreSQL that pgrx compiles against.
fn cargo(place: &Place, tools: &Tools) -> Command {
    let mut cargo = program::cargo(Path::new("cargo"));
    cargo.current_dir(&place.root).env("PGRX_HOME", &tools.pgrx_home);
    cargo
}

fn filtered<'a>(cargo: &'a mut Command, filter: Option<&str>) -> &'a mut Command {
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    cargo
}
