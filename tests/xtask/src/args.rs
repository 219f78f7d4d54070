//! The command line.

use std::collections::VecDeque;

use xtask::failure::{Failure, Result};
use xtask::port::Port;

/// What `help` prints.
pub const HELP: &str = "\
cargo xtask up      build, then run PostgreSQL with the sample ERP, NATS and the gateway until Ctrl-C
    --pg-port N       port of PostgreSQL (PG_PORT; 54329)
    --nats-port N     port of NATS (NATS_PORT; 42229)
    --port N          port of the gateway (PORT; 3000)
    --embedded        run without NATS
    --detach          return when all is ready
    JWT_SECRET        key of the tokens (made up once when absent)
cargo xtask down    stop what `up --detach` started
    --purge           remove its data, too
cargo xtask test    prove everything against the real parts
    core|pg|e2e|lint  only this stage
    --filter NAME     only tests whose name contains NAME
    --pg 15,16,17,18  these versions of PostgreSQL in stage pg (15,18)
    QUOTE_COLLAB_SQLSMITH_QUERIES
                      how many queries SQLsmith makes up (3000, at most 50 seconds)
cargo xtask build   build the extension below target/extensions and the gateway
cargo xtask lint    formatting, clippy, compiling for PostgreSQL 14, cargo-deny where it is installed
cargo xtask bench [write|instructions|seal|notify|feed|resume|latency]
                    measure, with the real parts; prints medians
cargo xtask setup   install what is missing, and nothing else
    --run             only what `up` needs
";

/// The oldest and the newest version of PostgreSQL that we serve.
pub const VERSIONS: [u32; 2] = [15, 18];

/// One of our commands.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Run everything.
    Up(Up),
    /// Stop everything.
    Down {
        /// Remove the data.
        purge: bool,
    },
    /// Prove everything.
    Test {
        /// Only this stage.
        stage: Option<Stage>,
        /// Only tests with this in their name.
        filter: Option<String>,
        /// The versions of PostgreSQL that the extension is proved on.
        versions: Vec<u32>,
    },
    /// Build what `up` runs.
    Build,
    /// Measure.
    Bench {
        /// Only this measurement.
        what: Option<String>,
    },
    /// Install what is missing.
    Setup {
        /// Only what `up` needs.
        run_only: bool,
    },
    /// Print the help.
    Help,
}

/// Flags of `up`.
#[derive(Debug, PartialEq, Eq)]
pub struct Up {
    /// Port of PostgreSQL.
    pub pg_port: u16,
    /// Port of NATS.
    pub nats_port: u16,
    /// Port of the gateway.
    pub port: u16,
    /// Without NATS.
    pub embedded: bool,
    /// Return when ready.
    pub detach: bool,
}

impl Up {
    /// The ports that must be free.
    pub fn ports(&self) -> Vec<Port> {
        let mut ports = vec![
            Port { number: self.pg_port, server: "PostgreSQL", flag: "--pg-port", variable: "PG_PORT" },
            Port { number: self.port, server: "the gateway", flag: "--port", variable: "PORT" },
        ];
        if !self.embedded {
            ports.push(Port {
                number: self.nats_port,
                server: "NATS",
                flag: "--nats-port",
                variable: "NATS_PORT",
            });
        }
        ports
    }
}

/// A part of `test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Unit tests, without any server.
    Core,
    /// Promises of the extension: PostgreSQL alone.
    Pg,
    /// Promises of the whole: PostgreSQL, NATS, gateway, browser.
    E2e,
    /// Formatting and lints.
    Lint,
}

/// Reads the command line; `variable` looks up the environment.
pub fn parse(
    words: impl Iterator<Item = String>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Command> {
    // `--flag=value` is `--flag value`.
    let split = |word: String| match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => vec![flag.to_owned(), value.to_owned()],
        _ => vec![word],
    };
    let mut words: VecDeque<String> = words.flat_map(split).collect();
    let command = words.pop_front().unwrap_or_else(|| "help".to_owned());
    match command.as_str() {
        "up" => up(words, variable).map(Command::Up),
        "down" => flag(words, "--purge").map(|purge| Command::Down { purge }),
        "test" => test(words),
        "lint" => flag(words, "").map(|_| Command::Test {
            stage: Some(Stage::Lint),
            filter: None,
            versions: Vec::new(),
        }),
        "build" => flag(words, "").map(|_| Command::Build),
        "bench" => bench(words),
        "setup" => flag(words, "--run").map(|run_only| Command::Setup { run_only }),
        "help" | "--help" | "-h" => Ok(Command::Help),
        other => Err(Failure::Usage(format!("there is no command `{other}`"))),
    }
}

