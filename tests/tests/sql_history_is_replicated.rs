//! Logical replication: rows that arrive leave a history once, whether it is written here or arrives with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quote_collab_tests::postgres::conversion::{PUBLICATION, SUBSCRIPTION};
use quote_collab_tests::statement::{run, text};
use quote_collab_tests::{Postgres, Settings, eventually};
use tokio_postgres::Client;

/// A publisher and a subscriber, both with the sample ERP attached and the same rows.
struct Replica {
    from: Postgres,
    source: Client,
    target: Client,
    _to: Postgres,
}

impl Replica {
    async fn start() -> Self {
        let settings =
            || Settings { extra: vec![("wal_level", "logical".to_owned())], ..Settings::default() };
        let (from, to) = tokio::join!(Postgres::start_with(settings()), Postgres::start_apart());
        let (source, target) = (from.client("erp", "postgres").await, to.client("erp", "postgres").await);
        Self { from, source, target, _to: to }
    }

    /// Subscribes to tables; what is written from now on arrives.
    async fn subscribe(&self, tables: &str) {
        run(
            &self.source,
            &format!("create publication feed for table {tables} with (publish_via_partition_root = true)"),
        )
        .await;
        run(&self.source, "select pg_create_logical_replication_slot('feed', 'pgoutput')").await;
        // Since 16 rows are applied as the table's owner, whom the row security forced on the log holds back.
        let version = "select current_setting('server_version_num')";
        let as_owner =
            if text(&self.target, version).await.as_str() < "160000" { "" } else { ", run_as_owner = true" };
        let subscribe = format!(
            "create subscription feed connection '{}' publication feed with (copy_data = false, create_slot = false, slot_name = 'feed'{as_owner})",
            self.from.url("erp", "postgres")
        );
        run(&self.target, &subscribe).await;
    }

    /// Waits until everything that was committed has been applied.
    async fn caught_up(&self) {
        let end = text(&self.source, "select pg_current_wal_insert_lsn()::text").await;
        let query = &format!(
            "select coalesce(bool_and(confirmed_flush_lsn >= '{end}'), false) from pg_replication_slots where slot_name = 'feed'"
        );
        eventually("the subscriber has applied everything", || async move {
            self.source.query_one(query, &[]).await.is_ok_and(|row| row.get(0))
        })
        .await;
    }

    async fn end(self) {
        run(&self.target, "alter subscription feed disable; alter subscription feed set (slot_name = none); drop subscription feed").await;
    }
}

/// Fields and versions of every change, in order per row.
const CHANGES: &str = "select md5(string_agg(concat_ws('|', coalesce(quote_line_id, quote_id), change_type, field_name, old_value, new_value,
    entity_version_before, entity_version_after), ',' order by coalesce(quote_line_id, quote_id), position, field_name)) || '/' || count(*) from quote_changes";

const WORK: [&str; 4] = [
    "update quotes set notes = 'first', contact_name = 'Ada'",
    "begin; update quotes set notes = 'second' where quote_number < 'Q-2026-00050'; update quote_lines set quantity = quantity + 1 where line_number = 1; commit",
    "delete from quote_lines where line_number = 5",
    "insert into quote_lines (tenant_id, quote_id, line_number, quantity, unit_price, line_amount) select tenant_id, id, 99, 1, 1, 1 from quotes",
];

