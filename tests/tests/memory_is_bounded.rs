//! How much memory the gateway needs does not depend on how much is waiting for it.

use quote_collab_tests::{Ledger, TENANT, World, ledger};

/// Of a gateway under an ordinary load, and a few reads of the relay.
const MOST_KILOBYTES: u64 = 150_000;

/// The largest resident set that a process has had.
fn peak_kilobytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_huge_values_is_relayed_in_little_memory() {
    let world = World::start().await;
    let admin = world.admin().await;
    let quotes = world.quotes_of(TENANT, 100).await;
    let ids: Vec<_> = quotes.iter().map(|quote| quote.id).collect();
    for letter in ["a", "b"] {
        let update = "update quotes set notes = repeat($1, 3000000) where id = any ($2)";
        admin.execute(update, &[&letter, &ids]).await.expect("an update of many");
    }
    let everything = Ledger::behind(&world, 0).await;
    let relayed = ledger::stream(world.nats(), everything.len()).await;
    assert_eq!(relayed.len(), everything.len());
    let peak = peak_kilobytes(world.gateway.process().pid());
    assert!(peak < MOST_KILOBYTES, "{peak} kB");
}
