//! Time-outs that an administrator sets for forgotten sessions end none of the gateway's, which are quiet on purpose.

use async_nats::jetstream;
use quote_collab_tests::graphql::{ask, get};
use quote_collab_tests::{ALICE, TENANT, World, eventually};
use serde_json::json;

/// Sessions of the gateway that are kept for longer than the time-out, by the names of what they are for.
const QUIET: &str =
    "select count(distinct application_name) = 2 from pg_stat_activity where usename = 'quote_gateway'
    and application_name in ('quote_gateway_listener', 'quote_gateway')
    and state = 'idle' and state_change < now() - interval '3 seconds'";

#[tokio::test]
async fn quiet_connections_live_on() {
    let world = World::start().await;
    let admin = world.admin().await;
    let setting = "idle_in_transaction_session_timeout = '1ms'";
    admin
        .batch_execute("alter role quote_gateway set idle_session_timeout = '1s'")
        .await
        .expect("the superuser may do so");
    world.begin_gateway_with(setting).await;
    eventually("it relays", || async { get(&world.gateway, "/health").await.body["status"] == "ok" }).await;
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    let query = format!("{{ quote(quoteId: \"{}\") }}", quote.id);
    let asked = async || ask(&world.gateway, &world.gateway.token(&ALICE), &query, json!({})).await;
    let answer = asked().await;
    assert!(answer.body["errors"].is_null(), "{answer:?}");
    eventually("sessions are quiet", || async {
        admin.query_one(QUIET, &[]).await.is_ok_and(|row| row.get(0))
    })
    .await;
    let update = "update quotes set notes = 'x' where id = $1";
    app.execute(update, &[&quote.id]).await.expect("writers notice nothing");
    let context = jetstream::new(world.nats().client().await);
    eventually("it is published", || async {
        let stream = context.get_stream("QUOTE_EVENTS").await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages == 1)
    })
    .await;
    let answer = asked().await;
    assert!(answer.body["errors"].is_null(), "{answer:?}");
    let log = world.postgres.log();
    assert!(!log.contains("due to idle"), "{log}");
}
