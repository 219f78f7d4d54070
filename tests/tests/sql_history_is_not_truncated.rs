//! TRUNCATE takes neither history nor seals nor the place of the relay away, whoever asks and whatever is truncated.

use quote_collab_tests::history::PAST;
use quote_collab_tests::statement::{WRITE, count, refusal, run, sqlstate, text};
use quote_collab_tests::{Erp, Postgres, built};
use tokio_postgres::Client;

/// Every table of the history, its months among them.
const KEPT: &str = "select string_agg(t::text, ',') from quote_tables_kept('public') t";

async fn kept(admin: &Client) -> Vec<String> {
    text(admin, KEPT).await.split(',').map(str::to_owned).collect()
}

#[tokio::test]
async fn nobody_truncates_a_table_of_the_history() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let owner = format!("{}_owner", erp.database());
    run(&admin, &format!("{PAST}; update quotes set notes = 'kept'; create role {owner}")).await;
    let handed: Vec<_> =
        kept(&admin).await.iter().map(|t| format!("alter table {t} owner to {owner};")).collect();
    run(&admin, &handed.concat()).await;
    // Months that somebody made by hand refuse it from then on.
    run(&admin, "select attach_quote_collaboration()").await;
    run(&admin, "select seal_quote_history(); select archive_quote_changes('3 months')").await;
    let rows = count(&admin, "select count(*) from v_quote_changes_all").await;
    let tables = kept(&admin).await;
    assert!(tables.len() >= 10, "months and archive among them: {tables:?}");
    for table in &tables {
        for role in [&owner, "postgres"] {
            run(&admin, &format!("set role {role}")).await;
            let (code, hint) = refusal(&admin, &format!("truncate {table}")).await;
            assert_eq!((code.as_str(), hint.contains("drop_history")), ("0A000", true), "{table} by {role}");
        }
        run(&admin, "reset role").await;
        let replica = format!("set session_replication_role = replica; truncate {table}");
        assert_eq!(sqlstate(&admin, &replica).await, "0A000", "{table}");
        run(&admin, "reset session_replication_role").await;
    }
    assert_eq!(count(&admin, "select count(*) from v_quote_changes_all").await, rows);
    // Who is there is nobody's history.
    run(&admin, "truncate active_quote_sessions").await;
    run(&admin, &format!("reassign owned by {owner} to postgres; drop owned by {owner}; drop role {owner}"))
        .await;
}

/// Written through SQL, the log asks its owner for the right to insert; the fast way does not.
#[tokio::test]
async fn the_fast_way_into_the_log_is_taken_all_the_same() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let owner = format!("{}_reader", erp.database());
    run(
        &admin,
        &format!("create role {owner}; alter table quote_changes owner to {owner}; revoke insert on quote_changes from {owner}"),
    )
    .await;
    run(&admin, WRITE).await;
    let slow = "create function slow() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger slow after insert on quote_changes for each statement execute function slow()";
    run(&admin, slow).await;
    assert_eq!(sqlstate(&admin, WRITE).await, "42501");
    run(&admin, &format!("reassign owned by {owner} to postgres; drop owned by {owner}; drop role {owner}"))
        .await;
}

#[tokio::test]
async fn the_doctor_tells_where_it_is_not_refused() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let told = "select coalesce(max(hint), '') from quote_collab_doctor() where check_name = 'truncate of the history refused' and severity = 'error'";
    assert_eq!(text(&admin, told).await, "");
    for without in [
        "drop trigger trg_refuse_history_truncate on quote_changes_seals",
        "alter table quote_changes_default disable trigger trg_refuse_history_truncate",
        "alter table quote_relay_batch enable trigger trg_refuse_history_truncate",
    ] {
        run(&admin, without).await;
        let hint = text(&admin, told).await;
        assert!(hint.contains("guard_quote_history("), "{without}: {hint}");
        run(&admin, &hint).await;
        assert_eq!(text(&admin, told).await, "", "{without}");
    }
    run(&admin, "drop trigger trg_refuse_history_truncate on quote_changes").await;
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(text(&admin, told).await, "", "attach brings it back");
}

