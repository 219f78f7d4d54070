//! What waking listeners costs the writers when a flush takes as long as on a cloud disk: 64 clients, one session that
//! listens, and PostgreSQL told to wait a millisecond before each flush.

use super::pgbench::Load;
use super::{QUIET, machine, median, peers};
use crate::listener::Listener;
use crate::postgres::{ADMIN, Postgres, Settings};
use crate::scratch::Scratch;

const CLIENTS: u32 = 64;
const ROUNDS: usize = 7;
const SECONDS: u32 = 3;
/// Every way to notify; the first is the measure of the others.
const WAYS: [(&str, &str); 3] = [
    ("off", "none: readers poll"),
    ("worker", "worker after the commit"),
    ("transaction", "inside the transaction"),
];

/// Runs the comparison and prints it.
pub async fn run() {
    println!("notify: {}; {CLIENTS} clients, a flush takes 1 ms, library preloaded, one listener", machine());
    let mut settings =
        Settings::preloaded(&QUIET).with(&[("commit_delay", "1000"), ("commit_siblings", "0")]);
    settings.durable = true;
    let server = Postgres::start_with(settings).await;
    let peer = peers::ours();
    let client = peers::prepare(&server, &peer).await;
    let listener = Listener::to("quote_events", &server.url(peer.name, ADMIN)).await;
    let scratch = Scratch::make("bench");
    let script = scratch.path().join("update.sql");
    std::fs::write(&script, peers::pgbench_script(peer.update)).expect("the script is written");
    let mut rates = [const { Vec::new() }; WAYS.len()];
    // The first round warms caches.
    for round in 0..=ROUNDS {
        client.batch_execute("vacuum quotes").await.expect("vacuum");
        for (rates, (way, _)) in rates.iter_mut().zip(WAYS) {
            let options = format!("-c quote_collab.notify={way}");
            let url = server.url(peer.name, ADMIN);
            let rate =
                Load { url, script: &script, clients: CLIENTS, seconds: SECONDS, options: &options }.run();
            if round > 0 {
                rates.push(rate);
            }
        }
        println!("  round {round} of {ROUNDS}");
    }
    drop(listener);
    report(&rates);
}

fn report(rates: &[Vec<f64>; WAYS.len()]) {
    println!("\n| wake-up | tps | share of none |\n|---|---|---|");
    for (own, (_, title)) in rates.iter().zip(WAYS) {
        let share = median(&mut own.iter().zip(&rates[0]).map(|(own, none)| own / none).collect::<Vec<_>>());
        println!("| {title} | {:.0} | {share:.2} |", median(&mut own.clone()));
    }
    println!("\nmedians of {ROUNDS} rounds of {SECONDS} s in turn");
}
