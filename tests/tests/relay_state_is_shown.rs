//! Operators see that events are not copied any more, and why; a gateway is not restarted for it.

use std::time::Duration;

use async_nats::jetstream;
use quote_collab_tests::graphql::{get, leads, metric};
use quote_collab_tests::postgres::APP;
use quote_collab_tests::scratch::Scratch;
use quote_collab_tests::{
    ALICE, Gateway, Kind, Nats, Postgres, Release, Settings, Subscriber, TENANT, World, eventually,
};
use tokio::time::{sleep, timeout};

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
async fn messages_that_no_relay_published_are_seen_by_operators() {
    let world = World::start().await;
    relay_is(&world, 200, None).await;
    assert!(metric(&world.gateway, "gateway_relay_lag_seconds").await < 2.0);
    let client = world.nats().client().await;
    // More than a relay looks through for the last that is of one.
    for _ in 0..=10_000 {
        client.publish("quote.event.foreign", "a secret".into()).await.expect("NATS takes it");
    }
    client.flush().await.expect("NATS has them");
    let quote = world.quote_of(TENANT).await;
    let update = "update quotes set notes = 'x' where id = $1";
    world.app().await.execute(update, &[&quote.id]).await.expect("writers notice nothing");
    relay_is(&world, 503, Some("foreign_message")).await;
    let summary = get(&world.gateway, "/health").await;
    assert_eq!((summary.status, &summary.body["status"]), (200, &"degraded".into()), "{summary:?}");
    assert!(metric(&world.gateway, "gateway_relay_failing").await > 0.5);
    assert!(metric(&world.gateway, "gateway_relay_lag_seconds").await > 10.0);
    assert!(metric(&world.gateway, "gateway_relay_success_age_seconds").await > 10.0);
    let stream = jetstream::new(client).get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
    stream.purge().await.expect("an operator may purge it");
    relay_is(&world, 200, None).await;
    assert!(metric(&world.gateway, "gateway_relay_failing").await < 0.5);
    assert!(!world.gateway.log().contains("a secret"));
}

/// Also where it was deleted then: servers before 2.10 have no last message any more.
#[tokio::test]
async fn a_message_that_no_relay_published_keeps_nothing_from_subscribers() {
    for release in Release::all() {
        let (postgres, nats) = tokio::join!(Postgres::start(), Nats::start(release));
        let gateway = Gateway::start(&postgres, Some(&nats)).await;
        let world = World { gateway, nats: Some(nats), postgres };
        relay_is(&world, 200, None).await;
        let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
        let context = jetstream::new(world.nats().client().await);
        let publish = async || {
            let publication =
                context.publish("quote.event.foreign", "{}".into()).await.expect("NATS takes it");
            publication.await.expect("the stream takes it").sequence
        };
        for round in 0..2 {
            let sequence = publish().await;
            if round == 1 {
                let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
                stream.delete_message(sequence).await.expect("an operator may delete it");
            }
            // The term of before has named the number that is taken: this one begins another.
            let subscribe = || {
                Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &[quote.id], &[Kind::Quote])
            };
            let mut subscriber = subscribe();
            if let Err(error) = subscriber.try_to_settle(&app).await {
                assert_eq!(error["extensions"]["code"], "RESYNC_REQUIRED");
                subscriber = subscribe();
                subscriber.settle(&app).await;
            }
            subscriber.drain(&app).await;
        }
        relay_is(&world, 200, None).await;
    }
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

