//! Whole months go to the archive, and stay readable, sealed and apart by tenant.

use std::sync::Arc;

use quote_collab_tests::history::PAST;
use quote_collab_tests::{Erp, Postgres, built, eventually};
use tokio_postgres::Client;

const WRITE: &str = "update quotes set notes = clock_timestamp()::text where id = (select id from quotes order by id limit 1)";

#[tokio::test]
async fn old_months_move_and_stay_readable() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    admin
        .batch_execute(
            "select seal_quote_history(); update quotes set notes = 'now'; select seal_quote_history()",
        )
        .await
        .unwrap();
    let quote = erp.quote(0).await;
    let history = format!("select count(*) from get_quote_change_history('{quote}')");
    let all = "select count(*) from v_quote_changes_all";
    let (before, total) = (erp.count(&history).await, erp.count(all).await);
    // A reader of the log holds its lock for longer than the archive waits: nothing is moved.
    let reader = erp.client("postgres").await;
    reader.batch_execute("begin; select count(*) from quote_changes").await.unwrap();
    admin.batch_execute("set lock_timeout = '100ms'").await.unwrap();
    let refused = admin.batch_execute("select archive_quote_changes('3 months')").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "55P03");
    assert_eq!(erp.count("select count(*) from pg_class where relname = 'quote_changes_archive'").await, 0);
    reader.batch_execute("rollback").await.unwrap();
    let moved: i32 = admin.query_one("select archive_quote_changes('3 months')", &[]).await.unwrap().get(0);
    let again: i32 = admin.query_one("select archive_quote_changes('3 months')", &[]).await.unwrap().get(0);
    assert_eq!((moved, again), (2, 0));
    assert_eq!((erp.count(&history).await, erp.count(all).await), (before, total));
    assert_eq!(
        erp.count("select count(*) from quote_changes_archive").await,
        2 * erp.count("select count(*) from quotes").await
    );
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    assert_eq!(
        erp.count("select count(*) from pg_constraint where conname = 'quote_changes_month'").await,
        0
    );
    let open = "select count(*) from pg_class where relname ~ '^quote_changes_(archive|past)' and relkind in ('r', 'p') and not (relrowsecurity and relforcerowsecurity)";
    assert_eq!(erp.count(open).await, 0);
    let app = erp.client("erp_app").await;
    assert_eq!(
        app.query_one("select count(*) from quote_changes_archive", &[]).await.unwrap().get::<_, i64>(0),
        0
    );
    app.batch_execute(&format!("set app.current_tenant_id = '{}'", erp.tenants().await[0])).await.unwrap();
    let own = app
        .query_one("select count(*), count(distinct tenant_id) from quote_changes_archive", &[])
        .await
        .unwrap();
    assert!(own.get::<_, i64>(0) > 0 && own.get::<_, i64>(1) == 1);
    // A tampered archive is found like any other row, and new rows still go to the log.
    admin.batch_execute("update quotes set notes = 'later'; select attach_quote_collaboration(); select quote_collab_maintenance()").await.unwrap();
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    admin.batch_execute("update quote_changes_archive set new_value = '\"other\"' where position = (select min(position) from quote_changes_archive)").await.unwrap();
    assert!(erp.count("select count(*) from verify_quote_history()").await > 0);
}

#[tokio::test]
async fn an_age_must_be_one() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for statement in ["select archive_quote_changes(null)", "select archive_quote_changes('-1 day')"] {
        let error = admin.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().code().code(), "22023", "{statement}");
    }
    // The month that is being written never goes.
    assert_eq!(
        admin.query_one("select archive_quote_changes('0 days')", &[]).await.unwrap().get::<_, i32>(0),
        0
    );
}

/// Rows of two months that have no partition, as maintenance that slept through them leaves them, in a log that refuses deletions.
const STRAYS: &str = "
    insert into quote_changes (id, tenant_id, quote_id, changed_at, entity_type, field_name, old_value, new_value, change_type, was_conflict,
        entity_version_before, entity_version_after, event_id, position, xid, origin)
    select uuid_generate_v7(), q.tenant_id, q.id, date_trunc('month', now(), 'UTC') - make_interval(months => m) + interval '3 days', 'QUOTE', 'notes', null,
        to_jsonb('stray'::text), 'UPDATE', false, 1, 2, uuid_generate_v7(), nextval('quote_changes_position_seq'), pg_current_xact_id(), quote_cluster_identifier()
    from quotes q cross join generate_series(4, 5) m;
    create function refuse() returns trigger language plpgsql as $$ begin raise exception 'append-only'; end $$;
    create trigger append_only before update or delete on quote_changes for each row execute function refuse();
    create table as_written as select * from quote_changes";

