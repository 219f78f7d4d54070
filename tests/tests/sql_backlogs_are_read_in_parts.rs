//! A reader that was away while thousands of transactions committed reads them in parts that end where somebody sealed: once, and in order.

use std::collections::HashSet;

use quote_collab_tests::statement::{run, text};
use quote_collab_tests::{Erp, ledger};
use serde_json::Value;
use tokio_postgres::Client;

const ROUNDS: usize = 3;

/// 3,000 transactions of four rows each: more than a part may have.
async fn many_transactions(erp: &Erp, client: &Client, round: usize) {
    let (one, other) = (erp.quote(0).await, erp.quote(1).await);
    let work = format!(
        "do $$ begin
             for i in 1 .. 3000 loop
                 update quotes set notes = '{round}.' || i, contact_name = '{round}/' || i where id in ('{one}', '{other}');
                 commit;
             end loop;
         end $$"
    );
    run(client, &work).await;
}

/// A backlog of blocks that are sealed, across which transactions overtake each other, one of them with nothing to tell. Returns the cursor before.
async fn backlog(erp: &Erp, admin: &Client) -> String {
    let cursor = text(admin, "select quote_events_cursor()").await;
    let mut earlier: Option<Client> = None;
    for round in 0..ROUNDS {
        // Begins before everything else of its round, changes a row behind another, and is committed in the next round.
        let (slow, quote) = (erp.client("postgres").await, erp.quote(100 + round).await);
        run(
            &slow,
            &format!("begin; update quotes set notes = 'slow' where id = '{}'", erp.quote(50 + round).await),
        )
        .await;
        run(admin, &format!("update quotes set notes = 'first' where id = '{quote}'")).await;
        run(&slow, &format!("update quotes set notes = 'second' where id = '{quote}'")).await;
        many_transactions(erp, admin, round).await;
        run(admin, "select seal_quote_history()").await;
        if let Some(earlier) = earlier.replace(slow) {
            run(&earlier, "commit").await;
        }
        let stale = format!(
            "select update_quote_with_version_check('{}', 1, '{{\"notes\": \"late\"}}')",
            erp.quote(0).await
        );
        run(admin, &stale).await;
        run(admin, "select seal_quote_history()").await;
    }
    run(&earlier.expect("one is left"), "commit").await;
    cursor
}

/// All events behind a cursor, and in how many parts they came.
async fn read(client: &Client, mut cursor: String) -> (Vec<Value>, usize) {
    let mut events = Vec::new();
    let mut parts = HashSet::new();
    loop {
        let rows = client
            .query("select cursor, event from quote_events_since($1, 700)", &[&cursor])
            .await
            .expect("events");
        let Some(last) = rows.last() else { break (events, parts.len()) };
        cursor = last.get(0);
        for row in &rows {
            let place: String = row.get(0);
            parts.extend(place.rsplit('/').nth(2).map(str::to_owned));
            events.push(row.get::<_, Value>(1));
        }
    }
}

/// How many events there are to be told.
const RECORDED: &str = "select count(distinct event_id) from quote_changes where conflict_resolution is distinct from 'REJECTED'";

#[tokio::test]
async fn a_reader_that_was_away_reads_everything_once_in_parts() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let cursor = backlog(&erp, &admin).await;
    let (events, parts) = read(&admin, cursor).await;
    assert!(parts >= ROUNDS, "{parts}");
    ledger::must_be_whole(&events, erp.count(RECORDED).await);
}

#[tokio::test]
async fn a_seal_that_looked_back_ends_no_part_and_the_next_one_does() {
    let erp = Erp::attached().await;
    let (admin, keeper) = (erp.client("postgres").await, erp.client("postgres").await);
    run(&admin, "update quotes set notes = 'seen'").await;
    run(&keeper, "begin isolation level repeatable read; select 1").await;
    run(&admin, "update quotes set notes = 'unseen'").await;
    let cursor = text(&admin, "select quote_events_cursor()").await;
    let before = erp.count(RECORDED).await;
    run(&admin, "update quotes set notes = 'nor this'").await;
    run(&keeper, "select seal_quote_history(); commit").await;
    for round in 0..ROUNDS {
        many_transactions(&erp, &admin, round).await;
        run(&admin, "select seal_quote_history()").await;
    }
    let (events, parts) = read(&admin, cursor).await;
    assert_eq!(parts, ROUNDS);
    assert_eq!(i64::try_from(events.len()).unwrap(), erp.count(RECORDED).await - before);
}

#[tokio::test]
async fn so_does_a_relay() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    backlog(&erp, &admin).await;
    run(&admin, "select quote_relay_lease('test', '1 hour')").await;
    let mut events = Vec::new();
    let mut batches = 0;
    loop {
        let first = admin
            .query(
                "select n.batch, n.position, n.event::jsonb, n.has_next from quote_relay_identity() i
                 cross join quote_relay_next_batch(1, 0, i.system_identifier, i.timeline, 1000, 100000000) n",
                &[],
            )
            .await
            .unwrap();
        let Some(last) = first.last() else { break };
        let (batch, mut position): (i64, i64) = (last.get(0), last.get(1));
        let mut has_next = first.len() == 1000 || last.get(3);
        events.extend(first.iter().map(|row| row.get::<_, Value>(2)));
        batches += 1;
        while has_next {
            let more = admin
                .query("select position, event from quote_relay_read($1, $2, 1000)", &[&batch, &position])
                .await
                .unwrap();
            events.extend(more.iter().map(|row| row.get::<_, Value>(1)));
            has_next = more.len() == 1000;
            position = more.last().map_or(position, |row| row.get(0));
        }
    }
    assert!(batches >= ROUNDS, "{batches}");
    ledger::must_be_whole(&events, erp.count(RECORDED).await);
    // What the next batch may still have to read was made no earlier.
    let floors = "select count(*) from quote_relay_batch b where b.no > 0 and b.cur_at > (select min(c.changed_at) from quote_changes c
        where pg_visible_in_snapshot(c.xid, b.cur) is false and c.xid >= pg_snapshot_xmax(b.cur))";
    assert_eq!(erp.count(floors).await, 0);
}

#[tokio::test]
async fn the_block_behind_a_snapshot_is_found_among_those_of_others() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "create table blocks (no bigint primary key, cur pg_snapshot, origin bigint, form smallint)")
        .await;
    // None at all, none of this cluster, some of both, this cluster's alone.
    for (others, ours) in [(0, 0), (50, 0), (50, 1), (50, 40), (0, 1), (0, 100)] {
        run(
            &admin,
            &format!(
                "truncate blocks;
                 insert into blocks select n, '3:3:', 1, 2 from generate_series(0, {others} - 1) n;
                 insert into blocks select {others} + n, format('%1$s:%1$s:', 1000 + n * 10)::pg_snapshot, quote_cluster_identifier(), case when n % 7 = 5 then 4 else 2 end
                 from generate_series(0, {ours} - 1) n"
            ),
        )
        .await;
        let wrong = "select count(*) from generate_series(990, 2010) x
            where quote_block_after('blocks', format('%1$s:%1$s:', x)::pg_snapshot) is distinct from (
                select min(b.no) from blocks b where b.origin = quote_cluster_identifier() and b.form < 4 and pg_snapshot_xmax(b.cur)::text::bigint > x)";
        assert_eq!(erp.count(wrong).await, 0, "{others} of others, {ours} of this cluster");
    }
}
