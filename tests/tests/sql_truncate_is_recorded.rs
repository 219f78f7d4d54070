//! TRUNCATE is refused, or every row it removes is in the history as if it had been deleted.

use quote_collab_tests::doctor::{consult, examine};
use quote_collab_tests::statement::{backend, run, sqlstate, text};
use quote_collab_tests::{Erp, Listener, TENANT};

const RECORD: &str = "select attach_quote_collaboration(options => '{\"truncate\": \"record\"}')";

/// Everything that a reader of the history learns of what was deleted.
const DELETED: &str = "select md5(string_agg(concat_ws('|', tenant_id, quote_id, quote_line_id, changed_by, entity_type, field_name, old_value,
        coalesce(new_value::text, '-'), change_type, session_id, was_conflict, coalesce(conflict_resolution, '-'), entity_version_before,
        coalesce(entity_version_after, 0), coalesce(context::text, '-'), origin, xid = pg_current_xact_id()), ',' order by quote_id, quote_line_id))
    || count(*) || '/' || count(distinct event_id) || '/' || count(distinct position) from quote_changes where change_type = 'DELETE'";

#[tokio::test]
async fn it_leaves_what_delete_leaves() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, RECORD).await;
    // Row security hides rows from the role that truncates, not from the history.
    run(&admin, "grant truncate on quotes, quote_lines to erp_app; update quotes set notes = 'x' where id in (select id from quotes limit 7);
        alter table quotes enable row level security, force row level security; alter table quote_lines enable row level security, force row level security").await;
    let context = format!(
        "set local app.current_tenant_id = '{TENANT}'; set local app.current_user_id = '{TENANT}'; set local app.current_session_id = '{TENANT}'"
    );
    run(&admin, &format!("begin; {context}; delete from quotes")).await;
    let deleted = text(&admin, DELETED).await;
    run(&admin, "rollback").await;
    let app = erp.client("erp_app").await;
    run(&app, &format!("begin; {context}; truncate quotes cascade; rollback")).await;
    assert_eq!(erp.count("select count(*) from quote_changes where change_type = 'DELETE'").await, 0);
    run(&app, &format!("begin; {context}; truncate quotes cascade")).await;
    run(&app, "commit").await;
    let truncated =
        text(&admin, &DELETED.replace("xid = pg_current_xact_id()", "xid < pg_current_xact_id()")).await;
    assert_eq!(truncated, deleted);
    assert_eq!(erp.count("select count(*) from quotes").await, 0);
    // The history of a quote that is gone stays readable, sealed and apart by tenant.
    let gone = "select quote_id::text from quote_changes where change_type = 'DELETE' limit 1";
    let history =
        format!("select count(*)::text from get_quote_change_history('{}')", text(&admin, gone).await);
    assert_ne!(text(&admin, &history).await, "0");
    run(&admin, "select quote_collab_maintenance()").await;
    assert_eq!(erp.count("select count(*) from verify_quote_history()").await, 0);
    // Back to the default.
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(sqlstate(&app, "truncate quote_lines").await, "0A000");
    let left = "select string_agg(tgname::text, ',' order by tgname) from pg_trigger where tgname ~ 'quote(_line)?_truncate'";
    assert_eq!(text(&admin, left).await, "trg_refuse_quote_line_truncate,trg_refuse_quote_truncate");
}

#[tokio::test]
async fn its_events_are_relayed_and_wake_the_listeners() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, RECORD).await;
    let mut listener = Listener::to("quote_events", &erp.url("postgres")).await;
    let rows = erp.count("select count(*) from quote_lines").await;
    run(&admin, "truncate quote_lines").await;
    listener.next().await;
    let lease = "select quote_relay_lease('test', interval '1 hour')";
    let epoch: i64 = admin.query_one(lease, &[]).await.unwrap().get(0);
    let batch: i64 = admin.query_one("select quote_relay_open_batch($1)", &[&epoch]).await.unwrap().get(0);
    let read = "select count(*), count(distinct event ->> 'line_id'), bool_and(event ->> 'operation' = 'DELETE') from quote_relay_read($1, 0, 100000)";
    let told = admin.query_one(read, &[&batch]).await.unwrap();
    assert_eq!((told.get::<_, i64>(0), told.get::<_, i64>(1), told.get::<_, bool>(2)), (rows, rows, true));
    // Nothing to remove, nothing to tell.
    run(&admin, "truncate quote_lines").await;
    assert_eq!(text(&admin, "select coalesce(quote_relay_open_batch(1)::text, 'none')").await, "none");
}

#[tokio::test]
async fn a_snapshot_that_may_not_see_every_row_is_refused() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, RECORD).await;
    for level in ["repeatable read", "serializable"] {
        assert_eq!(
            sqlstate(&admin, &format!("begin isolation level {level}; truncate quotes cascade")).await,
            "0A000"
        );
        run(&admin, "rollback").await;
    }
}

/// TRUNCATE takes their rows, too, and no trigger of ours is on them.
#[tokio::test]
async fn tables_that_inherit_lose_nothing_in_silence() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, RECORD).await;
    run(&admin, "create table drafts () inherits (quotes); insert into drafts select * from quotes limit 3")
        .await;
    let error = admin.batch_execute("truncate quotes cascade").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "0A000");
    assert!(error.detail().unwrap().contains("drafts") && error.hint().is_some());
    run(&admin, "alter table drafts no inherit quotes; truncate quotes cascade").await;
    assert_eq!(text(&admin, "select count(*)::text from drafts").await, "3");
}