/// Months of the log whose bounds are noted, and how many of these are proved.
const NOTED: &str = "select concat_ws('/', count(*), count(*) filter (where k.convalidated)) from pg_constraint k
    join pg_inherits i on i.inhrelid = k.conrelid and i.inhparent = 'quote_changes'::regclass where k.conname = 'quote_changes_month'";

#[tokio::test]
async fn nobody_waits_for_it_but_a_moment() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    let quote = erp.quote(0).await;
    let bystander = erp.client("postgres").await;
    bystander.batch_execute("set statement_timeout = '2s'; set deadlock_timeout = '500ms'").await.unwrap();
    let reader = erp.client("postgres").await;
    reader.batch_execute("begin; select count(*) from quote_changes").await.unwrap();
    let archiver = erp.client("postgres").await;
    archiver.batch_execute("set lock_timeout = '60s'").await.unwrap();
    let archiving =
        tokio::spawn(
            async move { archiver.query_one("select archive_quote_changes('3 months')", &[]).await },
        );
    erp.wait_until("select exists (select from pg_stat_activity where query = 'select archive_quote_changes(''3 months'')' and state = 'active')").await;
    // Who has the log, and who comes later, read and write on while it tries.
    for _ in 0..10 {
        bystander
            .batch_execute(&format!(
                "begin; update quotes set notes = 'on ' || clock_timestamp() where id = '{quote}';
                 select get_quote_change_history('{quote}'); commit"
            ))
            .await
            .unwrap();
        reader.batch_execute("select count(*) from quote_changes").await.unwrap();
    }
    reader.batch_execute("commit").await.unwrap();
    assert_eq!(archiving.await.unwrap().unwrap().get::<_, i32>(0), 2);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

#[tokio::test]
async fn what_maintenance_has_proved_stays_proved() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    admin.batch_execute("select quote_collab_maintenance()").await.unwrap();
    erp.wait_until(&format!("select ({NOTED}) = '2/0'")).await;
    let reader = erp.client("postgres").await;
    reader.batch_execute("begin; select count(*) from quote_changes").await.unwrap();
    admin
        .batch_execute(
            "update quote_collab_settings set archive_after = '3 months'; select quote_collab_maintenance()",
        )
        .await
        .unwrap();
    erp.wait_until(&format!("select ({NOTED}) = '2/2'")).await;
    reader.batch_execute("commit").await.unwrap();
    erp.wait_until(
        "select quote_collab_maintenance() is not null and to_regclass('quote_changes_archive') is not null",
    )
    .await;
    assert_eq!(
        erp.count("select count(*) from pg_constraint where conname = 'quote_changes_month'").await,
        0
    );
    assert_eq!(
        erp.count("select count(*) from quote_changes_archive").await,
        2 * erp.count("select count(*) from quotes").await
    );
}

#[tokio::test]
async fn a_large_month_is_not_proved_while_others_wait() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    // Nobody calls maintenance here.
    admin
        .batch_execute(&format!(
            "{PAST};
             insert into quote_changes_past_0 select gen_random_uuid(), tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
                 to_jsonb(repeat('x', 1500)), change_type, session_id, was_conflict, conflict_resolution, entity_version_before, entity_version_after, event_id,
                 position, xid, origin, context from quote_changes_past_0 cross join generate_series(1, 500)"
        ))
        .await
        .unwrap();
    let refused = admin.batch_execute("select archive_quote_changes('3 months')").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "55000");
}

