//! What an UPDATE of 2 of 25 columns costs: plain, with us, and with the ways that others keep a history; side by side
//! in one cluster and in turn. Flushing is off: this is about processor time.

use std::path::{Path, PathBuf};

use tokio_postgres::Client;

use super::peers::{self, Peer};
use super::pgbench::Load;
use super::{QUIET, chart, machine, median};
use crate::postgres::{ADMIN, Postgres, Settings};
use crate::scratch::Scratch;

const ROUNDS: usize = 7;
const LOADS: [u32; 4] = [1, 8, 32, 64];
const LOAD_ROUNDS: usize = 3;
const LOAD_SECONDS: u32 = 3;

/// What was measured of one peer.
struct Measured {
    peer: Peer,
    client: Client,
    /// Microseconds of processor time per update.
    cpu: Vec<f64>,
    /// Transactions per second by number of clients.
    load: [Vec<f64>; LOADS.len()],
    /// One UPDATE and one COPY of 10,000 rows, before all that and after it.
    bulk: [Bulk; 2],
}

/// Milliseconds of both statements, and how long the history was before.
#[derive(Default)]
struct Bulk {
    history: i64,
    taken: [Vec<f64>; 2],
}

/// Runs the comparison, prints it and draws it.
pub async fn run() {
    println!("write: {} ; fsync off, autovacuum off, library preloaded", machine());
    let server = Postgres::start_with(Settings::preloaded(&QUIET)).await;
    let mut measured = Vec::new();
    for peer in peers::all() {
        measured.push(self::measured(&server, peer).await);
    }
    let scratch = Scratch::make("bench");
    bulk_rounds(&mut measured, 0).await;
    // The first round of each kind warms caches and compiles plans.
    for round in 0..=ROUNDS {
        for one in &mut measured {
            let cost = cost(&server, one, scratch.path()).await;
            if round > 0 {
                one.cpu.push(cost);
            }
        }
        println!("  one client: round {round} of {ROUNDS}");
    }
    for round in 0..LOAD_ROUNDS {
        for one in &mut measured {
            vacuum(one).await;
            for (place, clients) in LOADS.iter().enumerate() {
                one.load[place].push(load(&server, &one.peer, *clients, scratch.path()));
            }
        }
        println!("  1 to 64 clients: round {} of {LOAD_ROUNDS}", round + 1);
    }
    bulk_rounds(&mut measured, 1).await;
    report(&mut measured);
}

/// Both statements in turn, plain and ours. The first round warms caches.
async fn bulk_rounds(measured: &mut [Measured], time: usize) {
    for one in measured.iter_mut().filter(|one| one.peer.name == "bench_ours") {
        let history = one.client.query_one("select count(*) from quote_changes", &[]).await;
        one.bulk[time].history = history.expect("the history is counted").get(0);
    }
    for round in 0..=ROUNDS {
        for one in measured.iter_mut().filter(|one| ["bench_plain", "bench_ours"].contains(&one.peer.name)) {
            let taken = bulk(one, time * 1_000 + round).await;
            if round > 0 {
                one.bulk[time].taken.iter_mut().zip(taken).for_each(|(all, one)| all.push(one));
            }
        }
    }
    println!("  10,000 rows at once: done");
}

async fn measured(server: &Postgres, peer: Peer) -> Measured {
    let client = peers::prepare(server, &peer).await;
    Measured { peer, client, cpu: Vec::new(), load: Default::default(), bulk: Default::default() }
}

async fn vacuum(one: &Measured) {
    one.client.batch_execute("vacuum quotes, quote_lines").await.expect("vacuum");
}

/// Microseconds of the backend's processor time per update of a single client.
async fn cost(server: &Postgres, one: &Measured, dir: &Path) -> f64 {
    vacuum(one).await;
    let (url, script) = (server.url(one.peer.name, ADMIN), script(&one.peer, dir));
    Load { url, script: &script, clients: 1, seconds: LOAD_SECONDS, options: "" }.cost(&one.client).await
}

/// Transactions per second of pgbench.
fn load(server: &Postgres, peer: &Peer, clients: u32, dir: &Path) -> f64 {
    let (url, script) = (server.url(peer.name, ADMIN), script(peer, dir));
    Load { url, script: &script, clients, seconds: LOAD_SECONDS, options: "" }.run()
}

