//! `quote_relay_next_batch` closes a batch and gives its first events, by queries whose text is kept until a catalog changes.

use quote_collab_tests::statement::{WRITE, run, sqlstate, text};
use quote_collab_tests::{Erp, eventually};
use tokio_postgres::Client;

/// The question of a relay of the first epoch that knows this batch, and its limits.
fn question(known: i64, events: i32, bytes: i64) -> String {
    format!(
        "select n.batch, n.position, n.size, n.has_next from quote_relay_identity() i
         cross join quote_relay_next_batch(1, {known}, i.system_identifier, i.timeline, {events}, {bytes}) n"
    )
}

/// Batch, and whether another event follows, of each event.
async fn next(client: &Client, events: i32, bytes: i64) -> Vec<(i64, bool)> {
    let rows = client.query(&question(0, events, bytes), &[]).await.expect("the relay asks");
    rows.iter().map(|row| (row.get(0), row.get(3))).collect()
}

/// A superuser on the sample, and the lease of the first epoch.
async fn relay(erp: &Erp) -> Client {
    let admin = erp.client("postgres").await;
    assert_eq!(text(&admin, "select quote_relay_lease('test', '1 hour')::text").await, "1");
    admin
}

#[tokio::test]
async fn what_was_recorded_by_a_clock_ahead_is_told_at_once() {
    let erp = Erp::attached().await;
    let admin = relay(&erp).await;
    assert_eq!(next(&admin, 10, 1_000_000).await, [], "nothing has happened yet");
    // This month, months that wait empty, and beyond them all.
    for (batch, ahead) in (1..).zip(["0 days", "40 days", "70 days", "20 years", "0 days"]) {
        run(&admin, WRITE).await;
        let last = "position = (select max(position) from quote_changes)";
        run(
            &admin,
            &format!("update quote_changes set changed_at = changed_at + interval '{ahead}' where {last}"),
        )
        .await;
        assert_eq!(next(&admin, 10, 1_000_000).await, [(batch, false)], "{ahead}");
        assert_eq!(next(&admin, 10, 1_000_000).await, [], "{ahead}");
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_hides_nothing_that_was_written_when_it_was_right() {
    let erp = Erp::attached().await;
    let mut admin = relay(&erp).await;
    for batch in 1..=2 {
        run(&admin, WRITE).await;
        assert_eq!(next(&admin, 10, 1_000_000).await, [(batch, false)]);
    }
    let last = "where position = (select max(position) from quote_changes)";
    for (batch, noted, written) in [
        // Batches of months ahead, and a relay that was away since the clock was put right.
        (3, "now() + interval '200 days'", "3 days"),
        (4, "now() + interval '200 days'", "3 months"),
        // A clock that was ahead by some days less than the relay was away.
        (5, "now() - interval '2 days'", "4 days"),
        (6, "now() - interval '2 days'", "3 months"),
        // One that was behind while nobody watched it, for a moment.
        (7, "now() - interval '1 hour'", "3 months"),
        (8, "now()", "3 months"),
    ] {
        // The relay was away.
        admin = erp.client("postgres").await;
        run(
            &admin,
            &format!("update quote_relay_batch set prev_at = {noted}, cur_at = {noted} where no > 0"),
        )
        .await;
        run(&admin, WRITE).await;
        run(
            &admin,
            &format!("update quote_changes set changed_at = changed_at - interval '{written}' {last}"),
        )
        .await;
        assert_eq!(next(&admin, 10, 1_000_000).await, [(batch, false)], "{noted}, {written}");
    }
    // Subscribers who come back read it too.
    let resumed = "select count(*)::text from quote_events_between((select id from quotes order by id limit 1), 2, 9223372036854775807, 8, 9223372036854775807, 100)";
    assert_eq!(text(&admin, resumed).await, "6");
}

#[tokio::test]
async fn months_are_those_that_hold_anything_of_a_time_or_later() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let since = |log: &str, since: &str| {
        format!(
            "select string_agg(m::regclass::text, ' ' order by m::regclass::text) from unnest(quote_log_months('{log}'::regclass::oid, '{since}')) m"
        )
    };
    run(&admin, "set timezone = 'UTC'; create table plain (a integer)").await;
    run(&admin, "create table months (at timestamptz) partition by range (at)").await;
    let is_unknown = "select (quote_log_months('plain'::regclass::oid, '-infinity') is null)::text";
    assert_eq!(text(&admin, is_unknown).await, "true");
    assert_eq!(text(&admin, &since("months", "-infinity")).await, "", "no months at all");
    for (name, bounds) in
        [("one", "('2026-01-01') to ('2026-02-01')"), ("two", "('2026-03-01') to ('2026-04-01')")]
    {
        run(&admin, &format!("create table {name} partition of months for values from {bounds}")).await;
    }
    assert_eq!(text(&admin, &since("months", "-infinity")).await, "", "only empty ones");
    run(&admin, "insert into months values ('2026-01-31')").await;
    assert_eq!(text(&admin, &since("months", "-infinity")).await, "one");
    run(&admin, "insert into months values ('2026-03-01')").await;
    for (at, expected) in [
        ("-infinity", "one two"),
        ("2026-01-31 23:59:59.999999", "one two"),
        ("2026-02-01", "two"),
        ("2026-03-15", "two"),
        ("2026-04-01", ""),
        ("infinity", ""),
    ] {
        assert_eq!(text(&admin, &since("months", at)).await, expected, "{at}");
    }
    for name in ["default", "for values from ('2030-01-01') to (maxvalue)"] {
        run(&admin, &format!("begin; create table last partition of months {name}")).await;
        assert_eq!(text(&admin, &since("months", "2029-01-01")).await, "", "{name}");
        run(&admin, "insert into months values ('2031-01-01')").await;
        assert_eq!(text(&admin, &since("months", "2040-01-01")).await, "last", "{name}");
        run(&admin, "rollback").await;
    }
    // Of parts, or kept elsewhere: who knows.
    run(&admin, "create table parts partition of months for values from ('2027-01-01') to ('2027-02-01') partition by range (at)").await;
    assert_eq!(text(&admin, &since("months", "2026-12-01")).await, "parts");
    assert_eq!(sqlstate(&admin, "select quote_log_months(1::oid, now())").await, "42P01");
}

#[tokio::test]
async fn a_month_of_long_ago_that_is_locked_holds_up_nothing() {
    let erp = Erp::attached().await;
    let admin = relay(&erp).await;
    run(
        &admin,
        "create table long_ago partition of quote_changes for values from ('2020-01-01') to ('2020-02-01')",
    )
    .await;
    // The first batch reads all.
    run(&admin, WRITE).await;
    assert_eq!(next(&admin, 10, 1_000_000).await, [(1, false)]);
    // Other tests were writing when this session began to watch the clock, which it does as long as it asks.
    let begun = text(&admin, "select pg_snapshot_xmax(pg_current_snapshot())::text").await;
    let over = format!("select (pg_snapshot_xmin(pg_current_snapshot()) >= '{begun}'::xid8)::text");
    eventually("who was writing then has ended", async || {
        assert_eq!(next(&admin, 10, 1_000_000).await, []);
        text(&admin, &over).await == "true"
    })
    .await;
    run(&admin, WRITE).await;
    assert_eq!(next(&admin, 10, 1_000_000).await, [(2, false)]);
    // Whoever rewrites a month has a number, and is running beside many wake-ups.
    let another = erp.client("postgres").await;
    run(&another, "begin; lock table long_ago in access exclusive mode; select pg_current_xact_id()").await;
    run(&admin, "set lock_timeout = '2s'").await;
    for batch in 3..=6 {
        run(&admin, WRITE).await;
        assert_eq!(next(&admin, 10, 1_000_000).await, [(batch, false)]);
    }
    run(&another, "rollback").await;
    // Columns of a month that was made by hand may stand in another order.
    run(
        &admin,
        "create table far_ahead (like quote_changes including all);
         alter table far_ahead drop column context, drop column origin;
         alter table far_ahead add column origin bigint not null, add column context jsonb;
         alter table quote_changes attach partition far_ahead for values from ('2090-01-01') to ('2091-01-01')",
    )
    .await;
    run(&admin, &format!("begin; {WRITE}; {WRITE}; commit")).await;
    run(&admin, "update quote_changes set changed_at = '2090-06-01' where position = (select max(position) from quote_changes)").await;
    assert_eq!(next(&admin, 10, 1_000_000).await, [(7, true), (7, false)]);
}

#[tokio::test]
async fn limits_cut_the_first_read_and_the_rest_is_read_behind_it() {
    let erp = Erp::attached().await;
    let admin = relay(&erp).await;
    run(
        &admin,
        "update quotes set notes = repeat('x', 3000) where id in (select id from quotes order by id limit 5)",
    )
    .await;
    assert_eq!(next(&admin, 2, 1_000_000).await, [(1, true), (1, false)], "as many as are wanted");
    run(
        &admin,
        "update quotes set notes = repeat('y', 3000) where id in (select id from quotes order by id limit 5)",
    )
    .await;
    assert_eq!(next(&admin, 10, 0).await, [(2, true)], "the first at any rate");
    run(
        &admin,
        "update quotes set notes = repeat('z', 3000) where id in (select id from quotes order by id limit 5)",
    )
    .await;
    let some = next(&admin, 10, 20_000).await;
    assert!(some.len() > 1 && some.len() < 5 && some.iter().all(|event| *event == (3, true)), "{some:?}");
    for batch in 1..=3 {
        let all = format!("select count(*)::text from quote_relay_read({batch}, 0, 100)");
        assert_eq!(text(&admin, &all).await, "5", "batch {batch}");
    }
}

#[tokio::test]
async fn another_history_and_a_lost_lease_are_refused() {
    let erp = Erp::attached().await;
    let admin = relay(&erp).await;
    let from = "from quote_relay_identity() i";
    for is_new in [false, true] {
        if is_new {
            run(&admin, WRITE).await;
        }
        for (statement, expected) in [
            (question(1, 10, 0), "QC001"),
            (format!("select quote_relay_next_batch(1, 0, '5', i.timeline, 10, 0) {from}"), "QC001"),
            (
                format!(
                    "select quote_relay_next_batch(1, 0, i.system_identifier, i.timeline + 1, 10, 0) {from}"
                ),
                "QC001",
            ),
            (
                format!("select quote_relay_next_batch(2, 0, i.system_identifier, i.timeline, 10, 0) {from}"),
                "QC002",
            ),
        ] {
            assert_eq!(sqlstate(&admin, &statement).await, expected, "{statement}");
        }
    }
    assert_eq!(text(&admin, "select max(no)::text from quote_relay_batch").await, "0", "nothing was opened");
    assert_eq!(next(&admin, 10, 0).await.len(), 1);
}

/// Without a batch nobody knows where to go on: that is no lost lease, which another relay might have.
#[tokio::test]
async fn batches_that_are_gone_are_told() {
    let erp = Erp::attached().await;
    let admin = relay(&erp).await;
    run(&admin, &format!("{WRITE}; delete from quote_relay_batch")).await;
    assert_eq!(sqlstate(&admin, &question(0, 10, 0)).await, "55000");
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(next(&admin, 10, 0).await, [], "what came before is told to nobody");
    run(&admin, WRITE).await;
    assert_eq!(next(&admin, 10, 0).await.len(), 1);
}

/// A relay whose clock is ahead for a moment must not hold the lease until then.
#[tokio::test]
async fn a_lease_that_ends_far_ahead_is_nobodys() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let take =
        |holder: &str| format!("select coalesce(quote_relay_lease('{holder}', '5 seconds')::text, 'none')");
    assert_eq!(text(&admin, &take("one")).await, "1");
    assert_eq!(text(&admin, &take("two")).await, "none");
    run(&admin, "update quote_relay_lease set expires_at = now() + interval '1 hour'").await;
    assert_eq!(text(&admin, &take("two")).await, "2");
    assert_eq!(text(&admin, &take("one")).await, "none");
}

