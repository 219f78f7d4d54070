//! Whole months go to the archive, and stay readable, sealed and apart by tenant.

use quote_collab_tests::history::{PAST, tell};
use quote_collab_tests::statement::{WRITE, backend};
use quote_collab_tests::{Erp, eventually};

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
    let pid = backend(&other).await;
    let archiving = tokio::spawn(async move {
        other
            .query_one("select archive_quote_changes('3 months'), current_setting('lock_timeout')", &[])
            .await
    });
    erp.wait_for_waiting(pid).await;
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