/// A history that is left behind is its owner's, and the extension goes.
#[tokio::test]
async fn a_history_that_stays_behind_is_refused_nothing() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let tables = kept(&admin).await;
    run(&admin, "select detach_quote_collaboration(); drop extension quote_collab_ext").await;
    for table in tables {
        run(&admin, &format!("truncate {table}")).await;
    }
}

/// Of a release that did not refuse it attach makes one that does; months that come later do.
#[tokio::test]
async fn an_older_history_refuses_it_once_it_is_attached_again() {
    let server = Postgres::shared().await;
    server.add_script(&built::place().releases().join("quote_collab_ext--0.18.0.sql"));
    let erp = Erp::bare_on(server).await;
    let admin = erp.client("postgres").await;
    run(&admin, "create extension quote_collab_ext version '0.18.0'; select attach_quote_collaboration()")
        .await;
    run(&admin, "alter extension quote_collab_ext update").await;
    run(&admin, "begin; truncate quote_changes; rollback").await;
    run(
        &admin,
        "select attach_quote_collaboration(); select create_quote_changes_partitions('quote_changes', 5)",
    )
    .await;
    let open = "select count(*) from quote_tables_kept('public') t where not quote_truncate_refused(t)";
    assert_eq!(count(&admin, open).await, 0);
}

/// A trigger is ours by all that it is, and not by the function that it calls: its condition would run with the rights of whoever seals.
#[tokio::test]
async fn a_trigger_that_borrows_the_function_is_somebody_elses() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table ran (who text); create function spy(bigint) returns boolean language plpgsql as $$ begin insert into ran values (current_user); return false; end $$",
    )
    .await;
    run(
        &admin,
        "create trigger innocent before insert on quote_changes_seals for each row when (spy(new.no)) execute function refuse_history_truncate();
         update quotes set notes = 'sealed'",
    )
    .await;
    assert_eq!(sqlstate(&admin, "select seal_quote_history()").await, "55000");
    assert_eq!(count(&admin, "select count(*) from ran").await, 0);
    let told = "select count(*) from quote_collab_doctor() where severity <> 'ok' and message ~ 'innocent|trigger, rule, check' and hint ~ 'drop trigger'";
    assert!(count(&admin, told).await > 0);
    run(&admin, "drop trigger innocent on quote_changes_seals; select seal_quote_history()").await;
    // Nor is a month taken back with one, which would fire also in the replica role.
    let month = text(
        &admin,
        "select to_char((date_trunc('month', now() at time zone 'UTC') + interval '2 months'), '\"quote_changes_\"YYYY_MM')",
    )
    .await;
    run(&admin, &format!("alter table quote_changes detach partition {month}")).await;
    let taken = format!(
        "select (detached_quote_changes_month('quote_changes', '{month}') is not null)::integer::bigint"
    );
    assert_eq!(count(&admin, &taken).await, 1, "with our own trigger");
    run(
        &admin,
        &format!(
            "create trigger innocent before insert on {month} for each row when (spy(new.position)) execute function refuse_history_truncate();
             alter table {month} enable always trigger innocent"
        ),
    )
    .await;
    assert_eq!(count(&admin, &taken).await, 0);
    run(&admin, &format!("drop table {month}")).await;
    run(&admin, "create trigger saves before insert on quote_changes for each statement execute function refuse_history_truncate()").await;
    let named = "select count(*) from quote_collab_doctor() where check_name = 'no trigger on the log' and message ~ 'saves'";
    assert_eq!(count(&admin, named).await, 1);
    run(&admin, "alter trigger trg_refuse_history_truncate on quote_relay_batch rename to another").await;
    run(&admin, "select detach_quote_collaboration(); drop extension quote_collab_ext").await;
}
