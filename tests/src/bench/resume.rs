//! What a subscriber that comes back asks: pages of what it missed of one quote, before, in and behind a transaction that changed many of its
//! lines, with this release and with the one before it, in turn on one server.

use std::time::Instant;

use tokio_postgres::Client;

use super::peers::{self, Peer};
use super::{QUIET, RELEASES, SCRIPT, machine, median};
use crate::built;
use crate::postgres::{Postgres, Settings};

const DATABASES: [&str; 2] = ["bench_resume_before", "bench_resume_now"];
/// Batches of one change each, before and behind the large one.
const SMALL: i64 = 400;
/// Lines of the large transaction.
const LARGE: i64 = 100_000;
/// Events of one page, as the gateway asks for them.
const PAGE: i64 = 100;
const ROUNDS: usize = 3;

/// Where pages begin: what it is, and the cursor.
const PLACES: [(&str, &str); 4] = [
    ("beginning", "0, 0"),
    ("before the large transaction", "(select min(no) from large) - 1, 9223372036854775807"),
    ("in it", "(select min(no) from large), (select min(position) + 50000 from large)"),
    ("behind it", "(select min(no) from large), 9223372036854775807"),
];

/// Runs it and prints medians.
pub async fn run() {
    println!("resume: {}; fsync off, autovacuum off", machine());
    let server = Postgres::start_with(Settings::default().with(&QUIET)).await;
    server.add_script(&built::place().releases().join(SCRIPT));
    let mut releases = Vec::new();
    for ((title, setup), name) in RELEASES.into_iter().zip(DATABASES) {
        let setup = vec![setup, "select attach_quote_collaboration()", "set quote_collab.notify = off"];
        let client = peers::prepare(&server, &Peer { name, title, setup, update: "" }).await;
        change(&client).await;
        println!("  {title}: {LARGE} lines between {} batches are there", 2 * SMALL);
        releases.push((title, client));
    }
    println!("\n| page of {PAGE} | {} ms | {} ms |\n|---|---|---|", RELEASES[0].0, RELEASES[1].0);
    for (what, cursor) in PLACES {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((_, client), taken) in releases.iter().zip(&mut taken) {
                taken.push(page(client, cursor).await);
            }
        }
        println!("| {what} | {:.0} | {:.0} |", median(&mut taken[0]), median(&mut taken[1]));
    }
    println!("\nmedians of {ROUNDS}, in turn; one quote, {} batches", 2 * SMALL + 1);
}

/// Changes one quote in small transactions, a large one, and small ones again, each a batch of the relay.
async fn change(client: &Client) {
    let small = format!(
        "do $$ declare epoch bigint := quote_relay_lease('bench', interval '1 day'); begin for n in 1 .. {SMALL} loop
             update quotes set contact_name = 'n' || n || clock_timestamp() where id = quote(1); commit;
             perform quote_relay_open_batch(epoch); commit; end loop; end $$"
    );
    let large = format!(
        "insert into quote_lines select gen_random_uuid(), tenant_id, id, n, 'line', 1, 2, 2, now(), null, 1
             from quotes, generate_series(1, {LARGE}) n where id = quote(1)"
    );
    let batch = "select quote_relay_open_batch(quote_relay_lease('bench', interval '1 day'))";
    let noted = "create table large as select (select max(no) from quote_relay_batch) as no, c.position from quote_changes c where c.entity_type = 'QUOTE_LINE'";
    for statement in [&small, &large, batch, noted, &small] {
        client.batch_execute(statement).await.expect("changes of one quote");
    }
    client.batch_execute("analyze").await.expect("statistics");
}

/// Milliseconds of one page.
async fn page(client: &Client, cursor: &str) -> f64 {
    let page = format!(
        "select count(*) from quote_events_between(quote(1), {cursor}, (select max(no) from quote_relay_batch), 9223372036854775807, {PAGE})"
    );
    let begun = Instant::now();
    let count: i64 = client.query_one(&page, &[]).await.expect("a page").get(0);
    assert_eq!(count, PAGE, "{cursor}");
    begun.elapsed().as_secs_f64() * 1_000.0
}
