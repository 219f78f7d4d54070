//! What the relay's questions to PostgreSQL cost, with this release and with the one before it, in turn on one server: a wake-up with
//! one event, and the backlog of an outage.

use std::time::Instant;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::peers::{self, Peer};
use super::{QUIET, machine, median};
use crate::built;
use crate::postgres::{Postgres, Settings};

/// The release before this one, whose functions the library still serves, and this one: a title, a database, and what makes it.
const RELEASES: [(&str, &str, &str); 2] = [
    ("0.4.0", "bench_feed_before", "create extension quote_collab_ext version '0.4.0'"),
    ("this", "bench_feed_now", "create extension quote_collab_ext"),
];
const SCRIPT: &str = "quote_collab_ext--0.4.0.sql";
const WAKE_UPS: usize = 300;
const BACKLOG: i64 = 20_000;
/// Events of one read, as the relay takes them.
const PORTION: i64 = 4_000;
const ROUNDS: usize = 5;

/// One release in a database of its own.
struct Release {
    client: Client,
    epoch: i64,
    wake_ups: Vec<f64>,
    backlogs: Vec<f64>,
}

/// Runs it and prints medians.
pub async fn run() {
    println!("feed: {}; fsync off, autovacuum off", machine());
    let server = Postgres::start_with(Settings::default().with(&QUIET)).await;
    server.add_script(&built::place().releases().join(SCRIPT));
    let mut releases = Vec::new();
    for (title, name, setup) in RELEASES {
        let setup = vec![setup, "select attach_quote_collaboration()", "set quote_collab.notify = off"];
        releases.push(Release::prepare(&server, &Peer { name, title, setup, update: "" }).await);
    }
    for turn in 1..=WAKE_UPS {
        for release in &mut releases {
            release.wake_up(turn).await;
        }
    }
    for round in 1..=ROUNDS {
        for release in &mut releases {
            release.backlog().await;
        }
        println!("  backlog: round {round} of {ROUNDS}");
    }
    println!("\n| release | one wake-up, ms | backlog of {BACKLOG} transactions, ms |\n|---|---|---|");
    for (release, name) in releases.iter_mut().zip(RELEASES.map(|(title, _, _)| title)) {
        println!("| {name} | {:.2} | {:.0} |", median(&mut release.wake_ups), median(&mut release.backlogs));
    }
    println!(
        "\nmedians of {WAKE_UPS} wake-ups and {ROUNDS} backlogs, in turn; a batch cut and read, {PORTION} events at a time"
    );
}

impl Release {
    async fn prepare(server: &Postgres, peer: &Peer) -> Self {
        let client = peers::prepare(server, peer).await;
        let lease = "select quote_relay_lease('bench', interval '1 day')";
        let epoch = client.query_one(lease, &[]).await.expect("the lease").get(0);
        Self { client, epoch, wake_ups: Vec::new(), backlogs: Vec::new() }
    }

    async fn wake_up(&mut self, turn: usize) {
        let change = format!(
            "update quotes set shipping_amount = {turn}, contact_name = 'Ada {turn}' where id = quote({turn})"
        );
        self.client.batch_execute(&change).await.expect("a change");
        let took = self.copy().await;
        self.wake_ups.push(took);
    }

    async fn backlog(&mut self) {
        let change = format!(
            "do $$ begin for n in 1 .. {BACKLOG} loop
                 update quotes set shipping_amount = n, contact_name = 'n' || n where id = quote(1 + n % 10000); commit; end loop; end $$"
        );
        self.client.batch_execute(&change).await.expect("many changes");
        let took = self.copy().await;
        self.backlogs.push(took);
    }

    /// Cuts the next batch and reads it, asking as the gateway does; milliseconds.
    async fn copy(&self) -> f64 {
        let read = format!("select position, event::text from quote_relay_read($1, $2, {PORTION})");
        let begun = Instant::now();
        let opened =
            self.client.query_typed("select quote_relay_open_batch($1)", &[(&self.epoch, Type::INT8)]).await;
        let batch: i64 = opened.expect("a batch")[0].get(0);
        let mut position = 0_i64;
        loop {
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(&batch, Type::INT8), (&position, Type::INT8)];
            let events = self.client.query_typed(&read, &parameters).await.expect("events");
            let Some(last) = events.last() else { break };
            position = last.get(0);
            if i64::try_from(events.len()).unwrap_or(i64::MAX) < PORTION {
                break;
            }
        }
        begun.elapsed().as_secs_f64() * 1_000.0
    }
}