#[tokio::test]
async fn rows_that_arrive_leave_a_history_of_their_own_once() {
    let replica = Replica::start().await;
    replica.subscribe("quotes, quote_lines").await;
    for statements in WORK {
        run(&replica.source, statements).await;
    }
    replica.caught_up().await;
    let target = &replica.target;
    assert_eq!(text(target, CHANGES).await, text(&replica.source, CHANGES).await);
    for (none, what) in [
        ("select count(*)::text from (select from quote_changes where entity_version_after is not null and change_type = 'UPDATE'
            group by coalesce(quote_line_id, quote_id), entity_version_after having count(distinct event_id) > 1) x", "a version told twice"),
        ("select count(*)::text from quote_changes where origin <> quote_cluster_identifier()", "a change of another cluster"),
    ] {
        assert_eq!(text(target, none).await, "0", "{what}");
    }
    let versions = "select md5(string_agg(id::text || version || updated_at, ',' order by id)) from quotes";
    assert_eq!(text(target, versions).await, text(&replica.source, versions).await);
    // Out of the subscriber's relay once, and then no more.
    let epoch: i64 =
        target.query_one("select quote_relay_lease('test', interval '1 hour')", &[]).await.unwrap().get(0);
    let batch: i64 = target.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    let told = "select count(*)::text from quote_relay_read($1, 0, 100000)";
    let told: String = target.query_one(told, &[&batch]).await.unwrap().get(0);
    assert_eq!(told, text(target, "select count(distinct event_id)::text from quote_changes").await);
    let rest: Option<i64> =
        target.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    assert_eq!(rest, None);
    run(target, "select quote_collab_maintenance()").await;
    assert_eq!(text(target, "select count(*)::text from verify_quote_history()").await, "0");
    replica.end().await;
}

#[tokio::test]
async fn a_change_that_arrives_is_not_put_down_to_the_last_author() {
    let replica = Replica::start().await;
    replica.subscribe("quotes, quote_lines").await;
    let one = "where quote_number = 'Q-2026-00001'";
    let author = text(&replica.source, &format!("select u.id::text from users u where u.id <> (select updated_by from quotes {one}) order by 1 limit 1")).await;
    run(&replica.source, &format!("update quotes set notes = 'by somebody' {one}; update quotes set updated_by = '{author}', notes = 'by the author' {one}")).await;
    replica.caught_up().await;
    let told = "select string_agg(coalesce(changed_by::text, 'nobody'), ' ' order by position) from quote_changes where field_name = 'notes'";
    assert_eq!(text(&replica.target, told).await, format!("nobody {author}"));
    replica.end().await;
}

const FOUND: &str =
    "select coalesce(string_agg(distinct finding, ' ' order by finding), '') from verify_quote_history()";

/// A month of history of the publisher, years back.
const ARRIVED_LONG_AGO: &str = "create table quote_changes_2020_01 partition of quote_changes for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00');
    select protect_quote_table('quote_changes_2020_01', 'quote_changes_tenant_isolation');
    insert into quote_changes select (jsonb_populate_record(c, jsonb_build_object('id', uuid_generate_v7(), 'changed_at', '2020-01-10 00:00+00'))).*
    from quote_changes c where c.origin <> quote_cluster_identifier() limit 10";