fn script(peer: &Peer, dir: &Path) -> PathBuf {
    let script = dir.join(format!("{}.sql", peer.name));
    std::fs::write(&script, peers::pgbench_script(peer.update)).expect("the script is written");
    script
}

/// Milliseconds of an UPDATE and of a COPY of 10,000 rows.
async fn bulk(one: &Measured, round: usize) -> [f64; 2] {
    let client = &one.client;
    vacuum(one).await;
    let file = format!("/tmp/quote-collab-bench-{}-{}.copy", std::process::id(), one.peer.name);
    let export = format!(
        "copy (select gen_random_uuid(), tenant_id, id, 5 + {round}, 'line', 1, 2, 2 from quotes) to program 'cat > {file} && chmod a+r {file}'"
    );
    client.batch_execute(&export).await.expect("rows to copy");
    let update = format!("update quotes set shipping_amount = {round}, contact_name = 'round {round}'");
    let copy = format!(
        "copy quote_lines (id, tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount) from program 'cat {file} && rm {file}'"
    );
    let mut taken = [0.0; 2];
    for (place, statement) in [update, copy].iter().enumerate() {
        let begun = std::time::Instant::now();
        client.batch_execute(statement).await.expect("10,000 rows");
        taken[place] = begun.elapsed().as_secs_f64() * 1_000.0;
    }
    taken
}

fn report(measured: &mut [Measured]) {
    let (first, _) = measured.split_first().expect("the plain table");
    let plain_cpu = first.cpu.clone();
    let plain_load = first.load.clone();
    println!(
        "\n| way | CPU us per update | added us | x plain | tps, clients: 1 | 8 | 32 | 64 |\n|---|---|---|---|---|---|---|---|"
    );
    let mut bars = Vec::new();
    for one in &mut *measured {
        let pairs = |f: fn(f64, f64) -> f64| {
            median(&mut one.cpu.iter().zip(&plain_cpu).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>())
        };
        let (added, ratio) = (pairs(|a, b| a - b), pairs(|a, b| a / b));
        let load: Vec<String> = one
            .load
            .iter_mut()
            .zip(&plain_load)
            .map(|(own, plain)| {
                let share = median(&mut own.iter().zip(plain).map(|(a, b)| a / b).collect::<Vec<_>>());
                format!("{:.0} ({share:.2})", median(own))
            })
            .collect();
        let cpu = median(&mut one.cpu);
        println!("| {} | {cpu:.1} | {added:.1} | {ratio:.2} | {} |", one.peer.title, load.join(" | "));
        bars.push((one.peer.title, cpu));
    }
    println!(
        "\nmedians of {ROUNDS} rounds in turn; in brackets the share of the plain table's tps, {LOAD_ROUNDS} rounds of {LOAD_SECONDS} s"
    );
    report_bulk(&measured[0].bulk, &measured.last().expect("ours").bulk);
    let file = crate::built::place().root.join("docs/write-cost.svg");
    let title = format!("Processor time of an UPDATE of 2 of 25 columns, us ({})", machine());
    std::fs::write(&file, chart::bars(&title, &bars)).expect("the chart is written");
    println!("drawn in docs/write-cost.svg");
}

fn report_bulk(plain: &[Bulk; 2], ours: &[Bulk; 2]) {
    println!(
        "\n| statement | rows of history before | plain ms | attached ms | ratio |\n|---|---|---|---|---|"
    );
    for (plain, ours) in plain.iter().zip(ours) {
        for (place, what) in ["UPDATE of 10,000 rows", "COPY of 10,000 lines"].iter().enumerate() {
            let (mut plain, mut attached) = (plain.taken[place].clone(), ours.taken[place].clone());
            let mut ratios: Vec<f64> = attached.iter().zip(&plain).map(|(a, b)| a / b).collect();
            println!(
                "| {what} | {} | {:.0} | {:.0} | {:.2} |",
                ours.history,
                median(&mut plain),
                median(&mut attached),
                median(&mut ratios)
            );
        }
    }
}