#[tokio::test]
async fn rows_of_past_months_leave_the_default_partition() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(STRAYS).await.unwrap();
    admin.batch_execute("select seal_quote_history(), place_quote_strays('quote_changes')").await.unwrap();
    erp.wait_until("select not exists (select from quote_changes_default)").await;
    assert_eq!(erp.count("select count(*) from (table as_written except table quote_changes) x").await, 0);
    assert_eq!(
        erp.count("select count(*) from quote_changes").await,
        erp.count("select count(*) from as_written").await
    );
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    let wrong = "select count(*) from quote_collab_doctor() where severity <> 'ok' and check_name ~ '(default partition|row security forced|tenant policies)'";
    assert_eq!(erp.count(wrong).await, 0);
    admin.batch_execute("drop trigger append_only on quote_changes").await.unwrap();
    let moved: i32 = admin.query_one("select archive_quote_changes('1 month')", &[]).await.unwrap().get(0);
    assert_eq!(moved, 2);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

/// A clock that was set back, past a month that is archived.
#[tokio::test]
async fn rows_of_archived_months_follow_them() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let quotes = erp.count("select count(*) from quotes").await;
    admin.batch_execute(PAST).await.unwrap();
    admin.batch_execute("select archive_quote_changes('3 months')").await.unwrap();
    admin
        .batch_execute(
            "insert into quote_changes select gen_random_uuid(), tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
                 new_value, change_type, session_id, was_conflict, conflict_resolution, entity_version_before, entity_version_after, event_id,
                 nextval('quote_changes_position_seq'), pg_current_xact_id(), origin, context from quote_changes_archive",
        )
        .await
        .unwrap();
    let lie = "select count(*) from quote_changes_default";
    assert_eq!(erp.count(lie).await, 2 * quotes);
    // Event feeds read the log alone, and some have not yet.
    let place = "select place_quote_strays('quote_changes')";
    admin.batch_execute("select seal_quote_history()").await.unwrap();
    let placed: i32 = admin.query_one(place, &[]).await.unwrap().get(0);
    assert_eq!((placed, erp.count(lie).await), (0, 2 * quotes));
    let told = "select count(*) from quote_collab_doctor() where severity <> 'ok' and check_name = 'default partition empty'";
    assert_eq!(erp.count(told).await, 0);
    let clock = |shift: &str| {
        format!("update quote_changes_seals set sealed_at = sealed_at {shift} interval '2 days' where no > 0")
    };
    admin.batch_execute(&clock("-")).await.unwrap();
    // A relay that was away has begun to read them, and is not through.
    let away = "update quote_relay_batch set prev_at = now() - interval '1 hour', cur_at = now() - interval '1 hour'";
    admin.batch_execute(away).await.unwrap();
    let epoch: i64 = admin.query_one("select quote_relay_lease('test', '1 hour')", &[]).await.unwrap().get(0);
    let open = "select quote_relay_open_batch($1)";
    let first: Option<i64> = admin.query_one(open, &[&epoch]).await.unwrap().get(0);
    assert_eq!(first, Some(1));
    let placed: i32 = admin.query_one(place, &[]).await.unwrap().get(0);
    assert_eq!((placed, erp.count(lie).await), (0, 2 * quotes));
    admin.batch_execute("update quotes set notes = 'behind'").await.unwrap();
    let batch: i64 = admin.query_one(open, &[&epoch]).await.unwrap().get(0);
    admin.query_one("select quote_relay_checkpoint($1, $2, 0, 1)", &[&epoch, &batch]).await.unwrap();
    let placed: i32 = admin.query_one(place, &[]).await.unwrap().get(0);
    assert_eq!((placed, erp.count(lie).await), (2, 0));
    admin.batch_execute(&clock("+")).await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes_archive").await, 4 * quotes);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

/// A change, told for good by a relay that has only begun to ask.
async fn tell(erp: &Erp, epoch: i64) {
    let relay = erp.client("postgres").await;
    for _ in 0..2 {
        relay.batch_execute(WRITE).await.expect("a change");
        let open = "select quote_relay_open_batch($1)";
        let batch: i64 = relay.query_one(open, &[&epoch]).await.expect("a batch").get(0);
        let note = "select quote_relay_checkpoint($1, $2, 0, 1)";
        relay.query_one(note, &[&epoch, &batch]).await.expect("it is noted");
    }
}

