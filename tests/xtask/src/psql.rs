//! The superuser's psql.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Result;
use crate::program;

/// Runs SQL as the superuser of one cluster.
#[derive(Debug, Clone)]
pub struct Psql {
    /// The program.
    pub program: PathBuf,
    /// Port of the cluster.
    pub port: u16,
    /// Password of the superuser, where one is asked for.
    pub password: Option<String>,
}

impl Psql {
    /// Runs statements, each in its own transaction, and returns the rows of the last one, columns separated by `|`.
    pub fn query(&self, database: &str, sql: &str) -> Result<String> {
        program::capture(self.command(database).args(["-c", sql]))
    }

    /// Runs a file in one transaction.
    pub fn file(&self, database: &str, file: &Path) -> Result<()> {
        program::capture(self.command(database).arg("--single-transaction").arg("-f").arg(file)).map(drop)
    }

    fn command(&self, database: &str) -> Command {
        let mut psql = Command::new(&self.program);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.arg("-p").arg(self.port.to_string()).arg("-d").arg(database);
        psql.env("PGCONNECT_TIMEOUT", "10").env_remove("PGOPTIONS").env_remove("PGSERVICE");
        if let Some(password) = &self.password {
            psql.env("PGPASSWORD", password);
        }
        psql
    }
}
