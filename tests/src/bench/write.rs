//! Processor time that an UPDATE of 2 of 25 columns costs, on an attached table and on its plain twin, side by side in
//! one cluster and in turn.

use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::{machine, median};
use crate::Erp;
use crate::postgres::ADMIN;

const ROUNDS: usize = 9;
const UPDATES: usize = 3_000;

/// The same columns, defaults, checks and indexes; no trigger.
const TWIN: &str = "create table plain_quotes (like quotes including all);
    insert into plain_quotes select * from quotes;";

/// Runs the comparison and prints it.
pub async fn run() {
    println!(
        "write: {UPDATES} updates a round, {ROUNDS} rounds in turn, one client, prepared, fsync off; {}",
        machine()
    );
    let erp = Erp::attached().await;
    let client = erp.client(ADMIN).await;
    client.batch_execute(TWIN).await.expect("the plain twin is made");
    let quotes: Vec<Uuid> = client
        .query("select id from quotes", &[])
        .await
        .expect("quotes")
        .iter()
        .map(|row| row.get(0))
        .collect();
    let pid: i32 = client.query_one("select pg_backend_pid()", &[]).await.expect("a backend").get(0);
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        for (table, costs) in [("plain_quotes", &mut plain), ("quotes", &mut ours)] {
            let update = format!(
                "update {table} set shipping_amount = shipping_amount + 1, contact_name = $1 where id = $2"
            );
            let update = client.prepare(&update).await.expect("the update is prepared");
            let cost = measure(&client, &update, &quotes, pid, round).await;
            // The first round warms caches and compiles plans.
            if round > 0 {
                costs.push(cost);
            }
        }
        for vacuum in ["vacuum quotes", "vacuum plain_quotes"] {
            client.batch_execute(vacuum).await.expect("vacuum");
        }
        println!("  round {round} of {ROUNDS}");
    }
    let mut ratios: Vec<f64> = ours.iter().zip(&plain).map(|(ours, plain)| ours / plain).collect();
    let mut added: Vec<f64> = ours.iter().zip(&plain).map(|(ours, plain)| ours - plain).collect();
    println!("plain     {:6.1} us of processor per update", median(&mut plain));
    println!("attached  {:6.1} us", median(&mut ours));
    println!(
        "added     {:6.1} us, ratio {:.2} (medians of {ROUNDS} pairs)",
        median(&mut added),
        median(&mut ratios)
    );
}

/// Microseconds of the backend's processor time per update.
async fn measure(client: &Client, update: &Statement, quotes: &[Uuid], pid: i32, round: usize) -> f64 {
    let before = processor_time(pid);
    for turn in 0..UPDATES {
        let contact = format!("Contact {round} {turn}");
        let quote = &quotes[(turn * 7) % quotes.len()];
        let updated = client.execute(update, &[&contact, quote]).await.expect("an update");
        assert_eq!(updated, 1);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let spent = (processor_time(pid) - before) as f64;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let updates = UPDATES as f64;
    spent / 1_000.0 / updates
}

/// Nanoseconds that a process has run.
fn processor_time(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("the backend lives");
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .expect("schedstat begins with the time run")
}