/// A clock that was behind put something into a month that is over, while the relay was away.
#[tokio::test]
async fn a_month_stays_until_all_of_it_is_told_and_sealed() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    let epoch: i64 = admin.query_one("select quote_relay_lease('test', '1 hour')", &[]).await.unwrap().get(0);
    tell(&erp, epoch).await;
    admin.batch_execute(WRITE).await.unwrap();
    let behind = "update quote_changes set changed_at = (select min(changed_at) from quote_changes)
        where position = (select max(position) from quote_changes)";
    admin.batch_execute(behind).await.unwrap();
    let archive = async || {
        let moved: i32 =
            admin.query_one("select archive_quote_changes('3 months')", &[]).await.unwrap().get(0);
        assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
        moved
    };
    assert_eq!(archive().await, 0);
    // A batch beside transactions of other tests may have to look back further.
    let is_archived = async || {
        tell(&erp, epoch).await;
        archive().await == 2
    };
    eventually("what is told and sealed is archived", is_archived).await;
}

#[tokio::test]
async fn a_transaction_that_looks_back_archives_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    for level in ["repeatable read", "serializable"] {
        admin.batch_execute(&format!("begin isolation level {level}")).await.unwrap();
        let refused = admin.batch_execute("select archive_quote_changes('3 months')").await.unwrap_err();
        assert_eq!(refused.as_db_error().unwrap().code().code(), "25000", "{level}");
        admin.batch_execute("rollback").await.unwrap();
    }
}

/// The one that waits finds that all is done.
#[tokio::test]
async fn what_two_archive_at_once_is_archived_once() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    for statement in [PAST, "select seal_quote_history()", "begin; select archive_quote_changes('3 months')"]
    {
        admin.batch_execute(statement).await.unwrap();
    }
    let other = erp.client("postgres").await;
    let pid: i32 = other.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let archiving = tokio::spawn(async move {
        other
            .query_one("select archive_quote_changes('3 months'), current_setting('lock_timeout')", &[])
            .await
    });
    erp.wait_until(&format!("select exists (select from pg_locks where not granted and pid = {pid})")).await;
    admin.batch_execute("commit").await.unwrap();
    let (archived, patience): (i32, String) =
        archiving.await.unwrap().map(|row| (row.get(0), row.get(1))).unwrap();
    assert_eq!((archived, patience.as_str()), (0, "0"));
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

#[tokio::test]
async fn a_reader_has_a_day_for_what_a_clock_behind_put_into_an_old_month() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(PAST).await.unwrap();
    admin.batch_execute("select seal_quote_history(); update quote_changes_seals set sealed_at = sealed_at - interval '2 days' where no > 0").await.unwrap();
    let cursor: String = admin.query_one("select quote_events_cursor()", &[]).await.unwrap().get(0);
    admin.batch_execute(WRITE).await.unwrap();
    let behind = "update quote_changes set changed_at = (select min(changed_at) from quote_changes)
        where position = (select max(position) from quote_changes)";
    admin.batch_execute(behind).await.unwrap();
    let archive = "select archive_quote_changes('3 months')";
    assert_eq!(admin.query_one(archive, &[]).await.unwrap().get::<_, i32>(0), 0);
    // Another session, which has not watched the clock.
    let reader = erp.client("postgres").await;
    assert_eq!(reader.query("select * from quote_events_since($1, 10)", &[&cursor]).await.unwrap().len(), 1);
    admin
        .batch_execute(
            "update quote_changes_seals set sealed_at = sealed_at - interval '2 days' where no > 1",
        )
        .await
        .unwrap();
    assert_eq!(admin.query_one(archive, &[]).await.unwrap().get::<_, i32>(0), 2);
    admin
        .batch_execute(
            "update quote_changes_seals set sealed_at = sealed_at + interval '2 days' where no > 0",
        )
        .await
        .unwrap();
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