#[tokio::test]
async fn a_kept_query_is_what_it_would_be_now() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let other = erp.client("postgres").await;
    let kept = "quote_kept_query('quote_batch_query()'::regprocedure::oid)";
    let is_current = format!("select ({kept} = quote_batch_query())::text");
    let first = text(&other, &format!("select {kept}")).await;
    assert!(first.contains("username"), "{first}");
    for (change, names_are_read) in [
        ("alter table users rename column username to login", false),
        ("alter table users rename column login to username", true),
        ("create role stranger_to_names; alter table users owner to stranger_to_names", false),
        ("grant erp_owner to stranger_to_names", true),
        ("revoke erp_owner from stranger_to_names", false),
        ("alter role stranger_to_names superuser", true),
        ("alter role stranger_to_names nosuperuser; alter table users owner to erp_owner", true),
        ("alter table users rename to people", false),
        ("alter table people rename to users", true),
        ("update quote_collab_settings set relations = relations - 'users'", false),
        (
            "update quote_collab_settings set relations = relations || '{\"users\": {\"schema\": \"public\", \"table\": \"users\", \"id\": \"id\", \"name\": \"username\"}}'",
            true,
        ),
        (
            "create or replace function quote_batch_query() returns text language sql stable as 'select ''mine''::text'",
            false,
        ),
    ] {
        run(&admin, change).await;
        for client in [&admin, &other] {
            assert_eq!(text(client, &is_current).await, "true", "{change}");
            assert_eq!(
                text(client, &format!("select {kept}")).await.contains("username"),
                names_are_read,
                "{change}"
            );
        }
    }
    run(&admin, "drop owned by stranger_to_names; drop role stranger_to_names").await;
    // Only what writes a text of nothing else.
    for statement in [
        "select quote_kept_query('quote_user_relations()'::regprocedure::oid)",
        "select quote_kept_query('quote_feed_timeline()'::regprocedure::oid)",
        "select quote_kept_query('quote_relay_table(text)'::regprocedure::oid)",
        "select quote_kept_query(0)",
    ] {
        assert_ne!(sqlstate(&admin, statement).await, "", "{statement}");
    }
}

