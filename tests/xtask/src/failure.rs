//! What can go wrong, said so that the reader knows what to do next.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command of this crate stopped.
#[derive(Debug)]
pub enum Failure {
    /// The command line is not one of ours.
    Usage(String),
    /// A program we ran ended with an error; `output` is what it last said.
    Program {
        /// The command line, without secrets.
        line: String,
        /// Exit code or signal.
        status: String,
        /// The end of its output; empty when the reader saw it already.
        output: String,
    },
    /// The operating system refused something.
    Io {
        /// What we were doing.
        doing: String,
        /// What it said.
        source: io::Error,
    },
    /// Something has to be there first; `hint` says how to get it.
    Missing {
        /// What is missing.
        what: String,
        /// The line to run.
        hint: String,
    },
    /// Somebody listens on a port we were told to use.
    PortTaken {
        /// The port.
        port: u16,
        /// The server that wanted it.
        server: &'static str,
        /// The flag that chooses another.
        flag: &'static str,
        /// The environment variable that does the same.
        variable: &'static str,
    },
    /// A bounded wait came to its end.
    TimedOut {
        /// What did not happen.
        what: String,
        /// How long we waited.
        waited: Duration,
        /// Where to look.
        log: PathBuf,
    },
    /// The system is not in a state in which the command makes sense.
    Refused(String),
}

impl Failure {
    /// Turns an I/O error into a failure that says what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> FmtResult {
        match self {
            Self::Usage(what) => write!(f, "{what}\nrun `cargo xtask help` for the commands and their flags"),
            Self::Program { line, status, output } if output.is_empty() => {
                write!(f, "`{line}` ended with {status}")
            }
            Self::Program { line, status, output } => write!(f, "`{line}` ended with {status}:\n{output}"),
            Self::Io { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Missing { what, hint } => {
                write!(f, "{what}; run\n\n    {hint}\n\nand then this command again")
            }
            Self::PortTaken { port, server, flag, variable } => write!(
                f,
                "port {port} is taken, and {server} needs it: stop what listens there, or choose another port \
                 with `{flag} <port>` or {variable}=<port>"
            ),
            Self::TimedOut { what, waited, log } => {
                write!(f, "{what} within {} s; its log is {}", waited.as_secs(), log.display())
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_port_names_port_server_and_flag() {
        let said =
            Failure::PortTaken { port: 54329, server: "PostgreSQL", flag: "--pg-port", variable: "PG_PORT" }
                .to_string();
        for part in ["54329", "PostgreSQL", "--pg-port", "PG_PORT="] {
            assert!(said.contains(part), "{part:?} is not in {said:?}");
        }
    }
}
