//! Feeds read the log alone: who comes back behind what was archived or taken away meanwhile is told, and nothing is passed over in silence.

use std::sync::Arc;

use quote_collab_tests::history::{PAST, tell};
use quote_collab_tests::statement::{WRITE, backend};
use quote_collab_tests::{Erp, Postgres, built};
use tokio_postgres::Client;

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
    let pid = backend(&reader).await;
    let reading = tokio::spawn(async move { read(&reader, Some(&before), 9).await });
    erp.wait_for_waiting(pid).await;
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
    let pid = backend(&reader).await;
    let reading =
        tokio::spawn(async move { reader.query_one(&missed, &[]).await.map(|row| row.get::<_, i64>(0)) });
    erp.wait_for_waiting(pid).await;
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

/// Whoever has rights on all sequences of a schema, or may write everything, changes nothing about it.
#[tokio::test]
async fn a_sequence_that_somebody_sets_takes_no_reader_in() {
    for last in [1, i64::MAX] {
        let erp = alone().await;
        let admin = erp.client("postgres").await;
        let before = cursor(&admin).await;
        admin.batch_execute(PAST).await.unwrap();
        admin.batch_execute("select seal_quote_history()").await.unwrap();
        let setval =
            format!("select setval(c.oid, {last}) from pg_class c where c.relname = 'quote_log_cuts_no_seq'");
        admin.batch_execute(&setval).await.unwrap();
        admin.batch_execute("select archive_quote_changes('3 months')").await.unwrap();
        assert_eq!(read(&admin, Some(&before), 9).await, Err("QC001".to_owned()), "{last}");
        let now = cursor(&admin).await;
        admin.batch_execute(WRITE).await.unwrap();
        assert_eq!(read(&admin, Some(&now), 9).await.unwrap().len(), 1, "{last}");
    }
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
