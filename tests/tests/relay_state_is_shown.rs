//! Operators see that events are not copied any more, and why; a gateway is not restarted for it.

use std::time::Duration;

use async_nats::{HeaderMap, jetstream};
use quote_collab_tests::graphql::{get, metric};
use quote_collab_tests::{Gateway, TENANT, World, eventually};
use tokio::time::sleep;

/// Looks until the relay's state is this one. A failure is one only after 15 seconds.
async fn relay_is(world: &World, status: u16, reason: Option<&str>) {
    for _ in 0..300 {
        let answer = get(&world.gateway, "/health/nats").await;
        if answer.status == status && answer.body["relay"]["reason"].as_str() == reason {
            assert_eq!(answer.body["status"], if reason.is_some() { "failing" } else { "ok" });
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("{:?}", get(&world.gateway, "/health/nats").await);
}

#[tokio::test]
async fn a_message_that_no_relay_published_is_seen_by_operators() {
    let world = World::start().await;
    relay_is(&world, 200, None).await;
    assert!(metric(&world.gateway, "gateway_relay_lag_seconds").await < 2.0);
    let context = jetstream::new(world.nats().client().await);
    let publication =
        context.publish_with_headers("quote.event.foreign", HeaderMap::new(), "a secret".into());
    let sequence = publication.await.expect("NATS takes it").await.expect("the stream takes it").sequence;
    let quote = world.quote_of(TENANT).await;
    let update = "update quotes set notes = 'x' where id = $1";
    world.app().await.execute(update, &[&quote.id]).await.expect("writers notice nothing");
    relay_is(&world, 503, Some("foreign_message")).await;
    let summary = get(&world.gateway, "/health").await;
    assert_eq!((summary.status, &summary.body["status"]), (200, &"degraded".into()), "{summary:?}");
    assert!(metric(&world.gateway, "gateway_relay_failing").await > 0.5);
    assert!(metric(&world.gateway, "gateway_relay_lag_seconds").await > 10.0);
    assert!(metric(&world.gateway, "gateway_relay_success_age_seconds").await > 10.0);
    let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
    stream.delete_message(sequence).await.expect("an operator may delete it");
    relay_is(&world, 200, None).await;
    assert!(metric(&world.gateway, "gateway_relay_failing").await < 0.5);
    assert!(!world.gateway.log().contains("a secret"));
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_seen_by_operators() {
    let world = World::start().await;
    relay_is(&world, 200, None).await;
    for (read_only, status, reason) in [("on", 503, Some("database_read_only")), ("off", 200, None)] {
        world.begin_gateway_with(&format!("default_transaction_read_only = {read_only}")).await;
        relay_is(&world, status, reason).await;
    }
}

#[tokio::test]
async fn nothing_waits_any_more_once_a_stream_is_filled_again() {
    const BATCHES: u64 = 3;
    let mut world = World::start().await;
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    let context = jetstream::new(world.nats().client().await);
    let stored = async || {
        let stream = context.get_stream("QUOTE_EVENTS").await;
        stream.map_or(0, |stream| stream.cached_info().state.messages)
    };
    for batch in 1..=BATCHES {
        let update = "update quotes set shipping_amount = coalesce(shipping_amount, 0) + 1 where id = $1";
        app.execute(update, &[&quote.id]).await.expect("an update");
        eventually("it is published", || async { stored().await == batch }).await;
    }
    context.delete_stream("QUOTE_EVENTS").await.expect("the stream is gone");
    world.gateway.restart().await;
    eventually("the stream is filled again", || async { stored().await == BATCHES }).await;
    eventually("no batch waits", || async {
        metric(&world.gateway, "gateway_relay_batches_waiting").await < 0.5
    })
    .await;
}

#[tokio::test]
async fn a_second_gateway_without_nats_is_seen_by_operators() {
    let mut world = World::embedded().await;
    relay_is(&world, 200, None).await;
    // Its subscribers hear nothing: the events stay in the process of the first.
    let second = Gateway::start(&world.postgres, None).await;
    eventually("it stands by", async || {
        let answer = get(&second, "/health/nats").await;
        answer.status == 503 && answer.body["status"] == "standby"
    })
    .await;
    let summary = get(&second, "/health").await;
    assert_eq!((summary.status, &summary.body["status"]), (200, &"degraded".into()), "{summary:?}");
    relay_is(&world, 200, None).await;
    world.gateway.kill();
    eventually("it takes over", async || get(&second, "/health/nats").await.status == 200).await;
}
