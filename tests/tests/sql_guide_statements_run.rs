//! Every statement of the deployment guide's SQL sections runs and shows what the guide says.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::run;

#[tokio::test]
async fn verification_shows_tables_row_security_and_versions() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let tables = "select tablename from pg_tables where schemaname = 'public' and tablename in ('quote_changes', 'active_quote_sessions') order by 1";
    let found: Vec<String> = admin.query(tables, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(found, ["active_quote_sessions", "quote_changes"]);
    let secured = "select tablename, rowsecurity from pg_tables where tablename in ('quote_changes', 'active_quote_sessions')";
    assert!(admin.query(secured, &[]).await.unwrap().iter().all(|row| row.get::<_, bool>(1)));
    let version = "select column_name::text, data_type::text from information_schema.columns where table_name = 'quotes' and column_name = 'version'";
    let row = admin.query_one(version, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("version", "integer"));
}

#[tokio::test]
async fn each_tenant_sees_its_own_changes_and_nobody_sees_any_without_one() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'seen by its tenant'").await.unwrap();
    let app = erp.client("erp_app").await;
    assert!(app.query("SELECT * FROM quote_changes", &[]).await.unwrap().is_empty(), "no tenant, nothing");
    let mut seen = 0;
    for tenant in erp.tenants().await {
        app.batch_execute(&format!("SET app.current_tenant_id = '{tenant}'")).await.unwrap();
        let rows = app.query("SELECT tenant_id FROM quote_changes", &[]).await.unwrap();
        assert!(!rows.is_empty() && rows.iter().all(|row| row.get::<_, uuid::Uuid>(0) == tenant));
        seen += i64::try_from(rows.len()).unwrap();
    }
    assert_eq!(seen, erp.count("select count(*) from quote_changes").await);
}

#[tokio::test]
async fn monitoring_statements_run() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let swept: i32 = admin.query_one("SELECT cleanup_stale_quote_sessions()", &[]).await.unwrap().get(0);
    assert_eq!(swept, 0);
    let sizes = "SELECT tablename, pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) AS size
        FROM pg_tables WHERE tablename IN ('quote_changes', 'active_quote_sessions')";
    assert_eq!(admin.query(sizes, &[]).await.unwrap().len(), 2);
    // As the guide prints it this statement names columns that PostgreSQL's view never had; docs/sql.md has the one that works.
    let printed = "SELECT schemaname, tablename, indexname, idx_scan FROM pg_stat_user_indexes
        WHERE tablename IN ('quote_changes', 'active_quote_sessions') ORDER BY idx_scan DESC";
    assert_eq!(admin.query(printed, &[]).await.unwrap_err().as_db_error().unwrap().code().code(), "42703");
}

#[tokio::test]
async fn the_archive_statements_move_old_rows() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'x'").await.unwrap();
    admin
        .batch_execute(
            "update quote_changes set changed_at = changed_at - interval '100 days' where id in (select id from quote_changes limit 7);
             CREATE TABLE quote_changes_archive (LIKE quote_changes INCLUDING ALL);
             INSERT INTO quote_changes_archive SELECT * FROM quote_changes WHERE changed_at < NOW() - INTERVAL '90 days';
             DELETE FROM quote_changes WHERE changed_at < NOW() - INTERVAL '90 days';",
        )
        .await
        .unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes_archive").await, 7);
    assert_eq!(
        erp.count("select count(*) from quote_changes where changed_at < now() - interval '90 days'").await,
        0
    );
    // They are no part of the history any more; what attach says puts them back.
    run(&admin, "select quote_collab_maintenance()").await;
    let error =
        admin.batch_execute("select attach_quote_collaboration()").await.expect_err("it is in the way");
    let error = error.as_db_error().expect("the server answered");
    assert_eq!(error.code().code(), "42P07");
    run(&admin, error.hint().expect("a hint")).await;
    run(&admin, "select attach_quote_collaboration(); select quote_collab_maintenance(); select archive_quote_changes(interval '60 days')").await;
    assert_eq!(erp.count("select count(*) from quote_changes_archive").await, 7);
}

