//! What the relay's questions to PostgreSQL cost, with this release and with the one before it, in turn on one server: a wake-up with
//! one event, one with three years of history beside a transaction that goes on and on, the backlog of an outage, of a long one during
//! which somebody sealed, and one large transaction.

use std::time::Instant;

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::peers::{self, Peer};
use super::{QUIET, RELEASES, SCRIPT, machine, median};
use crate::built;
use crate::postgres::{ADMIN, Postgres, Settings};

const DATABASES: [&str; 2] = ["bench_feed_before", "bench_feed_now"];
const WAKE_UPS: usize = 300;
const BACKLOG: i64 = 20_000;
/// Transactions of a long outage, and how many of them each block of seals has.
const OUTAGE: i64 = 100_000;
const SEALED: i64 = 5_000;
/// Changes of one transaction.
const LARGE: i64 = 100_000;
/// Years of history before the present.
const YEARS: i32 = 3;
/// Events of one read, as the relay takes them.
const PORTION: i64 = 4_000;
const ROUNDS: usize = 5;
const OUTAGES: usize = 3;

/// A parameter and its type.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// One release in a database of its own.
struct Release {
    client: Client,
    epoch: i64,
    /// Cluster and timeline.
    identity: (String, i32),
    /// The last batch.
    batch: i64,
    wake_ups: Vec<f64>,
    hindered: Vec<f64>,
    backlogs: Vec<f64>,
    larges: Vec<f64>,
    outages: Vec<f64>,
}

/// Runs it and prints medians.
pub async fn run() {
    println!("feed: {}; fsync off, autovacuum off", machine());
    let server = Postgres::start_with(Settings::default().with(&QUIET)).await;
    server.add_script(&built::place().releases().join(SCRIPT));
    let mut releases = Vec::new();
    for ((title, setup), name) in RELEASES.into_iter().zip(DATABASES) {
        let setup = vec![setup, "select attach_quote_collaboration()", "set quote_collab.notify = off"];
        releases.push(Release::prepare(&server, &Peer { name, title, setup, update: "" }).await);
    }
    for turn in 1..=WAKE_UPS {
        for release in &mut releases {
            let took = release.wake_up(turn).await;
            release.wake_ups.extend(took);
        }
    }
    for release in &releases {
        release.grow_old().await;
    }
    let long = server.client("postgres", ADMIN).await;
    long.batch_execute("begin; select pg_current_xact_id()").await.expect("a long transaction");
    for turn in WAKE_UPS + 1..=2 * WAKE_UPS {
        for release in &mut releases {
            let took = release.wake_up(turn).await;
            release.hindered.extend(took);
        }
    }
    long.batch_execute("rollback").await.expect("its end");
    for round in 1..=ROUNDS {
        for release in &mut releases {
            release.backlog().await;
            release.large().await;
        }
        println!("  backlog: round {round} of {ROUNDS}");
    }
    for round in 1..=OUTAGES {
        for release in &mut releases {
            release.outage().await;
        }
        println!("  outage: round {round} of {OUTAGES}");
    }
    println!(
        "\n| release | one wake-up, ms | one beside a long transaction, ms | backlog of {BACKLOG} transactions, ms | of {OUTAGE}, sealed each {SEALED}, ms | one of {LARGE} changes, ms |\n|---|---|---|---|---|---|"
    );
    for (release, name) in releases.iter_mut().zip(RELEASES.map(|(title, _)| title)) {
        let (wake_up, hindered) = (median(&mut release.wake_ups), median(&mut release.hindered));
        let backlog = median(&mut release.backlogs);
        let (outage, large) = (median(&mut release.outages), median(&mut release.larges));
        println!("| {name} | {wake_up:.2} | {hindered:.2} | {backlog:.0} | {outage:.0} | {large:.0} |");
    }
    println!(
        "\nmedians of {WAKE_UPS} wake-ups, {OUTAGES} outages and {ROUNDS} of the others, in turn; batches cut and read, {PORTION} events at a time"
    );
}

