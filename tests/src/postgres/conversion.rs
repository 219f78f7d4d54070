//! `pg_createsubscriber`: a standby becomes a server of its own that subscribes to its primary.

use std::process::Command;

use tokio::task::spawn_blocking;
use xtask::cluster::STOP;
use xtask::program;

use super::{ADMIN, Postgres, start};

/// The publication that it makes on the primary.
pub const PUBLICATION: &str = "converted";
/// The subscription to it.
pub const SUBSCRIPTION: &str = "converting";

impl Postgres {
    /// Makes a subscriber of this standby for one database of its primary, and starts it; `None`, with a line that says so, before
    /// PostgreSQL 17.
    pub async fn into_subscriber(mut self, primary: &Self, database: &str) -> Option<Self> {
        let tool = self.cluster.bin.join("pg_createsubscriber");
        if !tool.exists() {
            println!("skipped: PostgreSQL has pg_createsubscriber since 17");
            return None;
        }
        let mut convert = Command::new(tool);
        convert.arg("--pgdata").arg(self.cluster.data()).arg("--socketdir").arg(&self.cluster.home);
        convert.arg("--publisher-server").arg(primary.url(database, ADMIN));
        convert.args(["--subscriber-username", ADMIN, "--database", database]);
        convert.arg(format!("--subscriber-port={}", self.cluster.port));
        convert.args(["--publication", PUBLICATION, "--subscription", SUBSCRIPTION]);
        convert.current_dir(&self.cluster.home);
        let converted = spawn_blocking(move || {
            self.server.stop(STOP, &|| false);
            program::capture(self.cluster.user.run(&mut convert))
                .unwrap_or_else(|failure| panic!("{failure}: {}", self.log()));
            self.server = start(&self.cluster);
            self
        });
        Some(converted.await.expect("the standby is converted"))
    }
}