#[tokio::test]
async fn a_query_that_is_worked_out_in_an_old_snapshot_is_not_kept_as_it_was_then() {
    let erp = Erp::attached().await;
    let (admin, other) = (erp.client("postgres").await, erp.client("postgres").await);
    let names = "select (quote_kept_query('quote_batch_query()'::regprocedure::oid) like '%username%')::text";
    run(&other, "begin isolation level repeatable read; select count(*) from pg_class").await;
    run(&admin, "create role late_owner; alter table users owner to late_owner").await;
    // Whatever it takes a lock on brings the news.
    run(&other, "lock table quotes in access share mode").await;
    assert_eq!(text(&other, names).await, "false");
    run(&other, "commit").await;
    assert_eq!(text(&other, names).await, "false");
    run(&admin, "alter table users owner to erp_owner; drop role late_owner").await;
    assert_eq!(text(&other, names).await, "true");
}

/// Not as where another relay has it: nobody could lead any more, and nothing would say so.
#[tokio::test]
async fn a_lease_that_is_gone_is_told() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "delete from quote_relay_lease").await;
    assert_eq!(sqlstate(&admin, "select quote_relay_lease('me', '1 minute')").await, "55000");
    run(&admin, "select attach_quote_collaboration(); select quote_relay_lease('me', '1 minute')").await;
    let other = "select coalesce(quote_relay_lease('another', '1 minute'), -1)";
    assert_eq!(erp.count(other).await, -1, "another has it");
}