impl Release {
    async fn prepare(server: &Postgres, peer: &Peer) -> Self {
        let client = peers::prepare(server, peer).await;
        let lease = "select quote_relay_lease('bench', interval '1 day')";
        let epoch = client.query_one(lease, &[]).await.expect("the lease").get(0);
        let identity =
            client.query_one("select * from quote_relay_identity()", &[]).await.expect("an identity");
        let identity = (identity.get(0), identity.get(1));
        let (wake_ups, hindered, backlogs) = (Vec::new(), Vec::new(), Vec::new());
        let (larges, outages) = (Vec::new(), Vec::new());
        Self { client, epoch, identity, batch: 0, wake_ups, hindered, backlogs, larges, outages }
    }

    /// Months that are over, each with a row.
    async fn grow_old(&self) {
        let years = format!(
            "do $$ declare month timestamptz; begin
                 for n in 1 .. 12 * {YEARS} loop
                     month := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - make_interval(months => n);
                     perform create_quote_changes_month('quote_changes', ('old_' || n)::name, month, month + interval '1 month');
                 end loop;
             end $$;
             update quote_changes set changed_at = changed_at - make_interval(months => (position % (12 * {YEARS}))::integer)"
        );
        self.client.batch_execute(&years).await.expect("a long history");
    }

    async fn wake_up(&mut self, turn: usize) -> Option<f64> {
        let change = format!(
            "update quotes set shipping_amount = {turn}, contact_name = 'Ada {turn}' where id = quote({turn})"
        );
        self.client.batch_execute(&change).await.expect("a change");
        self.copy().await
    }

    async fn change(&self, transactions: i64) {
        let change = format!(
            "do $$ begin for n in 1 .. {transactions} loop
                 update quotes set shipping_amount = n + random(), contact_name = clock_timestamp()::text where id = quote(1 + n % 10000); commit; end loop; end $$"
        );
        self.client.batch_execute(&change).await.expect("many changes");
    }

    async fn outage(&mut self) {
        for _ in 0..OUTAGE / SEALED {
            self.change(SEALED).await;
            self.client.batch_execute("select seal_quote_history()").await.expect("a seal");
        }
        let mut took = 0.0;
        while let Some(batch) = self.copy().await {
            took += batch;
        }
        self.outages.push(took);
    }

    async fn backlog(&mut self) {
        self.change(BACKLOG).await;
        let took = self.copy().await;
        self.backlogs.extend(took);
    }

    async fn large(&mut self) {
        let change = format!(
            "do $$ begin for n in 1 .. {LARGE} / 10000 loop
                 update quotes set shipping_amount = -n, contact_name = 'l' || n where id in (select quote(g) from generate_series(1, 10000) g); end loop; end $$"
        );
        self.client.batch_execute(&change).await.expect("a large change");
        let took = self.copy().await;
        self.larges.extend(took);
    }

    /// Cuts the next batch and reads it, asking as the gateway does; milliseconds, `None` when there is none.
    async fn copy(&mut self) -> Option<f64> {
        let begun = Instant::now();
        let (batch, mut position, mut has_rest) = self.next().await?;
        let read = format!("select position, event::text from quote_relay_read($1, $2, {PORTION})");
        while has_rest {
            let parameters: [Parameter<'_>; 2] = [(&batch, Type::INT8), (&position, Type::INT8)];
            let events = self.client.query_typed(&read, &parameters).await.expect("events");
            has_rest = i64::try_from(events.len()).is_ok_and(|count| count == PORTION);
            position = events.last().map_or(position, |last| last.get(0));
        }
        self.batch = batch;
        Some(begun.elapsed().as_secs_f64() * 1_000.0)
    }

    /// Batch, last position, and whether there is more to read behind it.
    async fn next(&self) -> Option<(i64, i64, bool)> {
        let next = format!(
            "select b.batch, b.position, b.event, b.has_next from quote_relay_next_batch($1, $2, $3, $4, {PORTION}, 4194304) b"
        );
        let (cluster, timeline) = &self.identity;
        let parameters: [Parameter<'_>; 4] = [
            (&self.epoch, Type::INT8),
            (&self.batch, Type::INT8),
            (cluster, Type::TEXT),
            (timeline, Type::INT4),
        ];
        let events = self.client.query_typed(&next, &parameters).await.expect("a batch");
        let last = events.last()?;
        let is_full = i64::try_from(events.len()).is_ok_and(|count| count == PORTION);
        Some((last.get(0), last.get(1), is_full || last.get(3)))
    }
}
