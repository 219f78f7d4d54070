//! What the bus cannot carry is told without its values, and nothing waits behind it.

use async_nats::jetstream;
use quote_collab_tests::{Ledger, TENANT, World, ledger};
use serde_json::Value;

/// Limits the stream's messages to so many bytes; -1 for no limit.
async fn limit(world: &World, largest: i32) {
    let context = jetstream::new(world.nats().client().await);
    let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
    let config = stream.cached_info().config.clone();
    let limited = jetstream::stream::Config { max_message_size: largest, ..config };
    context.update_stream(limited).await.expect("an operator may limit the stream");
}

async fn last_message(world: &World) -> Value {
    let context = jetstream::new(world.nats().client().await);
    let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
    let message = stream.get_last_raw_message_by_subject("quote.event.>").await.expect("a message");
    serde_json::from_slice(&message.payload).expect("a payload is JSON")
}

/// Writes notes of so many bytes and waits until everything is in the stream.
async fn noted(world: &World, bytes: i32) -> Value {
    relayed(world, "update quotes set notes = repeat('x', $1) where id = $2", bytes).await
}

async fn relayed(world: &World, update: &str, bytes: i32) -> Value {
    let quote = world.quote_of(TENANT).await;
    world.app().await.execute(update, &[&bytes, &quote.id]).await.expect("the ERP may write notes");
    let everything = Ledger::behind(world, 0).await;
    everything.must_equal(&ledger::stream(world.nats(), everything.len()).await, "the stream");
    last_message(world).await
}

#[tokio::test]
async fn a_stream_that_takes_less_than_its_server_holds_up_nobody() {
    let world = World::start().await;
    assert_eq!(noted(&world, 10_000).await.get("truncated"), None);
    limit(&world, 2_000).await;
    let event = noted(&world, 9_000).await;
    assert_eq!((&event["truncated"], &event["changes"][0]["field"]), (&Value::Bool(true), &"notes".into()));
    assert_eq!(noted(&world, 3).await["truncated"], true, "the old value is large");
    assert_eq!(noted(&world, 5).await.get("truncated"), None);
    // Not even the names of what changed fit.
    limit(&world, 800).await;
    let update = "update quotes set notes = repeat('x', $1), terms_and_conditions = 'x', contact_name = 'x', \
        contact_email = 'x', shipping_amount = 1, discount_amount = 1, total_cost = 1, margin_amount = 1, \
        margin_percentage = 1, expiration_date = '2030-01-01', converted_at = now() where id = $2";
    let event = relayed(&world, update, 9_000).await;
    assert_eq!((&event["truncated"], &event["changes"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    assert!(world.gateway.log().contains("refuses a message of this size"));
}
