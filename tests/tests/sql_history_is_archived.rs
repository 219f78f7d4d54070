//! Whole months go to the archive, and stay readable, sealed and apart by tenant.

use quote_collab_tests::Erp;
use quote_collab_tests::history::PAST;

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
