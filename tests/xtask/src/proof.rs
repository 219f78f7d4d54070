//! `test`: the stages, in the order in which a mistake is cheapest to find.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use xtask::cluster::copy_tree;
use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use crate::args::Stage;
use crate::artifact;
use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::run_dir::RunDir;
use crate::setup::servers::Server;
use crate::setup::{self, OLDEST, Purpose, Tools};

/// Tests of the extension alone begin with this; every other file of `tests/tests` needs the whole stack.
const PG_TESTS: &str = "sql_";

/// What the steps need.
struct Proof<'a> {
    place: &'a Place,
    tools: Tools,
    only: Option<Stage>,
    filter: Option<&'a str>,
    progress: &'a Progress,
}

/// A step: its name, the stages it belongs to, its work.
type Step = (&'static str, &'static [Stage], fn(&Proof<'_>) -> Result<()>);

const STEPS: [Step; 5] = [
    ("core", &[Stage::Core], |proof| proof.core()),
    (BUILD, &[Stage::Pg, Stage::E2e], |proof| proof.build()),
    ("pg", &[Stage::Pg], |proof| proof.each_server()),
    ("e2e", &[Stage::E2e], |proof| proof.whole()),
    ("lint", &[Stage::Lint], |proof| proof.lint()),
];

/// The step that the tests against real parts depend on.
const BUILD: &str = "build";

/// Runs all stages, or one, and says at the end what failed.
pub fn run(
    place: &Place,
    only: Option<Stage>,
    filter: Option<&str>,
    versions: &[u32],
    progress: &Progress,
) -> Result<()> {
    let purpose = match only {
        Some(Stage::Core) => Purpose::Run,
        Some(Stage::Pg) => Purpose::Extension,
        None | Some(Stage::E2e | Stage::Lint) => Purpose::Test,
    };
    let versions = if matches!(only, None | Some(Stage::Pg)) { versions } else { &[] };
    let tools = setup::run(place, purpose, versions, progress)?;
    let interrupts = Interrupts::catch()?;
    let proof = Proof { place, tools, only, filter, progress };
    let mut outcomes: Vec<(&str, bool, f64)> = Vec::new();
    for (name, stages, work) in STEPS {
        // Without its build a test would prove something about an older one.
        let is_built = outcomes.iter().all(|(name, passed, _)| *passed || *name != BUILD);
        let can_run = is_built || !stages.iter().any(|stage| matches!(stage, Stage::Pg | Stage::E2e));
        if !only.is_none_or(|only| stages.contains(&only)) || !can_run || interrupts.requested() {
            continue;
        }
        let begun = progress.seconds();
        let outcome = work(&proof);
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

/// Runs the measurements, or one, against what is built now.
pub fn measure(place: &Place, what: Option<&str>, progress: &Progress) -> Result<()> {
    let tools = setup::run(place, Purpose::Run, &[], progress)?;
    let proof = Proof { place, tools, only: None, filter: None, progress };
    proof.build()?;
    let run_dir = RunDir::make("bench")?;
    let mut cargo = proof.cargo();
    cargo
        .args(["run", "--quiet", "--release", "-p", "quote_collab_tests", "--bin", "bench", "--"])
        .args(what);
    proof.say_what_is_built(cargo.env("TMPDIR", run_dir.path()), &Server::of_debian());
    let outcome = program::run(&mut cargo);
    run_dir.sweep();
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

impl Proof<'_> {
    fn core(&self) -> Result<()> {
        self.progress.step("unit tests of the core, the gateway and these commands");
        let mut cargo = self.cargo();
        cargo.args(["test", "--quiet", "--no-fail-fast"]);
        cargo.args(["-p", "quote_collab_core", "-p", "quote_collab_gateway", "-p", "xtask"]);
        program::run(self.filtered(&mut cargo))
    }

    fn build(&self) -> Result<()> {
        match self.only {
            Some(Stage::Pg) => artifact::extension(self.place, &self.tools, self.progress),
            _ => artifact::all(self.place, &self.tools, self.progress),
        }
    }

    /// The tests of the extension alone, on as many versions of PostgreSQL at once as there are processors: they wait for
    /// servers as long as they compute.
    fn each_server(&self) -> Result<()> {
        let servers = &self.tools.servers;
        for server in servers.iter().filter(|server| server.tree.is_some()) {
            artifact::extension_for(self.place, &self.tools, server, self.progress)?;
        }
        let mut cargo = self.cargo();
        program::run(self.tests_of(Stage::Pg, &mut cargo)?.arg("--no-run"))?;
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let prove_next = || {
            while let Some(server) = servers.get(next.fetch_add(1, Ordering::Relaxed)) {
                let name = format!("PostgreSQL {}", server.version);
                self.progress.step(&name);
                if let Err(failure) = self.harness(Stage::Pg, server) {
                    println!("{name}: {failure}");
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                } else {
                    self.progress.step(format_args!("{name} passed"));
                }
            }
        };
        let at_once = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(servers.len());
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(prove_next);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner).as_slice() {
            [] => Ok(()),
            names => Err(Failure::Refused(format!("{} failed", names.join(", ")))),
        }
    }

    /// The tests of the whole, on Debian's PostgreSQL.
    fn whole(&self) -> Result<()> {
        self.progress.step("PostgreSQL, NATS, gateway and browser");
        self.harness(Stage::E2e, &Server::of_debian())
    }

    /// A copy of a server that is ours, with the extension in it, where the server's user can reach it.
    fn settle(&self, server: &Server, dir: &Path) -> Result<Server> {
        let Some(tree) = &server.tree else { return Ok(server.clone()) };
        copy_tree(tree, dir)?;
        program::run(Command::new("chmod").args(["-R", "a+rX"]).arg(dir))?;
        let copy = server.in_copy(dir).unwrap_or_else(|| server.clone());
        artifact::install(&self.place.extension_for(server.version), server, &copy)?;
        Ok(copy)
    }

    /// Runs the tests that start their own servers, and sees to it that they leave nothing.
    fn harness(&self, stage: Stage, server: &Server) -> Result<()> {
        let run_dir = RunDir::make(&format!("{stage:?}{}", server.version))?;
        let copy = run_dir.path().join("server");
        let settled = self.settle(server, &copy)?;
        let mut cargo = self.cargo();
        self.tests_of(stage, &mut cargo)?.env("TMPDIR", run_dir.path());
        if stage == Stage::E2e {
            cargo.env("CHROMIUM", setup::chromium()?);
        }
        self.say_what_is_built(&mut cargo, &settled);
        let cargo = self.filtered(&mut cargo);
        let outcome = match stage {
            Stage::Pg => program::run_marked(cargo, &format!("{} | ", server.version)),
            _ => program::run(cargo),
        };
        let _ = fs::remove_dir_all(&copy);
        let left = run_dir.sweep();
        if outcome.is_ok() && !left.is_empty() {
            return Err(Failure::Refused(format!("the tests left behind: {}", left.join(", "))));
        }
        outcome
    }

    /// Has cargo test the files of a stage.
    fn tests_of<'a>(&self, stage: Stage, cargo: &'a mut Command) -> Result<&'a mut Command> {
        let files = test_files(&self.place.root.join("tests/tests"), stage)?;
        cargo.args(["test", "--no-fail-fast", "-p", "quote_collab_tests"]);
        if stage == Stage::E2e {
            cargo.arg("--lib");
        }
        for file in &files {
            cargo.args(["--test", file]);
        }
        Ok(cargo)
    }

    /// The harness finds what it tests through its environment.
    fn say_what_is_built(&self, cargo: &mut Command, server: &Server) {
        cargo.env("QUOTE_COLLAB_EXTENSION", self.place.extension_for(server.version));
        cargo.env("QUOTE_COLLAB_GATEWAY", self.place.gateway());
        cargo.env("QUOTE_COLLAB_PG_CONFIG", &server.pg_config);
        cargo.env("QUOTE_COLLAB_NODE_MODULES", self.place.clients().join("node_modules"));
        let debian = Server::of_debian();
        if server.version > debian.version {
            cargo.env("QUOTE_COLLAB_OLDER_PG_CONFIG", &debian.pg_config);
            cargo.env("QUOTE_COLLAB_OLDER_EXTENSION", self.place.extension_for(debian.version));
        }
        cargo.env("NATS_SERVER", &self.tools.nats);
        if let Some(pgspot) = &self.tools.pgspot {
            cargo.env("QUOTE_COLLAB_PGSPOT", pgspot);
        }
        if let Some(nats) = &self.tools.newer_nats {
            cargo.env("NATS_SERVER_NEW", nats);
        }
    }

    fn lint(&self) -> Result<()> {
        self.progress.step("formatting");
        let formatted = program::run(self.cargo().args(["fmt", "--all", "--check"]));
        self.progress.step("clippy");
        let clippy = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
        program::run(self.cargo().args(clippy))?;
        formatted?;
        self.compile_for_oldest()?;
        if program::find("cargo-deny").is_none() {
            self.progress.step("skipped licences, bans and sources: cargo-deny is not installed");
            return Ok(());
        }
        self.progress.step("licences, bans and sources");
        program::run(self.cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]))
    }

    /// The oldest PostgreSQL that we keep compiling for has no server here any more. pgrx carries its bindings, as documentation
    /// is built with them.
    fn compile_for_oldest(&self) -> Result<()> {
        self.progress.step(format_args!("compiling for PostgreSQL {OLDEST}"));
        let mut cargo = self.cargo();
        cargo.env("CARGO_TARGET_DIR", self.place.target.join(format!("pg{OLDEST}")));
        cargo
            .env("DOCS_RS", "1")
            .env("RUSTC_WRAPPER", self.place.root.join("tests/xtask/src/carried_bindings.sh"));
        cargo.args(["check", "--quiet", "--package", "quote_collab_ext", "--no-default-features"]);
        program::run(cargo.args(["--features", &format!("pg{OLDEST}")]))
    }

    /// cargo in the clone, with the PostgreSQL that pgrx compiles against.
    fn cargo(&self) -> Command {
        let mut cargo = program::cargo(Path::new("cargo"));
        cargo.current_dir(&self.place.root).env("PGRX_HOME", &self.tools.pgrx_home);
        cargo
    }

    fn filtered<'a>(&self, cargo: &'a mut Command) -> &'a mut Command {
        if let Some(filter) = self.filter {
            cargo.args(["--", filter]);
        }
        cargo
    }
}