#[tokio::test]
async fn history_that_arrives_with_its_rows_is_there_once() {
    let replica = Replica::start().await;
    let target = &replica.target;
    run(target, "select attach_quote_collaboration(options => '{\"replicated_history\": true}')").await;
    replica.subscribe("quotes, quote_lines, quote_changes").await;
    for statements in WORK {
        run(&replica.source, statements).await;
    }
    replica.caught_up().await;
    let same = "select md5(string_agg(c::text, ',' order by c.position, c.id)) || '/' || count(*) from quote_changes c";
    assert_eq!(text(target, same).await, text(&replica.source, same).await);
    let versions = "select md5(string_agg(id::text || version || updated_at, ',' order by id)) from quotes";
    assert_eq!(text(target, versions).await, text(&replica.source, versions).await);
    let ill = "select count(*)::text from quote_collab_doctor() where severity = 'error' and check_name ~ 'trigger'";
    assert_eq!(text(target, ill).await, "0");
    // The cluster that wrote a change tells it; this one tells what is written here.
    let epoch: i64 =
        target.query_one("select quote_relay_lease('test', interval '1 hour')", &[]).await.unwrap().get(0);
    let rest: Option<i64> =
        target.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    assert_eq!(rest, None);
    run(target, "select quote_collab_maintenance()").await;
    assert_eq!(text(target, "select count(*)::text from quote_collab_doctor() where check_name = 'positions ascend' and severity <> 'ok'").await, "0");
    // Its publisher has sealed it, whenever it arrived; here it can be let go.
    run(target, "update quotes set notes = 'of its own' where quote_number = 'Q-2026-00001'; select quote_collab_maintenance()").await;
    run(&replica.source, "update quotes set notes = 'arrives later'").await;
    replica.caught_up().await;
    run(target, "select quote_collab_maintenance()").await;
    assert_eq!(text(target, FOUND).await, "");
    run(target, ARRIVED_LONG_AGO).await;
    assert_eq!(text(target, "select archive_quote_changes('1 year')::text").await, "1");
    assert_eq!(text(target, "select drop_archived_quote_changes('1 year')::text").await, "1");
    assert_eq!(text(target, FOUND).await, "released");
    // Writes of the subscriber's own leave a history as ever; as the one that is written to it goes on behind what arrived.
    run(target, "select attach_quote_collaboration(); select setval('quote_changes_position_seq', (select max(position) from quote_changes))").await;
    run(target, "update quotes set terms_and_conditions = 'own' where quote_number = 'Q-2026-00100'").await;
    assert_eq!(
        text(target, "select count(*)::text from quote_changes where origin = quote_cluster_identifier()")
            .await,
        "2"
    );
    let newest = "select new_value #>> '{}' from get_quote_change_history((select id from quotes where quote_number = 'Q-2026-00100'), 1)";
    assert_eq!(text(target, newest).await, "own");
    // And seals what arrived, once it is its own.
    run(target, "select quote_collab_maintenance()").await;
    assert_eq!(text(target, FOUND).await, "released");
    run(target, "delete from quote_changes where id = (select id from quote_changes where origin <> quote_cluster_identifier() limit 1)").await;
    assert_eq!(text(target, FOUND).await, "released rows");
    replica.end().await;
}

/// The tool promotes the standby before it gives it an identifier of its own. What housekeeping sealed in between would speak of transactions
/// whose numbers the publisher gives to others: that it waits is tried where the workers are.
#[tokio::test]
async fn a_standby_that_becomes_a_subscriber_has_a_history_that_verifies() {
    let settings = || Settings::preloaded(&[("wal_level", "logical")]);
    let primary = Postgres::start_with(settings()).await;
    let source = primary.client("erp", "postgres").await;
    run(&source, "update quotes set notes = 'before'; select seal_quote_history()").await;
    run(&source, "create publication feed for table quotes, quote_lines, quote_changes with (publish_via_partition_root = true)").await;
    let standby = primary.standby_with(settings()).await;
    let writer = primary.client("erp", "postgres").await;
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    let writing = tokio::spawn(async move {
        while !ends.load(Ordering::Relaxed) {
            run(&writer, "update quotes set notes = clock_timestamp()::text where quote_number like '%7'")
                .await;
        }
    });
    let subscriber = standby.into_subscriber(&primary, "erp").await;
    is_over.store(true, Ordering::Relaxed);
    writing.await.expect("the writer ends");
    let Some(subscriber) = subscriber else { return };
    let target = subscriber.client("erp", "postgres").await;
    for statement in [
        r#"select attach_quote_collaboration(options => '{"replicated_history": true}')"#.to_owned(),
        format!("alter subscription {SUBSCRIPTION} disable"),
        format!("alter subscription {SUBSCRIPTION} set (run_as_owner = true)"),
        format!("alter subscription {SUBSCRIPTION} set publication feed with (refresh = false)"),
        format!("alter subscription {SUBSCRIPTION} enable"),
        format!("alter subscription {SUBSCRIPTION} refresh publication with (copy_data = false)"),
    ] {
        run(&target, &statement).await;
    }
    run(&source, &format!("drop publication {PUBLICATION}")).await;
    let written = text(&source, CHANGES).await;
    eventually("the subscriber has applied everything", || async { text(&target, CHANGES).await == written })
        .await;
    run(&target, "select seal_quote_history()").await;
    let found = "select string_agg(finding || ' ' || detail, ', ') from verify_quote_history()";
    assert_eq!(text(&target, found).await, "");
    run(&target, &format!("alter subscription {SUBSCRIPTION} disable; alter subscription {SUBSCRIPTION} set (slot_name = none); drop subscription {SUBSCRIPTION}")).await;
}