#[tokio::test]
async fn nobody_forges_a_deletion_with_the_trigger() {
    let erp = Erp::attached().await;
    let app = erp.client("erp_app").await;
    let forged = "create temp table quotes (id uuid, tenant_id uuid); create trigger mine before truncate on pg_temp.quotes for each statement execute function";
    assert_eq!(sqlstate(&app, &format!("{forged} public.record_quote_truncate()")).await, "42501");
    assert_eq!(sqlstate(&app, "select wake_quote_listeners()").await, "42501");
}

const PARTITIONED: &str = "create schema p; set search_path = p, public;
    create table quotes (id uuid not null, tenant_id uuid not null, region text not null, notes text, primary key (id, region)) partition by list (region);
    create table quotes_north partition of quotes for values in ('north');
    create table quotes_south partition of quotes for values in ('south') partition by hash (id);
    create table quotes_south_0 partition of quotes_south for values with (modulus 1, remainder 0);
    create table quote_lines (id uuid primary key, tenant_id uuid not null, quote_id uuid not null);
    create extension quote_collab_ext;";

#[tokio::test]
async fn partitions_are_recorded_once_by_whatever_name() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, PARTITIONED).await;
    run(&admin, &format!("{RECORD}; create table quotes_west partition of quotes for values in ('west')"))
        .await;
    let fill = "insert into quotes select gen_random_uuid(), gen_random_uuid(), r, 'x' from unnest('{north,north,south,west}'::text[]) r";
    let deleted =
        "select count(*) || '/' || count(distinct quote_id) from quote_changes where change_type = 'DELETE'";
    for (statement, expected) in [
        (format!("{fill}; truncate quotes"), "4/4"),
        (format!("{fill}; truncate only quotes_north"), "6/6"),
        ("truncate quotes_south".to_owned(), "7/7"),
        (format!("{fill}; truncate quotes_south_0, quotes"), "12/12"),
    ] {
        run(&admin, &statement).await;
        assert_eq!(text(&admin, deleted).await, expected, "{statement}");
    }
}

#[tokio::test]
async fn partitions_are_guarded_and_free_again_once_detached() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(&admin, PARTITIONED).await;
    let before = erp.schema().await;
    run(&admin, "select attach_quote_collaboration()").await;
    for guarded in ["quotes", "quotes_north", "quotes_south", "quotes_south_0", "quote_lines"] {
        assert_eq!(sqlstate(&admin, &format!("truncate {guarded}")).await, "0A000", "{guarded}");
    }
    run(&admin, "alter table quotes detach partition quotes_north; truncate quotes_north; select detach_quote_collaboration(drop_history => true);
        alter table quotes_north drop column version; alter table quotes attach partition quotes_north for values in ('north')").await;
    assert_eq!(erp.schema().await, before);
}

/// PostgreSQL tells no more whose partition it is, and still fires its triggers.
#[tokio::test]
async fn a_partition_whose_detaching_was_interrupted_is_not_emptied_unseen() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        &format!(
            "create table offers (id uuid, region integer, tenant_id uuid not null default '{TENANT}', notes text, primary key (id, region)) partition by list (region);
             create table offers_1 partition of offers for values in (1); create table offers_2 partition of offers for values in (2);
             create table offer_items (id uuid primary key, tenant_id uuid not null, offer_id uuid not null);
             insert into offers (id, region) values (gen_random_uuid(), 1); create extension quote_collab_ext;
             select attach_quote_collaboration('offers', 'offer_items')"
        ),
    )
    .await;
    let (reader, detaching) = (erp.client("postgres").await, erp.client("postgres").await);
    run(&reader, "begin; select count(*) from offers").await;
    let process = backend(&detaching).await;
    let detach = sqlstate(&detaching, "alter table offers detach partition offers_1 concurrently");
    let interrupt = async {
        erp.wait_for_waiting(process).await;
        run(&admin, &format!("select pg_cancel_backend({process})")).await;
    };
    assert_eq!(tokio::join!(detach, interrupt).0, "57014");
    run(&reader, "commit").await;
    run(&admin, "update offers_1 set notes = 'still recorded'").await;
    assert_eq!(erp.count("select count(*) from quote_changes where field_name = 'notes'").await, 1);
    assert_eq!(sqlstate(&admin, "truncate offers_1").await, "0A000");
    let check = "partitions whole: public.offers";
    let told = examine(&admin).await;
    let (severity, _, hint) = &told[check];
    assert_eq!(severity, "warning");
    run(&admin, hint).await;
    assert_eq!(consult(&admin).await[check], "ok");
    // It is the ERP's own now.
    run(&admin, "truncate offers_1").await;
    assert_eq!(erp.count("select count(*) from quote_changes where change_type = 'DELETE'").await, 0);
}

#[tokio::test]
async fn rows_without_a_version_or_a_tenant_are_none_in_the_way() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create schema own; set search_path = own, public;
         create table quotes (id uuid primary key, tenant_id uuid, version integer);
         create table quote_lines (id uuid primary key, tenant_id uuid, quote_id uuid references quotes, version integer);
         insert into quotes values (gen_random_uuid(), gen_random_uuid(), null), (gen_random_uuid(), null, 7);
         create extension quote_collab_ext schema public; select attach_quote_collaboration(options => '{\"truncate\": \"record\"}')",
    )
    .await;
    run(&admin, "truncate quotes cascade").await;
    let deleted = "select count(*)::text from quote_changes where change_type = 'DELETE'";
    assert_eq!(text(&admin, deleted).await, "1");
    assert_eq!(text(&admin, "select string_agg(version::text, ',') from quote_former_versions").await, "0");
}
