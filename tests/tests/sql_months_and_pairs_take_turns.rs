//! Attach beside what makes and moves months of the log: one after the other, whoever reads the log meanwhile. Each reads it before it locks it.

use quote_collab_tests::Erp;
use quote_collab_tests::statement::{backend, run, text};
use tokio_postgres::Client;

const ATTACH: &str = "select attach_quote_collaboration()";
const ARCHIVE: &str = "select archive_quote_changes('1 day')::text";
const MAINTAIN: &str =
    "select (quote_collab_maintenance() - 'rows_sealed' - 'stale_sessions' - 'batches_dropped')::text";

/// With rows of a month that is over and sealed.
async fn aged() -> Erp {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(
        &admin,
        "update quotes set notes = 'old';
         alter table quote_changes disable trigger user;
         update quote_changes set changed_at = changed_at - interval '3 months'; select place_quote_strays('quote_changes')",
    )
    .await;
    run(&admin, "select seal_quote_history()").await;
    erp
}

/// The text that a call returns, or the SQLSTATE that refuses it.
async fn answer(client: &Client, call: &str) -> Result<String, String> {
    let done = client.query_one(call, &[]).await;
    done.map(|row| row.get(0)).map_err(|error| error.code().expect("of the server").code().to_owned())
}

/// Two calls, the second while the first waits for a reader of the log.
async fn beside_a_reader(first: &str, second: &str) -> [Result<String, String>; 2] {
    let erp = aged().await;
    let reader = erp.client("postgres").await;
    run(&reader, "begin").await;
    run(&reader, "select count(*) from quote_changes").await;
    let (one, other) = (erp.client("postgres").await, erp.client("postgres").await);
    let (one_backend, other_backend) = (backend(&one).await, backend(&other).await);
    // Long enough for whoever stands in the way of himself to be seen.
    for client in [&one, &other] {
        run(client, "set lock_timeout = '20s'; set deadlock_timeout = '10ms'").await;
    }
    let call = |client: Client, call: String| async move { answer(&client, &call).await };
    let first = tokio::spawn(call(one, first.to_owned()));
    let waits = |pid: i32| {
        format!(
            "select count(*) from pg_stat_activity where pid = {pid} and (wait_event_type = 'Lock' or wait_event = 'PgSleep')"
        )
    };
    erp.wait_until(&waits(one_backend).replacen("count(*)", "count(*) = 1", 1)).await;
    let second = tokio::spawn(call(other, second.to_owned()));
    erp.wait_until(&format!("select ({}) = 1 or {}", waits(other_backend), second.is_finished())).await;
    run(&reader, "commit").await;
    [first.await.expect("the first"), second.await.expect("the second")]
}

#[tokio::test]
async fn attach_and_archive_wait_for_each_other() {
    let (attached, archived) = (Ok(String::new()), Ok("1".to_owned()));
    let attach = format!("select ''::text from ({ATTACH}) a");
    assert_eq!(beside_a_reader(&attach, ARCHIVE).await, [attached.clone(), archived.clone()]);
    assert_eq!(beside_a_reader(ARCHIVE, &attach).await, [archived.clone(), attached]);
    assert_eq!(beside_a_reader(ARCHIVE, ARCHIVE).await, [archived, Ok("0".to_owned())]);
}

#[tokio::test]
async fn maintenance_leaves_months_for_another_time() {
    let erp = aged().await;
    let admin = erp.client("postgres").await;
    let last = "select max(inhrelid::regclass::text) from pg_inherits where inhparent = 'quote_changes'::regclass and inhrelid::regclass::text ~ '\\d$'";
    run(&admin, &format!("drop table {}", text(&admin, last).await)).await;
    let attaches = erp.client("postgres").await;
    run(&attaches, "begin").await;
    run(&attaches, "select take_quote_turn()").await;
    let made =
        |made| format!(r#"{{"months_dropped": 0, "months_archived": 0, "partitions_created": {made}}}"#);
    assert_eq!(text(&admin, MAINTAIN).await, made(0));
    run(&admin, "set lock_timeout = '50ms'").await;
    let error = admin.query_one(ARCHIVE, &[]).await.expect_err("it is another's turn");
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "55P03");
    assert!(error.detail().is_some() && error.hint().is_some());
    run(&attaches, "rollback").await;
    run(&admin, "set lock_timeout = '10s'").await;
    assert_eq!(text(&admin, ARCHIVE).await, "1");
    assert_eq!(text(&admin, MAINTAIN).await, made(1));
}

#[tokio::test]
async fn months_ahead_are_those_of_utc_in_every_zone() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let ahead = "select string_agg(to_char(quote_month_ahead('2026-01-31 01:00+00', months) at time zone 'UTC', 'MM-DD HH24'), ',' order by months)
        from generate_series(0, 3) months";
    for zone in ["America/Los_Angeles", "Asia/Tokyo", "UTC"] {
        run(&admin, &format!("set timezone = '{zone}'")).await;
        assert_eq!(text(&admin, ahead).await, "01-01 00,02-01 00,03-01 00,04-01 00", "{zone}");
    }
}

/// Who has read the log would wait for whoever has his turn and waits for the log: he is refused at once. Where nothing is due nothing is locked.
#[tokio::test]
async fn who_has_read_the_log_does_not_wait() {
    for (age, archived) in [("1 day", Err("55P03".to_owned())), ("900 years", Ok("0".to_owned()))] {
        let erp = aged().await;
        let reader = erp.client("postgres").await;
        run(&reader, "begin").await;
        run(&reader, "select count(*) from quote_changes").await;
        let attaches = erp.client("postgres").await;
        let pid = backend(&attaches).await;
        run(&attaches, "set lock_timeout = '20s'; set deadlock_timeout = '10ms'").await;
        let done_attaching = tokio::spawn(async move { attaches.batch_execute(ATTACH).await });
        erp.wait_for_waiting(pid).await;
        let done = answer(&reader, &ARCHIVE.replace("1 day", age)).await;
        assert_eq!(done, archived, "{age}");
        run(&reader, "rollback").await;
        done_attaching.await.expect("it ends").expect("attach goes on");
    }
}
