//! A request that nobody waits for any more leaves nothing behind that others would have to wait for.

use std::time::Duration;

use quote_collab_tests::graphql::get;
use quote_collab_tests::{ALICE, Gateway, Postgres, Settings, TENANT, Wire, World, ask, eventually};
use serde_json::json;
use tokio_postgres::Client;

const SAVE: &str = "mutation ($input: VersionedQuoteUpdateInput!) {
    updateQuoteWithVersionCheck(input: $input) { success } }";
/// Statements of requests that wait for somebody's lock.
const WAITING: &str = "select count(*) from pg_stat_activity
    where application_name = 'quote_gateway' and state = 'active' and wait_event_type = 'Lock'";

/// A gateway with so many connections for requests, whose statements may run for longer than this test waits.
async fn world(connections: &str) -> World {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let variables = [("PG_POOL_SIZE", connections), ("PG_STATEMENT_TIMEOUT", "5m")];
    let gateway = Gateway::start_with(&postgres, "erp", None, &variables).await;
    World { gateway, nats: None, postgres }
}

async fn waiting_are(admin: &Client, count: i64) {
    let is_so =
        async || admin.query_one(WAITING, &[]).await.expect("the server tells").get::<_, i64>(0) == count;
    eventually("statements wait for the lock", is_so).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_ends_with_its_request_and_with_its_gateway() {
    let mut world = world("1").await;
    let (app, admin, quote) = (world.app().await, world.admin().await, world.quote_of(TENANT).await);
    app.batch_execute("begin").await.expect("a transaction begins");
    app.execute("select from quotes where id = $1 for update", &[&quote.id]).await.expect("a lock");
    let token = world.gateway.token(&ALICE);
    let input = json!({ "input": { "quoteId": quote.id, "version": 1, "changes": { "notes": "x" } } });
    tokio::select! {
        answer = ask(&world.gateway, &token, SAVE, input.clone()) => panic!("{answer:?}"),
        () = waiting_are(&admin, 1) => {}
    }
    // The client has hung up, and the lock is held still.
    waiting_are(&admin, 0).await;
    let answer = ask(&world.gateway, &token, "{ quotes(limit: 1) }", json!({})).await;
    assert!(answer.data("quotes").is_array());
    assert_eq!(get(&world.gateway, "/health/db").await.status, 200);
    tokio::select! {
        answer = ask(&world.gateway, &token, SAVE, input) => panic!("{answer:?}"),
        () = waiting_are(&admin, 1) => {}
    }
    world.gateway.kill();
    waiting_are(&admin, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_gives_up_again_and_again_has_no_more_connections_for_it() {
    let world = world("4").await;
    let (app, admin, quote) = (world.app().await, world.admin().await, world.quote_of(TENANT).await);
    app.batch_execute("begin").await.expect("a transaction begins");
    app.execute("select from quotes where id = $1 for update", &[&quote.id]).await.expect("a lock");
    let mut wire = Wire::open(&world.gateway, &ALICE).await;
    let input = json!({ "input": { "quoteId": quote.id, "version": 1, "changes": { "notes": "x" } } });
    let mut most = 0;
    for id in 0..40 {
        let id = id.to_string();
        wire.begin(&id, SAVE, &input).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
        wire.tell(&json!({ "type": "complete", "id": id })).await;
        most = most.max(admin.query_one(WAITING, &[]).await.expect("the server tells").get::<_, i64>(0));
    }
    // A user has a quarter of the connections.
    assert_eq!(most, 1);
}