fn up(mut words: VecDeque<String>, variable: &dyn Fn(&str) -> Option<String>) -> Result<Up> {
    let default = |name: &str, port: u16| variable(name).map_or(Ok(port), |text| number(name, &text));
    let mut up = Up {
        pg_port: default("PG_PORT", 54_329)?,
        nats_port: default("NATS_PORT", 42_229)?,
        port: default("PORT", 3_000)?,
        embedded: false,
        detach: false,
    };
    while let Some(word) = words.pop_front() {
        match word.as_str() {
            "--pg-port" => up.pg_port = number(&word, &value(&mut words, &word)?)?,
            "--nats-port" => up.nats_port = number(&word, &value(&mut words, &word)?)?,
            "--port" => up.port = number(&word, &value(&mut words, &word)?)?,
            "--embedded" => up.embedded = true,
            "--detach" => up.detach = true,
            _ => return Err(unknown(&word)),
        }
    }
    Ok(up)
}

fn test(mut words: VecDeque<String>) -> Result<Command> {
    let (mut stage, mut filter, mut versions) = (None, None, VERSIONS.to_vec());
    while let Some(word) = words.pop_front() {
        match word.as_str() {
            "core" => stage = Some(Stage::Core),
            "pg" => stage = Some(Stage::Pg),
            "e2e" => stage = Some(Stage::E2e),
            "lint" => stage = Some(Stage::Lint),
            "--filter" => filter = Some(value(&mut words, &word)?),
            "--pg" => versions = read_versions(&value(&mut words, &word)?)?,
            _ => return Err(unknown(&word)),
        }
    }
    Ok(Command::Test { stage, filter, versions })
}

fn read_versions(list: &str) -> Result<Vec<u32>> {
    let known = |text: &str| text.parse().ok().filter(|version| (15..=18).contains(version));
    let wrong = |text| Failure::Usage(format!("--pg takes versions from 15 to 18, not `{text}`"));
    list.split(',').map(|text| known(text).ok_or_else(|| wrong(text))).collect()
}

fn bench(mut words: VecDeque<String>) -> Result<Command> {
    let what = words.pop_front();
    match (what.as_deref(), words.pop_front()) {
        (None | Some("write" | "instructions" | "seal" | "notify" | "feed" | "resume" | "latency"), None) => {
            Ok(Command::Bench { what })
        }
        (Some(_), Some(word)) => Err(unknown(&word)),
        (word, _) => Err(unknown(word.unwrap_or_default())),
    }
}

/// Whether the only flag of a command is given.
fn flag(words: VecDeque<String>, name: &str) -> Result<bool> {
    let mut given = false;
    for word in words {
        if word != name {
            return Err(unknown(&word));
        }
        given = true;
    }
    Ok(given)
}

fn value(words: &mut VecDeque<String>, flag: &str) -> Result<String> {
    words.pop_front().ok_or_else(|| Failure::Usage(format!("{flag} needs a value")))
}

fn number(name: &str, text: &str) -> Result<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Failure::Usage(format!("{name} is not a port: `{text}`"))),
    }
}

fn unknown(word: &str) -> Failure {
    Failure::Usage(format!("there is no `{word}` here"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(str::to_owned), &|name| (name == "PORT").then(|| "3100".to_owned()))
    }

    #[test]
    fn flag_wins_over_variable_wins_over_default() {
        let expected = Up { pg_port: 5555, nats_port: 42_229, port: 3100, embedded: true, detach: false };
        assert_eq!(read("up --pg-port=5555 --embedded").unwrap(), Command::Up(expected));
        let Command::Up(up) = read("up --port 3200").unwrap() else { panic!("up is up") };
        assert_eq!(up.port, 3200);
    }

    #[test]
    fn embedded_needs_no_port_for_nats() {
        let Command::Up(up) = read("up --embedded").unwrap() else { panic!("up is up") };
        assert!(up.ports().iter().all(|port| port.server != "NATS"));
    }

    #[test]
    fn test_takes_a_stage_and_a_filter() {
        let expected = |versions: &[u32]| Command::Test {
            stage: Some(Stage::Pg),
            filter: Some("history".to_owned()),
            versions: versions.to_vec(),
        };
        assert_eq!(read("test pg --filter history").unwrap(), expected(&VERSIONS));
        assert_eq!(read("test pg --filter history --pg 16,17").unwrap(), expected(&[16, 17]));
        assert!(read("test --pg 12").is_err());
    }

    #[test]
    fn what_we_do_not_know_is_named() {
        for (line, named) in
            [("upp", "upp"), ("up --quick", "--quick"), ("up --port 99999", "99999"), ("lint all", "all")]
        {
            let said = read(line).unwrap_err().to_string();
            assert!(said.contains(named), "{said}");
        }
    }
}
