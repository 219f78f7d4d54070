//! Attach, run again, mends what a restore in parts or a session's settings have left behind.

use quote_collab_tests::Erp;
use quote_collab_tests::history::OUT_OF_CHAIN;
use quote_collab_tests::statement::{count, refusal, run};

/// Findings of the doctor about what attach makes.
const WRONG: &str = "select count(*) from quote_collab_doctor() where severity = 'error'
    and check_name ~ '(positions ascend|as attached|tenant policies)'";

#[tokio::test]
async fn positions_go_on_behind_a_restore_in_parts() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "update quotes set notes = 'one'; alter sequence quote_changes_position_seq restart").await;
    assert_eq!(count(&admin, WRONG).await, 1);
    run(&admin, "select attach_quote_collaboration(); update quotes set notes = 'two'").await;
    assert_eq!((count(&admin, WRONG).await, count(&admin, OUT_OF_CHAIN).await), (0, 0));
    let place = "select last_value from quote_changes_position_seq";
    let before = count(&admin, place).await;
    run(&admin, "select attach_quote_collaboration()").await;
    assert_eq!(count(&admin, place).await, before, "what goes on is left alone");
}

#[tokio::test]
async fn names_are_written_as_they_are_whatever_a_session_quotes() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    run(&admin, "set quote_all_identifiers = on").await;
    assert_eq!(count(&admin, WRONG).await, 0);
    run(&admin, "select attach_quote_collaboration(); reset quote_all_identifiers").await;
    assert_eq!(count(&admin, WRONG).await, 0);
}

#[tokio::test]
async fn presence_that_lost_its_keys_has_them_again() {
    let erp = Erp::attached().await;
    let admin = erp.client("postgres").await;
    let join =
        "select join_quote_session(id, 'a0000000-0000-4000-8000-000000000001', id) from quotes limit 1";
    let sessions = "select count(*) from active_quote_sessions";
    run(&admin, join).await;
    // Whatever keeps a session unique will do.
    run(&admin, "alter table active_quote_sessions drop constraint active_quote_sessions_session, drop constraint active_quote_sessions_pkey;
        create unique index once on active_quote_sessions (session_id)").await;
    run(&admin, join).await;
    run(&admin, "drop index once, active_quote_sessions_quote; insert into active_quote_sessions select * from active_quote_sessions").await;
    assert_eq!(count(&admin, sessions).await, 2);
    // Nothing is deleted with the rights of whoever attaches: triggers of the owner would run with them.
    let (code, hint) = refusal(&admin, "select attach_quote_collaboration()").await;
    assert_eq!((code.as_str(), hint.contains("delete from")), ("23505", true));
    run(&admin, "delete from active_quote_sessions; select attach_quote_collaboration()").await;
    run(&admin, join).await;
    assert_eq!(count(&admin, sessions).await, 1);
    let told = "select count(*) from quote_collab_doctor() where check_name in ('keys stand', 'sessions found by an index') and severity = 'ok'";
    assert_eq!(count(&admin, told).await, 2);
    let named = "select count(*) from pg_class c where c.relname like 'active_quote_sessions_%' and obj_description(c.oid) is not null and c.relkind = 'i'";
    assert_eq!(count(&admin, named).await, 1);
}
