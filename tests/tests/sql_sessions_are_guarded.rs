//! Whoever may write sessions writes such as end, and where tokens say who acts, his own alone.

use std::sync::Arc;

use quote_collab_tests::signer::{self, authenticate};
use quote_collab_tests::statement::{count, run, sqlstate, text};
use quote_collab_tests::{ALICE, BOB, Erp, Postgres, Settings};
use tokio_postgres::Client;

/// A session of somebody on the first quote of the tenant that is set.
fn session(user: &str, name: &str, heartbeat: &str) -> String {
    format!(
        "insert into active_quote_sessions (id, tenant_id, session_id, quote_id, user_id, user_name, joined_at, last_heartbeat, is_editing, status)
         select gen_random_uuid(), tenant_id, gen_random_uuid(), id, {user}, {name}, {heartbeat}, {heartbeat}, false, 'VIEWING'
         from quotes where tenant_id = current_quote_tenant() order by quote_number limit 1"
    )
}

const ANYBODY: &str = "gen_random_uuid()";

async fn writer(erp: &Erp) -> Client {
    let app = erp.client("erp_app").await;
    run(&app, "select set_config('app.current_tenant_id', tenant_id::text, false) from quotes limit 1").await;
    app
}

#[tokio::test]
async fn no_session_outlives_its_last_sign_of_life() {
    let erp = Erp::attached().await;
    let app = writer(&erp).await;
    for heartbeat in ["'infinity'", "now() + interval '10 years'", "now() + interval '1 minute'"] {
        run(&app, &session(ANYBODY, "null", heartbeat)).await;
        run(
            &app,
            &format!(
                "update active_quote_sessions set last_heartbeat = {heartbeat}, joined_at = {heartbeat}"
            ),
        )
        .await;
        let ahead = "select count(*) from active_quote_sessions where last_heartbeat > clock_timestamp() or joined_at > clock_timestamp()";
        assert_eq!(erp.count(ahead).await, 0, "{heartbeat}");
    }
    let unknown = "update active_quote_sessions set last_heartbeat = null";
    assert_eq!(sqlstate(&app, unknown).await, "23502", "who does not know when is not alive");
    let admin = erp.client("postgres").await;
    // As a release without a guard left them.
    run(&admin, "alter table active_quote_sessions disable trigger trg_guard_quote_session; delete from active_quote_sessions").await;
    run(&app, &session(ANYBODY, "null", "'infinity'")).await;
    run(&app, &session(ANYBODY, "null", "now()")).await;
    assert_eq!(count(&admin, "select count(*) from quote_presence_snapshot()").await, 1);
    assert_eq!(text(&admin, "select cleanup_stale_quote_sessions()::text").await, "1");
}

#[tokio::test]
async fn nobody_is_there_in_very_many_sessions() {
    let erp = Erp::attached().await;
    let app = writer(&erp).await;
    let join = |user: uuid::Uuid, session: &str| {
        format!(
            "select count(*) from (select id from quotes where tenant_id = current_quote_tenant() order by quote_number limit 1) q,
            join_quote_session(q.id, {session}, '{user}')"
        )
    };
    let first = "'86ad43b5-0b0b-2140-79d4-1d62054ff8e5'";
    assert_eq!(count(&app, &join(ALICE.id, first)).await, 1);
    for _ in 1..200 {
        assert_eq!(count(&app, &join(ALICE.id, "null")).await, 1);
    }
    assert_eq!(sqlstate(&app, &join(ALICE.id, "null")).await, "53400");
    assert_eq!(count(&app, &join(ALICE.id, first)).await, 1, "who is there joins again");
    assert_eq!(count(&app, &join(BOB.id, "null")).await, 1, "nobody else is concerned");
    run(
        &erp.client("postgres").await,
        "update active_quote_sessions set last_heartbeat = now() - interval '1 hour'",
    )
    .await;
    assert_eq!(count(&app, &join(ALICE.id, "null")).await, 1, "what is stale does not count");
}