#[tokio::test]
async fn rows_move_past_no_publication_that_leaves_deletes_out() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(ARCHIVED_AHEAD).await.unwrap();
    let inserts = "create publication inserts for table quote_changes with (publish = 'insert', publish_via_partition_root = true)";
    admin.batch_execute(&format!("update quotes set notes = 'meanwhile'; {inserts}")).await.unwrap();
    let make = "select create_quote_changes_partitions('quote_changes', 0)";
    let strays = "select count(*) from quote_changes_default";
    let quotes = erp.count("select count(*) from quotes").await;
    for moves in [make, "select place_quote_strays('quote_changes')"] {
        assert_eq!(admin.query_one(moves, &[]).await.unwrap().get::<_, i32>(0), 0, "{moves}");
    }
    assert_eq!(erp.count(strays).await, quotes);
    admin.batch_execute("alter publication inserts set (publish = 'insert, delete')").await.unwrap();
    assert_eq!(admin.query_one(make, &[]).await.unwrap().get::<_, i32>(0), 1);
    assert_eq!(erp.count(strays).await, 0);
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
}

/// What a clock that was ahead for a while leaves: all months are archived, also that which is being written.
const ARCHIVED_AHEAD: &str = "
    update quotes set notes = 'before'; select seal_quote_history(); select create_quote_changes_archive('quote_changes');
    do $$ declare m record; begin
        for m in select * from quote_changes_months_before('quote_changes', 'infinity') loop
            execute format('alter table quote_changes detach partition %s', m.month);
            execute format('alter table quote_changes_archive attach partition %s %s', m.month, m.bounds);
        end loop;
    end $$";

#[tokio::test]
async fn a_month_that_is_not_over_comes_back() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(ARCHIVED_AHEAD).await.unwrap();
    let cursor: String = admin.query_one("select quote_events_cursor()", &[]).await.unwrap().get(0);
    admin.batch_execute("update quotes set notes = 'meanwhile'").await.unwrap();
    let quotes = erp.count("select count(*) from quotes").await;
    assert_eq!(erp.count("select count(*) from quote_changes_default").await, quotes);
    admin.batch_execute("select place_quote_strays('quote_changes')").await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes_default").await, quotes);
    let hint = "select hint from quote_collab_doctor() where check_name = 'partition of this month'";
    let hint: String = admin.query_one(hint, &[]).await.unwrap().get(0);
    admin.batch_execute(&hint).await.unwrap();
    let told = admin.query("select event from quote_events_since($1, 1000)", &[&cursor]).await.unwrap();
    assert_eq!(i64::try_from(told.len()).unwrap(), quotes);
    for empty in ["quote_changes_default", "quote_changes_archive"] {
        assert_eq!(erp.count(&format!("select count(*) from {empty}")).await, 0, "{empty}");
    }
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    let wrong = "select count(*) from quote_collab_doctor() where severity <> 'ok'
        and check_name ~ '(partition|row security forced|tenant policies|log as attached)'";
    assert_eq!(erp.count(wrong).await, 0);
}

#[tokio::test]
async fn a_large_month_comes_back_once_its_bounds_are_proved() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute(ARCHIVED_AHEAD).await.unwrap();
    admin
        .batch_execute(
            "insert into quote_changes_archive select gen_random_uuid(), tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value,
                 to_jsonb(repeat('x', 1500)), change_type, session_id, was_conflict, conflict_resolution, entity_version_before, entity_version_after, event_id,
                 nextval('quote_changes_position_seq'), xid, origin, context from quote_changes_archive cross join generate_series(1, 250);
             update quotes set notes = 'meanwhile'",
        )
        .await
        .unwrap();
    let make = "select create_quote_changes_partitions('quote_changes', 0)";
    for made in [0, 1] {
        assert_eq!(admin.query_one(make, &[]).await.unwrap().get::<_, i32>(0), made);
    }
    let left = "select (select count(*) from quote_changes_default) + (select count(*) from pg_constraint where conname = 'quote_changes_month')";
    assert_eq!(erp.count(left).await, 0);
}

/// On a server of its own: who is running elsewhere in a cluster may have written what a snapshot does not show, as far as a reader knows.
async fn alone() -> Erp {
    Erp::attached_on(Arc::new(Postgres::start().await)).await
}

/// What a reader of the feed gets from a cursor: how many events, or the SQLSTATE.
async fn read(reader: &Client, cursor: Option<&str>, max: i32) -> Result<Vec<String>, String> {
    let rows = reader.query("select cursor from quote_events_since($1, $2)", &[&cursor, &max]).await;
    let code =
        |error: tokio_postgres::Error| error.code().map_or_else(String::new, |code| code.code().to_owned());
    rows.map(|rows| rows.iter().map(|row| row.get(0)).collect()).map_err(code)
}

