//! pgbench: many clients that run one statement as fast as they can.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::{as_f64, processor};
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
        let output = self.command().output().expect("pgbench runs");
        self.rate(&output)
    }

    /// Microseconds of the backend's processor time per transaction of a single client, which runs on the same processor.
    /// `admin` is connected to the same database.
    pub async fn cost(&self, admin: &Client) -> f64 {
        let client =
            self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("pgbench runs");
        processor::bind(client.id().cast_signed());
        // Caches warm up, plans are made, and the session is over by which pgbench looks at the database first.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let backend = *backends(admin).await.first().expect("pgbench is connected");
        processor::bind(backend);
        let (begun, before) = (Instant::now(), processor::time(backend));
        tokio::time::sleep(Duration::from_secs(u64::from(self.seconds).saturating_sub(1))).await;
        let (seconds, spent) = (begun.elapsed().as_secs_f64(), processor::time(backend) - before);
        let output = client.wait_with_output().expect("pgbench ends");
        as_f64(spent) / 1_000.0 / (self.rate(&output) * seconds)
    }

    fn command(&self) -> Command {
        let mut pgbench = Command::new(built::server_programs().join("pgbench"));
        pgbench.args(["-n", "-M", "prepared", "-j", "2", "-T"]).arg(self.seconds.to_string());
        pgbench.arg("-c").arg(self.clients.to_string()).arg("-f").arg(self.script).arg(&self.url);
        pgbench.env("PGOPTIONS", self.options);
        pgbench
    }

    fn rate(&self, output: &Output) -> f64 {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("{}: {text} {}", self.url, String::from_utf8_lossy(&output.stderr)))
    }
}

/// The backends that serve pgbench in the database of a connection.
pub async fn backends(admin: &Client) -> Vec<i32> {
    const BACKENDS: &str = "select pid from pg_stat_activity where datname = current_database() and application_name = 'pgbench'";
    admin.query(BACKENDS, &[]).await.expect("backends are listed").iter().map(|row| row.get(0)).collect()
}
