//! pgbench: many clients that run one statement as fast as they can.

use std::path::Path;
use std::process::Command;

use crate::built;

/// One kind of load.
#[derive(Debug)]
pub struct Load<'a> {
    /// Address of the database.
    pub url: String,
    /// What each transaction runs, in pgbench's language.
    pub script: &'a Path,
    /// How many clients.
    pub clients: u32,
    /// For how long.
    pub seconds: u32,
    /// Settings of the clients' sessions, as `PGOPTIONS` takes them.
    pub options: &'a str,
}

impl Load<'_> {
    /// Transactions per second, connecting not counted.
    #[must_use]
    pub fn run(&self) -> f64 {
        let mut pgbench = Command::new(built::server_programs().join("pgbench"));
        pgbench.args(["-n", "-M", "prepared", "-j", "2", "-T"]).arg(self.seconds.to_string());
        pgbench.arg("-c").arg(self.clients.to_string()).arg("-f").arg(self.script).arg(&self.url);
        let output = pgbench.env("PGOPTIONS", self.options).output().expect("pgbench runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("{}: {text} {}", self.url, String::from_utf8_lossy(&output.stderr)))
    }
}