async fn cursor(reader: &Client) -> String {
    reader.query_one("select quote_events_cursor()", &[]).await.expect("a cursor").get(0)
}

/// A cursor as releases before 0.18.0 gave it, without the number of what left the log.
fn earlier(cursor: &str) -> String {
    let mut parts: Vec<&str> = cursor.split('/').collect();
    parts[0] = "3";
    parts.remove(5);
    parts.join("/")
}

/// Months that lie in the archive, sealed, and cursors: before them, in their middle, behind their last event, and of everything.
async fn archived() -> (Erp, Client, [String; 4]) {
    let erp = alone().await;
    let admin = erp.client("postgres").await;
    let before = cursor(&admin).await;
    admin.batch_execute(PAST).await.expect("it is done");
    admin.batch_execute("select seal_quote_history()").await.expect("it is done");
    let events = read(&admin, Some(&before), 1000).await.expect("it is done");
    let (middle, last) = (events[150].clone(), events.last().expect("it is done").clone());
    let all = cursor(&admin).await;
    let moved: i32 =
        admin.query_one("select archive_quote_changes('3 months')", &[]).await.expect("it is done").get(0);
    assert_eq!(moved, 2);
    (erp, admin, [before, middle, last, all])
}

/// Event feeds read the log alone: what is gone to the archive meanwhile is not passed over in silence.
#[tokio::test]
async fn a_reader_is_told_that_what_he_has_not_read_was_archived() {
    let (erp, admin, [before, middle, last, all]) = archived().await;
    // Nobody who reads the log needs its archive.
    let busy = erp.client("postgres").await;
    busy.batch_execute("begin; lock table quote_changes_archive").await.unwrap();
    admin.batch_execute(WRITE).await.unwrap();
    for lost in [&before, &middle] {
        let refused = admin.query("select * from quote_events_since($1)", &[lost]).await.unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!(error.code().code(), "QC001", "{lost}");
        assert!(error.detail().unwrap().contains("archived") && error.hint().is_some());
        assert_eq!(read(&admin, Some(&earlier(lost)), 9).await, Err("QC001".to_owned()), "{lost}");
    }
    for (known, what) in [(&last, "the last of it"), (&all, "all of it")] {
        assert_eq!(read(&admin, Some(known), 9).await.unwrap().len(), 1, "{what} was read");
    }
    // From the beginning of the log, and from there on.
    let rest = read(&admin, None, 9).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(read(&admin, Some(&rest[0]), 9).await.unwrap().len(), 0);
    busy.batch_execute("rollback").await.unwrap();
    // Nor does it help that it was dropped.
    admin.batch_execute("select drop_archived_quote_changes('1 year')").await.unwrap();
    assert_eq!(read(&admin, Some(&before), 9).await, Err("QC001".to_owned()));
    assert_eq!(read(&admin, Some(&all), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reader_is_told_that_rows_followed_their_month_to_the_archive() {
    let (erp, admin, [.., all]) = archived().await;
    for statement in [
        WRITE,
        "update quote_changes set changed_at = (select min(changed_at) from quote_changes_archive) where position = (select max(position) from quote_changes)",
        "select seal_quote_history()",
        "update quote_changes_seals set sealed_at = sealed_at - interval '3 days'",
    ] {
        admin.batch_execute(statement).await.unwrap();
    }
    // Who has not watched the clock.
    let reader = erp.client("postgres").await;
    let told = read(&reader, Some(&all), 9).await.unwrap();
    assert_eq!(told.len(), 1);
    admin.batch_execute("select quote_collab_maintenance()").await.unwrap();
    assert_eq!(read(&reader, Some(&all), 9).await, Err("QC001".to_owned()));
    assert_eq!(read(&reader, Some(&told[0]), 9).await.unwrap().len(), 0, "who has read it goes on");
}

/// It has found nothing amiss, and then waits for the log while its months leave it; also where its transaction looks back.
#[tokio::test]
async fn a_reader_is_told_what_is_archived_while_it_reads() {
    for isolation in ["read committed", "repeatable read", "serializable"] {
        reads_while_months_leave(isolation).await;
    }
}

async fn reads_while_months_leave(isolation: &str) {
    let erp = alone().await;
    let admin = erp.client("postgres").await;
    let before = cursor(&admin).await;
    admin.batch_execute(PAST).await.expect("months of the past");
    admin.batch_execute(&format!("select seal_quote_history(); {WRITE}")).await.expect("it is done");
    admin.batch_execute("begin; select archive_quote_changes('3 months')").await.expect("it is done");
    let reader = erp.client("postgres").await;
    let transaction = format!("begin isolation level {isolation}; select count(*) from quotes");
    reader.batch_execute(&transaction).await.expect("it begins");
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).await.expect("it is done").get(0);
    let reading = tokio::spawn(async move { read(&reader, Some(&before), 9).await });
    erp.wait_until(&format!("select exists (select from pg_locks where not granted and pid = {pid})")).await;
    admin.batch_execute("commit").await.expect("it is done");
    assert_eq!(reading.await.expect("it does not panic"), Err("QC001".to_owned()), "{isolation}");
}

/// What was archived since its transaction began, and what that does not see yet, is behind every cursor that it is given.
#[tokio::test]
async fn a_cursor_of_a_transaction_that_looks_back_is_one_of_then() {
    for isolation in ["repeatable read", "serializable"] {
        let erp = alone().await;
        let admin = erp.client("postgres").await;
        admin.batch_execute(WRITE).await.unwrap();
        let reader = erp.client("postgres").await;
        let begin = format!("begin isolation level {isolation}; select count(*) from quotes");
        reader.batch_execute(&begin).await.unwrap();
        admin.batch_execute(PAST).await.unwrap();
        let run = "select seal_quote_history(); select archive_quote_changes('3 months')";
        for statement in run.split("; ").chain([WRITE]) {
            admin.batch_execute(statement).await.unwrap();
        }
        let made = cursor(&reader).await;
        let read_on = read(&reader, None, 9).await.unwrap().pop().expect("what it sees");
        reader.batch_execute("commit").await.unwrap();
        for given in [made, read_on] {
            assert_eq!(read(&admin, Some(&given), 9).await, Err("QC001".to_owned()), "{isolation}: {given}");
        }
        // Nothing has left the log since that one.
        reader.batch_execute(&begin).await.unwrap();
        let made = cursor(&reader).await;
        reader.batch_execute("commit").await.unwrap();
        admin.batch_execute(WRITE).await.unwrap();
        assert_eq!(read(&admin, Some(&made), 9).await.unwrap().len(), 1, "{isolation}");
    }
}

/// So is a subscriber that comes back to a place in a batch of the relay.
#[tokio::test]
async fn a_subscriber_is_told_that_what_he_missed_was_archived() {
    let erp = alone().await;
    let admin = erp.client("postgres").await;
    let epoch: i64 =
        admin.query_one("select quote_relay_lease('test', '1 minute')", &[]).await.unwrap().get(0);
    admin.batch_execute(PAST).await.unwrap();
    admin.batch_execute("select seal_quote_history()").await.unwrap();
    tell(&erp, epoch).await;
    admin.batch_execute(&format!("{WRITE}; select seal_quote_history()")).await.unwrap();
    tell(&erp, epoch).await;
    let missed = |place: i64| {
        format!(
            "select count(*) from (select id from quotes order by id limit 1) q, quote_events_between(q.id, 1, {place}, 4, {}, 100)",
            i64::MAX
        )
    };
    let (all, since) = (erp.count(&missed(0)).await, erp.count(&missed(i64::MAX)).await);
    assert!(all >= since + 2 && since > 0, "{all} in all, {since} since");
    let moved: i32 = admin.query_one("select archive_quote_changes('3 months')", &[]).await.unwrap().get(0);
    assert_eq!(moved, 2);
    assert_eq!(admin.batch_execute(&missed(0)).await.unwrap_err().code().unwrap().code(), "QC001");
    assert_eq!(erp.count(&missed(i64::MAX)).await, since, "who has seen the batch goes on");
}

/// It has found its place, and then waits for the log while what is old of the relay's batches goes.
#[tokio::test]
async fn a_subscriber_is_told_of_batches_that_go_while_it_reads() {
    let erp = alone().await;
    let admin = erp.client("postgres").await;
    let epoch: i64 =
        admin.query_one("select quote_relay_lease('test', '1 minute')", &[]).await.unwrap().get(0);
    for _ in 0..3 {
        admin.batch_execute(WRITE).await.unwrap();
        tell(&erp, epoch).await;
    }
    let missed = format!(
        "select count(*) from (select id from quotes order by id limit 1) q, quote_events_between(q.id, 1, {0}, 3, {0}, 100)",
        i64::MAX
    );
    assert_eq!(erp.count(&missed).await, 3);
    let begun = "begin; update quote_relay_batch set cur_at = cur_at - interval '3 days' where no < 3; select drop_old_quote_batches(); lock table quote_changes";
    admin.batch_execute(begun).await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_relay_batch where no = 1").await, 1, "it is not over");
    let reader = erp.client("postgres").await;
    let pid: i32 = reader.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let reading =
        tokio::spawn(async move { reader.query_one(&missed, &[]).await.map(|row| row.get::<_, i64>(0)) });
    erp.wait_until(&format!("select exists (select from pg_locks where not granted and pid = {pid})")).await;
    admin.batch_execute("commit").await.unwrap();
    let refused = reading.await.unwrap().unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "QC001");
    // Nor is there a way round by asking from the very beginning.
    let from_the_beginning = "select quote_events_between(id, 0, 0, 3, 9223372036854775807, 100) from quotes";
    let refused = admin.batch_execute(from_the_beginning).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "QC001");
}