#[tokio::test]
async fn a_name_is_no_longer_than_can_be_shown() {
    let erp = Erp::attached().await;
    let app = writer(&erp).await;
    let quote = "select id from quotes where tenant_id = current_quote_tenant() limit 1";
    for (argument, length, expected) in [
        ("user_name", 255, None),
        ("user_name", 256, Some("22001")),
        ("user_email", 255, None),
        ("user_email", 256, Some("22001")),
    ] {
        let join = format!(
            "select join_quote_session(({quote}), user_id => {ANYBODY}, {argument} => repeat('ß', {length}))"
        );
        match expected {
            None => run(&app, &join).await,
            Some(code) => assert_eq!(sqlstate(&app, &join).await, code, "{argument}"),
        }
    }
    let long = "repeat('x', 20000000)";
    assert_eq!(sqlstate(&app, &session(ANYBODY, long, "now()")).await, "22001");
    assert_eq!(
        sqlstate(&app, &format!("update active_quote_sessions set user_email = {long}")).await,
        "22001"
    );
    // Whoever is called so by the ERP takes part all the same.
    let admin = erp.client("postgres").await;
    run(&admin, "alter table users alter username type text; update users set username = repeat('n', 300) || username").await;
    let shown = format!(
        "select length(user_name)::text from join_quote_session(({quote}), user_id => (select id from users limit 1))"
    );
    assert_eq!(text(&app, &shown).await, "255");
}

#[tokio::test]
async fn who_is_verified_is_nobody_else() {
    let erp = Erp::verified().await;
    let quote =
        "select id from quotes where tenant_id = current_quote_tenant() order by quote_number limit 1";
    let as_person = |token: String| {
        let erp = &erp;
        async move {
            let app = erp.client("erp_app").await;
            run(&app, "begin").await;
            authenticate(&app, &token).await.unwrap();
            app
        }
    };
    let bob = as_person(signer::token(BOB)).await;
    run(&bob, &format!("select join_quote_session(({quote})); commit")).await;
    let alice = || as_person(signer::token(ALICE));
    for statement in [
        session(&format!("'{}'", BOB.id), "'Bob'", "now()"),
        format!("update active_quote_sessions set user_name = 'Eve' where user_id = '{}'", BOB.id),
        format!("update active_quote_sessions set user_id = '{}'", ALICE.id),
        format!("delete from active_quote_sessions where user_id = '{}'", BOB.id),
    ] {
        assert_eq!(sqlstate(&alice().await, &statement).await, "42501", "{statement}");
    }
    // His own, under his own name.
    let app = alice().await;
    run(&app, &session(&format!("'{}'", ALICE.id), "'Bob'", "now()")).await;
    run(
        &app,
        &format!(
            "update active_quote_sessions set user_name = 'Eve', is_editing = true where user_id = '{}'",
            ALICE.id
        ),
    )
    .await;
    let known = format!(
        "select s.user_name || ' ' || (s.user_name = u.username) from active_quote_sessions s join users u on u.id = s.user_id where u.id = '{}'",
        ALICE.id
    );
    assert!(text(&app, &known).await.ends_with(" true"), "{}", text(&app, &known).await);
    run(&app, &format!("delete from active_quote_sessions where user_id = '{}'; commit", ALICE.id)).await;
    // What is stale is nobody's.
    let admin = erp.client("postgres").await;
    run(&admin, "update active_quote_sessions set last_heartbeat = now() - interval '1 minute'").await;
    run(&alice().await, &format!("delete from active_quote_sessions where user_id = '{}'; commit", BOB.id))
        .await;
    assert_eq!(erp.count("select count(*) from active_quote_sessions").await, 0);
}

/// RESET ALL takes the settings of who was verified away, and the tenant too: where anybody may set that again, nobody else speaks for him.
#[tokio::test]
async fn who_forgets_his_settings_is_still_nobody_else() {
    let erp = Erp::attached_on(Arc::new(
        Postgres::start_with(Settings::verified().with(&[("quote_collab.tenant_source", "setting")])).await,
    ))
    .await;
    let app = erp.client("erp_app").await;
    run(&app, "begin").await;
    authenticate(&app, &signer::token(ALICE)).await.unwrap();
    run(
        &app,
        &format!(
            "reset all; set local app.current_tenant_id = '{}'; set local app.current_user_id = '{}'",
            ALICE.tenant, BOB.id
        ),
    )
    .await;
    for who in ["current_quote_user()", "verified_quote_user()", &format!("current_quote_user('{}')", BOB.id)]
    {
        assert_eq!(text(&app, &format!("select {who}::text")).await, ALICE.id.to_string(), "{who}");
    }
    // What parallel workers do not know they are not asked.
    let restricted = "select count(*) from pg_proc where proname in ('current_quote_user', 'verified_quote_user') and proparallel = 'r'";
    assert_eq!(count(&app, restricted).await, 2);
    assert_eq!(sqlstate(&app, &session(&format!("'{}'", BOB.id), "'Bob'", "now()")).await, "42501");
}