#[tokio::test]
async fn an_earlier_log_that_was_only_renamed_is_named() {
    let erp = Erp::bare().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "create table quote_changes (id uuid primary key); alter table quote_changes rename to earlier_changes; create extension quote_collab_ext",
    )
    .await;
    let error = admin
        .batch_execute("select attach_quote_collaboration()")
        .await
        .expect_err("its index is in the way");
    let error = error.as_db_error().expect("the server answered");
    assert_eq!(
        (error.code().code(), error.message()),
        ("42P07", "relation public.quote_changes_pkey is in the way")
    );
    assert_eq!(error.detail(), Some("It is an index of table public.earlier_changes."));
}

#[tokio::test]
async fn troubleshooting_statements_show_triggers_and_versions() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let triggers = "SELECT tgname::text, tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%version%' order by 1";
    let found: Vec<(String, String)> =
        admin.query(triggers, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected =
        [("trg_increment_quote_line_version", "quote_lines"), ("trg_increment_quote_version", "quotes")];
    assert_eq!(found, expected.map(|(name, table)| (name.to_owned(), table.to_owned())));
    let recent = "SELECT quote_id, entity_version_before, entity_version_after FROM quote_changes
        WHERE changed_at > NOW() - INTERVAL '1 hour' ORDER BY changed_at DESC";
    let rows = admin.query(recent, &[]).await.unwrap();
    assert!(
        !rows.is_empty() && rows.iter().all(|row| (row.get::<_, i32>(1), row.get::<_, i32>(2)) == (1, 2))
    );
}

/// The guide's rollback script, as it stands there.
const ROLLBACK: &str = "
DROP TABLE IF EXISTS active_quote_sessions CASCADE;
DROP TABLE IF EXISTS quote_changes CASCADE;
ALTER TABLE quote_lines DROP COLUMN IF EXISTS version;
ALTER TABLE quote_lines DROP COLUMN IF EXISTS updated_by;
ALTER TABLE quotes DROP COLUMN IF EXISTS version;
DROP FUNCTION IF EXISTS cleanup_stale_quote_sessions();
DROP FUNCTION IF EXISTS check_quote_version(UUID, INTEGER);
DROP FUNCTION IF EXISTS check_quote_line_version(UUID, INTEGER);
DROP FUNCTION IF EXISTS increment_quote_version();
DROP FUNCTION IF EXISTS increment_quote_line_version();
DROP VIEW IF EXISTS v_active_quote_collaborators;
DROP VIEW IF EXISTS v_recent_quote_changes;";

#[tokio::test]
async fn detach_and_drop_extension_reach_the_state_of_the_rollback_script() {
    let (before, after) = (Erp::bare().await, Erp::attached().await);
    let admin = after.client("postgres").await;
    admin.batch_execute("update quotes set notes = notes || 'x'").await.unwrap();
    let refused = admin.batch_execute("drop extension quote_collab_ext").await.unwrap_err();
    assert_eq!(refused.as_db_error().unwrap().code().code(), "2BP01", "not while it is attached");
    admin
        .batch_execute(
            "select detach_quote_collaboration(drop_history => true); drop extension quote_collab_ext",
        )
        .await
        .unwrap();
    let reached = after.schema().await;
    assert_eq!(reached, before.schema().await);
    admin.batch_execute(ROLLBACK).await.unwrap();
    assert_eq!(after.schema().await, reached, "the script finds nothing left to do");
}

#[tokio::test]
async fn history_stays_behind_and_is_taken_up_again() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    admin.batch_execute("update quotes set notes = 'x'").await.unwrap();
    let rows = erp.count("select count(*) from quote_changes").await;
    admin
        .batch_execute("select detach_quote_collaboration(); drop extension quote_collab_ext")
        .await
        .unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes").await, rows);
    let app = erp.client("erp_app").await;
    assert!(app.query("select from quote_changes", &[]).await.unwrap().is_empty(), "still fails closed");
    admin.batch_execute("create extension quote_collab_ext; select attach_quote_collaboration(); select attach_quote_collaboration()").await.unwrap();
    admin.batch_execute("update quotes set notes = 'y'").await.unwrap();
    assert_eq!(erp.count("select count(*) from quote_changes").await, 2 * rows);
    assert_eq!(
        erp.count("select count(distinct position) from quote_changes").await,
        2 * rows,
        "positions go on"
    );
}
