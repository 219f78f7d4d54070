//! What sealing takes from the writers: clients that saturate the machine, and one session that seals every second. Counted
//! as processor time, since the throughput of two runs differs by more than a seal costs.

use std::time::{Duration, Instant};

use super::pgbench::{self, Load};
use super::{QUIET, as_f64, machine, median, peers, processor};
use crate::postgres::{ADMIN, Postgres, Settings};
use crate::scratch::Scratch;
use crate::statement::backend;

const CLIENTS: u32 = 8;
const ROUNDS: usize = 7;
const SECONDS: u32 = 6;

/// Runs it and prints shares.
pub async fn run() {
    println!("seal: {}; {CLIENTS} clients, fsync off, one seal a second", machine());
    // Not preloaded, so that nobody else seals.
    let server = Postgres::start_with(Settings::default().with(&QUIET)).await;
    let peer = peers::ours();
    let client = peers::prepare(&server, &peer).await;
    let own = backend(&client).await;
    let scratch = Scratch::make("bench");
    let script = scratch.path().join("update.sql");
    std::fs::write(&script, peers::pgbench_script(peer.update)).expect("the script is written");
    let (mut shares, mut each, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        client.batch_execute("vacuum quotes").await.expect("vacuum");
        client.batch_execute("select seal_quote_history()").await.expect("a seal");
        let url = server.url(peer.name, ADMIN);
        let (options, script) = ("-c quote_collab.notify=off", script.clone());
        let load = std::thread::spawn(move || {
            Load { url, script: &script, clients: CLIENTS, seconds: SECONDS, options }.run()
        });
        let (mut writing, mut sealing, mut rows) = (0, 0, 0_i64);
        let begun = Instant::now();
        let end = begun + Duration::from_secs(u64::from(SECONDS) - 1);
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let writers = pgbench::backends(&client).await;
            let before = processor::time(own);
            rows +=
                client.query_one("select seal_quote_history()", &[]).await.expect("a seal").get::<_, i64>(0);
            sealing += processor::time(own) - before;
            // A writer's time only grows: what counts is the newest reading.
            writing = writing.max(writers.into_iter().map(processor::time).sum());
        }
        rates.push(load.join().expect("pgbench ends"));
        if round > 0 {
            shares.push(100.0 * as_f64(sealing) / as_f64(writing));
            each.push(as_f64(sealing) / 1_000.0 / as_f64(rows.unsigned_abs()));
        }
        println!("  round {round} of {ROUNDS}: {rows} rows sealed");
    }
    println!(
        "\n| tps | seal, us per row | seal, % of the writers' processor time |\n|---|---|---|\n| {:.0} | {:.2} | {:.1} |",
        median(&mut rates),
        median(&mut each),
        median(&mut shares)
    );
    println!("\nmedians of {ROUNDS} rounds of {SECONDS} s");
}