/// As where a server of NATS has reached its `max_file_store`.
#[tokio::test]
async fn a_bus_without_room_is_seen_by_operators() {
    let scratch = Scratch::make("nats_settings");
    let settings = scratch.path().join("nats.conf");
    std::fs::write(&settings, "jetstream { max_file_store: 128KB }").expect("a file is written");
    let arguments = ["--config", settings.to_str().expect("its name is a text")];
    let (postgres, nats) = tokio::join!(
        Postgres::start_with(Settings::preloaded(&[])),
        Nats::start_with(Release::Debian, &arguments)
    );
    let gateway = Gateway::start(&postgres, Some(&nats)).await;
    let world = World { gateway, nats: Some(nats), postgres };
    relay_is(&world, 200, None).await;
    let context = jetstream::new(world.nats().client().await);
    let others = jetstream::stream::Config {
        name: "OTHERS".to_owned(),
        subjects: vec!["others".to_owned()],
        ..Default::default()
    };
    context.create_stream(others).await.expect("another stream of the server");
    while context.publish("others", vec![0; 8_192].into()).await.expect("it is sent").await.is_ok() {}
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    let update = "update quotes set notes = 'x' where id = $1";
    app.execute(update, &[&quote.id]).await.expect("writers notice nothing");
    relay_is(&world, 503, Some("bus_full")).await;
    assert!(metric(&world.gateway, "gateway_relay_batches_waiting").await > 0.5);
    let told = world.gateway.log().matches("relay term ended: the bus has no room").count();
    assert_eq!(told, 1, "{}", world.gateway.log());
    context.delete_stream("OTHERS").await.expect("an operator makes room");
    relay_is(&world, 200, None).await;
    eventually("no batch waits", || async {
        metric(&world.gateway, "gateway_relay_batches_waiting").await < 0.5
    })
    .await;
}

/// No other relay has taken over: this one cannot work.
#[tokio::test]
async fn a_history_that_went_astray_is_seen_by_operators() {
    let world = World::start().await;
    relay_is(&world, 200, None).await;
    let admin = world.admin().await;
    admin.batch_execute("alter table quote_changes rename to away").await.expect("an operator may");
    relay_is(&world, 503, Some("database_refused")).await;
    admin.batch_execute("alter table away rename to quote_changes").await.expect("an operator may");
    relay_is(&world, 200, None).await;
}

/// As where a copy for tests is given the address of the real one's NATS: it has the same tenants and quotes.
#[tokio::test]
async fn a_stream_of_two_databases_tells_nobody_the_changes_of_the_other() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await.id;
    let copy = world.postgres.database().await;
    let theirs = Gateway::start_with(&world.postgres, &copy, Some(world.nats()), &[]).await;
    let (app, their_app) = (world.app().await, world.postgres.client(&copy, APP).await);
    let subscribe =
        || Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &[quote], &[Kind::Quote]);
    let mut subscriber = subscribe();
    let update = "update quotes set notes = $2 where id = $1";
    let (mut heard, mut shared) = (0, false);
    for round in 0..200 {
        their_app.execute(update, &[&quote, &format!("TEST {round}")]).await.expect("writers notice nothing");
        app.execute(update, &[&quote, &format!("REAL {round}")]).await.expect("writers notice nothing");
        while let Ok(line) = timeout(Duration::from_millis(250), subscriber.next_line()).await {
            assert!(!line.to_string().contains("TEST"), "{line}");
            heard += usize::from(line["type"] == "event");
            if matches!(line["type"].as_str(), Some("error" | "complete" | "closed")) {
                subscriber = subscribe();
            }
        }
        for gateway in [&world.gateway, &theirs] {
            let answer = get(gateway, "/health/nats").await;
            shared |= answer.status == 503 && answer.body["relay"]["reason"] == "stream_shared";
        }
        if heard > 2 && shared {
            break;
        }
    }
    assert!(heard > 2 && shared, "{heard} changes were heard of, operators see it: {shared}");
    assert!(world.gateway.log().contains("is of another database and is not delivered"));
}

/// Each metric that the documentation says to watch is there before anything has happened.
#[tokio::test]
async fn metrics_to_alert_on_begin_with_the_process() {
    let page = include_str!("../../docs/gateway.md");
    let table =
        page.split("Metrics to alert on:").nth(1).and_then(|rest| rest.split("`/metrics` has more").next());
    let names: Vec<&str> =
        table.expect("the page has them").split('`').filter(|name| name.starts_with("gateway_")).collect();
    assert!(names.len() > 10, "{names:?}");
    let world = World::start().await;
    let metrics = get(&world.gateway, "/metrics").await.text;
    for name in names {
        let is_there = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        assert!(metrics.lines().any(is_there), "{name}:\n{metrics}");
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
    // Healthy is also one that has not led yet: the second might come first.
    leads(&world.gateway).await;
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
