//! History goes after its retention, and the seals tell that from tampering.

use quote_collab_tests::Erp;
use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{backend, run, text};
use tokio_postgres::Client;

/// Lets January go, and what is older.
const DROP_JANUARY: &str = "select drop_archived_quote_changes(now() - (date_trunc('year', now() - interval '2 years', 'UTC') + interval '1 month 1 day'))::bigint";

const FINDINGS: &str = "select coalesce(string_agg(finding || ' ' || (regexp_match(detail, '^\\d*'))[1], ',' order by block), 'nothing') from verify_quote_history()";

/// Two months in one block, of which half will go, and further blocks around it.
async fn past() -> (Erp, Client) {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, PAST).await;
    run(&admin, "update quotes set notes = 'now'").await;
    run(&admin, "select seal_quote_history()").await;
    run(&admin, "update quotes set contact_name = 'later'").await;
    run(&admin, "select seal_quote_history()").await;
    run(&admin, "update quotes set notes = 'not sealed yet'").await;
    (erp, admin)
}

#[tokio::test]
async fn what_was_let_go_is_told_from_what_was_tampered_with() {
    let (erp, admin) = past().await;
    let digest = text(&admin, "select quote_history_digest()").await;
    run(&admin, "select archive_quote_changes('3 months')").await;
    assert_eq!(erp.count(DROP_JANUARY).await, 1);
    assert_eq!(erp.count(DROP_JANUARY).await, 0);
    assert_eq!(text(&admin, "select count(*)::text from quote_changes_archive").await, "200");
    assert_eq!(text(&admin, FINDINGS).await, "released 200");
    // A digest that was kept before still stands, and the chain goes on.
    let kept =
        format!("select count(*)::text from verify_quote_history('{digest}') where finding <> 'released'");
    assert_eq!(text(&admin, &kept).await, "0");
    run(&admin, "update quotes set notes = 'after'").await;
    run(&admin, "select quote_collab_maintenance()").await;
    assert_eq!(text(&admin, FINDINGS).await, "released 200");
    for tampering in [
        "update quote_changes_archive set new_value = '\"forged\"' where position = (select min(position) from quote_changes_archive)",
        "delete from quote_changes_archive where position = (select min(position) from quote_changes_archive)",
        "update quote_changes set changed_at = changed_at - interval '5 years' where position = (select max(position) from quote_changes)",
        "delete from quote_changes",
        "update quote_changes_seals set released = released || '{\"rows\": 100}' where released is not null",
        "update quote_changes_seals set released = null where released is not null",
        "delete from quote_changes_seals where released is not null",
        "update quote_changes_seals set released = '{\"rows\": 1, \"gone\": \"{[1,99]}\", \"remains\": {}}' where no = 2",
        "insert into quote_changes_archive select gen_random_uuid(), tenant_id, quote_id, quote_line_id, changed_by, changed_at, entity_type, field_name, old_value, new_value,
            change_type, session_id, was_conflict, conflict_resolution, entity_version_before, entity_version_after, event_id, position, xid, origin, context
            from quote_changes_archive limit 1",
    ] {
        run(&admin, &format!("begin; {tampering}")).await;
        assert_ne!(text(&admin, FINDINGS).await, "released 200", "{tampering}");
        run(&admin, "rollback").await;
    }
    // The other half goes later.
    run(&admin, "select drop_archived_quote_changes('1 year')").await;
    assert_eq!(text(&admin, FINDINGS).await, "released 200,released 200");
    assert_eq!(text(&admin, "select count(*)::text from quote_changes_archive").await, "0");
}

#[tokio::test]
async fn what_is_not_as_it_was_sealed_is_not_dropped() {
    let (erp, admin) = past().await;
    run(&admin, "select archive_quote_changes('3 months')").await;
    let before = erp.schema().await;
    for tampering in [
        "update quote_changes_archive set new_value = '\"forged\"' where position = (select min(position) from quote_changes_archive)",
        "delete from quote_changes_archive where position = (select min(position) from quote_changes_archive)",
        "update quote_changes_archive set xid = '9223372036854775807' where position = (select min(position) from quote_changes_archive)",
    ] {
        run(&admin, &format!("begin; {tampering}")).await;
        let refused = admin.batch_execute(DROP_JANUARY).await.expect_err(tampering);
        assert_eq!(refused.as_db_error().expect("PostgreSQL refuses").code().code(), "55000", "{tampering}");
        run(&admin, "rollback").await;
    }
    for age in ["null", "'-1 day'", "'0 days'"] {
        let refused =
            admin.batch_execute(&format!("select drop_archived_quote_changes({age})")).await.expect_err(age);
        assert_eq!(refused.as_db_error().expect("PostgreSQL refuses").code().code(), "22023");
    }
    let refused =
        erp.client("erp_app").await.batch_execute(DROP_JANUARY).await.expect_err("not for everybody");
    assert_eq!(refused.as_db_error().expect("PostgreSQL refuses").code().code(), "42501");
    assert_eq!(erp.schema().await, before);
}