/// Numbers of what left the log begin anew with no extension, also where an earlier release is installed and updated.
#[tokio::test]
async fn a_reader_of_before_an_earlier_release_is_told() {
    let server = Arc::new(Postgres::start().await);
    server.add_script(&built::place().releases().join("quote_collab_ext--0.17.0.sql"));
    let erp = Erp::attached_on(server).await;
    let admin = erp.client("postgres").await;
    let before = cursor(&admin).await;
    for statement in [
        PAST,
        "select seal_quote_history()",
        "begin; select detach_quote_collaboration(); drop extension quote_collab_ext; create extension quote_collab_ext version '0.17.0';
            select attach_quote_collaboration(); commit",
        "alter extension quote_collab_ext update; select attach_quote_collaboration()",
        "select archive_quote_changes('3 months')",
        WRITE,
    ] {
        admin.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    for given in [earlier(&before), before] {
        assert_eq!(read(&admin, Some(&given), 9).await, Err("QC001".to_owned()), "{given}");
    }
    let now = cursor(&admin).await;
    admin.batch_execute(WRITE).await.unwrap();
    assert_eq!(read(&admin, Some(&now), 9).await.unwrap().len(), 1);
}

/// What left the log before the extension was made again nobody knows; and a number that was given in vain is not given again.
#[tokio::test]
async fn a_reader_of_a_former_extension_is_told() {
    let (_erp, admin, [.., all]) = archived().await;
    admin.batch_execute(WRITE).await.unwrap();
    admin.batch_execute("begin; select note_quote_log_cut('quote_changes', 3, 1)").await.unwrap();
    let given = cursor(&admin).await;
    admin
        .batch_execute(
            "rollback; select note_quote_log_cut('quote_changes', pg_current_xact_id()::text::bigint, 1)",
        )
        .await
        .unwrap();
    assert_eq!(read(&admin, Some(&given), 9).await, Err("QC001".to_owned()), "a cut that was taken back");
    let again = "select detach_quote_collaboration(); drop extension quote_collab_ext; create extension quote_collab_ext; select attach_quote_collaboration()";
    admin.batch_execute(again).await.unwrap();
    for all in [all.clone(), earlier(&all)] {
        assert_eq!(read(&admin, Some(&all), 9).await, Err("QC001".to_owned()), "a former extension: {all}");
    }
    let now = cursor(&admin).await;
    admin.batch_execute(WRITE).await.unwrap();
    assert_eq!(read(&admin, Some(&now), 9).await.unwrap().len(), 1);
    assert!(read(&admin, None, 9).await.is_ok_and(|events| !events.is_empty()));
}