#[tokio::test]
async fn maintenance_keeps_history_as_long_as_every_pair_says() {
    let (erp, admin) = past().await;
    let months = "select concat_ws('/', m -> 'months_archived', m -> 'months_dropped') from quote_collab_maintenance() m";
    assert_eq!(text(&admin, months).await, "0/0");
    run(&admin, "create table orders (id uuid primary key, tenant_id uuid not null); create table order_lines (id uuid primary key, tenant_id uuid, order_id uuid);
        select attach_quote_collaboration('orders', 'order_lines');
        select attach_quote_collaboration(options => '{\"archive_after\": \"3 months\", \"drop_after\": \"1 year\"}')").await;
    assert_eq!(text(&admin, months).await, "0/0", "the orders name no age");
    run(&admin, "select attach_quote_collaboration('orders', 'order_lines', '{\"archive_after\": \"6 months\", \"drop_after\": \"90 years\"}')").await;
    assert_eq!(text(&admin, months).await, "2/0", "the longest age counts");
    run(&admin, "select detach_quote_collaboration(quotes => 'orders')").await;
    // Nobody waits for it: what it cannot lock at once it does another time.
    let reader = erp.client("postgres").await;
    run(&reader, "begin; select count(*) from quote_changes_archive").await;
    assert_eq!(text(&admin, months).await, "0/0");
    run(&reader, "commit").await;
    assert_eq!(text(&admin, months).await, "0/2");
    assert_eq!(text(&admin, FINDINGS).await, "released 400");
}

#[tokio::test]
async fn forged_history_is_kept_and_looked_at_once_a_day() {
    let (_erp, admin) = past().await;
    let attach = |options: &str| format!("select attach_quote_collaboration(options => '{options}')");
    let dropped = "select m ->> 'months_dropped' from quote_collab_maintenance() m";
    let told =
        "select severity from quote_collab_doctor() where check_name = 'history let go as it was sealed'";
    run(&admin, &attach("{\"archive_after\": \"3 months\"}")).await;
    assert_eq!(text(&admin, dropped).await, "0");
    run(
        &admin,
        "create table forged as select * from quote_changes_archive order by position limit 1;
        update quote_changes_archive set new_value = '\"forged\"' where id = (select id from forged)",
    )
    .await;
    run(&admin, &attach("{\"archive_after\": \"3 months\", \"drop_after\": \"1 year\"}")).await;
    assert_eq!(text(&admin, told).await, "ok");
    assert_eq!(text(&admin, dropped).await, "0");
    assert_eq!(text(&admin, told).await, "error");
    // As it was sealed again; but nobody looks before a day has passed.
    run(&admin, "update quote_changes_archive a set new_value = f.new_value from forged f where a.id = f.id")
        .await;
    assert_eq!(text(&admin, dropped).await, "0");
    run(&admin, "update quote_collab_settings set drop_refused_at = drop_refused_at - interval '1 day'")
        .await;
    assert_eq!(text(&admin, dropped).await, "2");
    assert_eq!(text(&admin, told).await, "ok");
}

#[tokio::test]
async fn a_refusal_by_a_clock_that_was_ahead_keeps_nothing() {
    let (_erp, admin) = past().await;
    run(&admin, "select attach_quote_collaboration(options => '{\"archive_after\": \"3 months\", \"drop_after\": \"1 year\"}')").await;
    let dropped = "select m ->> 'months_dropped' from quote_collab_maintenance() m";
    let told =
        "select severity from quote_collab_doctor() where check_name = 'history let go as it was sealed'";
    let refused =
        |at: &str| format!("update quote_collab_settings set drop_refused_at = {at} where entity = 'QUOTE'");
    assert_eq!(text(&admin, "select m ->> 'months_archived' from quote_collab_maintenance() m").await, "2");
    run(&admin, &refused("now() - interval '1 hour'")).await;
    assert_eq!(text(&admin, dropped).await, "0", "it is looked at again a day later");
    // What a DBA does by hand meanwhile counts.
    run(&admin, &format!("begin; {DROP_JANUARY}")).await;
    assert_eq!(text(&admin, told).await, "ok");
    run(&admin, "rollback").await;
    assert_eq!(text(&admin, told).await, "error");
    run(&admin, &refused("now() + interval '300 days'")).await;
    assert_eq!(text(&admin, dropped).await, "2");
    assert_eq!(text(&admin, told).await, "ok");
}

/// An ERP that rests for months has some that hold nothing.
#[tokio::test]
async fn months_of_nothing_go_too() {
    let (erp, admin) = past().await;
    let empty = PAST.replace("from quotes;", "from quotes where false;");
    for (months, left) in [("", "released 400"), (&*empty, "released 400,released 0")] {
        run(&admin, months).await;
        run(&admin, "select archive_quote_changes('3 months')").await;
        assert_eq!(erp.count("select drop_archived_quote_changes('1 year')::bigint").await, 2);
        assert_eq!(text(&admin, FINDINGS).await, left);
    }
}

/// Two at once: the one that waits finds what is left, which is nothing; and a transaction that looks back is refused.
#[tokio::test]
async fn what_two_drop_at_once_goes_once() {
    let (erp, admin) = past().await;
    run(&admin, "select archive_quote_changes('3 months')").await;
    run(&admin, "begin isolation level repeatable read").await;
    let refused = admin.batch_execute("select drop_archived_quote_changes('1 year')").await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "25000");
    run(&admin, "rollback").await;
    run(&admin, "begin; select drop_archived_quote_changes('1 year')").await;
    let other = erp.client("postgres").await;
    let pid = backend(&other).await;
    let dropping = tokio::spawn(async move {
        other
            .query_one("select drop_archived_quote_changes('1 year'), current_setting('lock_timeout')", &[])
            .await
    });
    erp.wait_for_waiting(pid).await;
    run(&admin, "commit").await;
    let (dropped, patience): (i32, String) =
        dropping.await.unwrap().map(|row| (row.get(0), row.get(1))).unwrap();
    assert_eq!((dropped, patience.as_str()), (0, "0"));
}
