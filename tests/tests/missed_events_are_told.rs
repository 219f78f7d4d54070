//! What the stream lost before a gateway had read it is never passed over: its subscribers are told to read again.

use std::collections::HashSet;

use async_nats::jetstream::{self, stream::Stream};
use quote_collab_tests::graphql::leads;
use quote_collab_tests::{
    ALICE, Gateway, Kind, Ledger, Nats, Postgres, Quote, Release, Settings, Subscriber, TENANT, Told, World,
    eventually, ledger,
};
use rustix::process::Signal;

/// More than a consumer is sent at once.
const BURST: u64 = 3_000;
const KIND: [Kind; 1] = [Kind::Quote];

/// A world whose gateway relays, and a second one.
async fn two_gateways(variables: &[(&str, &str)]) -> (World, Gateway) {
    let (postgres, nats) =
        tokio::join!(Postgres::start_with(Settings::preloaded(&[])), Nats::start(Release::Debian));
    let gateway = Gateway::start_with(&postgres, "erp", Some(&nats), variables).await;
    leads(&gateway).await;
    let second = Gateway::start_with(&postgres, "erp", Some(&nats), variables).await;
    (World { gateway, nats: Some(nats), postgres }, second)
}

async fn subscribed(world: &World, gateway: &Gateway, quote: &Quote) -> Subscriber {
    let mut subscriber = Subscriber::start(gateway, &gateway.token(&ALICE), &[quote.id], &KIND);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    subscriber
}

async fn stream(world: &World) -> Box<Stream> {
    let context = jetstream::new(Box::pin(world.nats().client()).await);
    Box::new(Box::pin(context.get_stream("QUOTE_EVENTS")).await.expect("the relay's stream"))
}

async fn last_sequence(world: &World) -> u64 {
    stream(world).await.cached_info().state.last_sequence
}

/// So many changes of one quote in one transaction.
async fn burst(world: &World, quote: &Quote, changes: u64) {
    let id = quote.id;
    let changes = format!(
        "do $$ begin for i in 1..{changes} loop
            update quotes set notes = 'm' || i where id = '{id}';
        end loop; end $$"
    );
    world.app().await.batch_execute(&changes).await.expect("changes");
}

/// A gateway stands still while the stream loses what it has not read.
async fn told_of_what_is_lost(variables: &[(&str, &str)], lose: impl AsyncFnOnce(&World)) {
    let (world, second) = two_gateways(variables).await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &second, &quote).await;
    let before = last_sequence(&world).await;
    second.process().signal(Signal::STOP);
    burst(&world, &quote, BURST).await;
    eventually("all is published", async || last_sequence(&world).await >= before + BURST).await;
    lose(&world).await;
    second.process().signal(Signal::CONT);
    assert_eq!(read_to_the_error(&mut subscriber).await, "RESYNC_REQUIRED");
    let position = ledger::position(&world).await;
    let mut again = subscribed(&world, &second, &quote).await;
    burst(&world, &quote, 50).await;
    let told: Vec<_> = again.drain(&world.app().await).await.iter().map(Told::of).collect();
    assert_eq!(told.len(), 50);
    let ledger = Ledger::behind(&world, position).await;
    assert!(told.iter().all(|told| ledger.has(told)));
}

/// Reads events without a gap, until an error with this code.
async fn read_to_the_error(subscriber: &mut Subscriber) -> serde_json::Value {
    let mut last = None;
    loop {
        let mut line = subscriber.next_line().await;
        match line["type"].as_str() {
            Some("event") => {
                let version = line["event"]["version"].as_i64().expect("a version");
                assert!(last.is_none_or(|last| version == last + 1), "{version} after {last:?}");
                last = Some(version);
            }
            Some("error") => break line["errors"][0]["extensions"]["code"].take(),
            _ => {}
        }
    }
}

/// His message takes the number of an event: that one is refused, and those behind it may not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_publishes_in_the_middle_takes_no_event_away_in_silence() {
    let (world, second) = two_gateways(&[]).await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &second, &quote).await;
    let (before, position) = (last_sequence(&world).await, ledger::position(&world).await);
    let client = world.nats().client().await;
    let in_between = async {
        eventually("a publication has begun", async || last_sequence(&world).await > before).await;
        client.publish("quote.event.foreign", "{}".into()).await.expect("NATS takes it");
        client.flush().await.expect("NATS has it");
    };
    tokio::join!(burst(&world, &quote, BURST), in_between);
    assert_eq!(read_to_the_error(&mut subscriber).await, "RESYNC_REQUIRED");
    // Who reads the stream itself finds every event, or the announcement that he must read again.
    let admin = world.admin().await;
    let written = "select count(*) from quote_changes where position > $1 and field_name = 'notes'";
    let written: i64 = admin.query_one(written, &[&position]).await.expect("the history is read").get(0);
    eventually("nothing is passed over in silence", async || {
        let (told, is_announced) = published(&world, before).await;
        is_announced || i64::try_from(told).expect("a count") == written
    })
    .await;
}

/// How many events a relay has published behind a message, and whether it announced that everybody reads again.
async fn published(world: &World, sequence: u64) -> (usize, bool) {
    let (stream, mut told, mut is_announced) = (stream(world).await, HashSet::new(), false);
    for sequence in sequence + 1..=stream.cached_info().state.last_sequence {
        let Ok(message) = stream.get_raw_message(sequence).await else { continue };
        is_announced |= message.subject.ends_with(".resync");
        told.extend(message.headers.get("Quote-Position").map(ToString::to_string));
    }
    (told.len(), is_announced)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_drops_nothing_in_silence() {
    told_of_what_is_lost(&[("NATS_STREAM_MAX_BYTES", "300000")], async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_stream_drops_nothing_in_silence() {
    told_of_what_is_lost(&[], async |world| {
        stream(world).await.purge().await.expect("an operator may purge it");
    })
    .await;
}

/// Batches that were dropped in PostgreSQL are not published again, so the new stream has other numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_deleted_and_filled_again_with_other_numbers_is_read_to_its_end() {
    const CHANGES: i32 = 60;
    let (world, second) = two_gateways(&[]).await;
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    let mut subscribers =
        [subscribed(&world, &world.gateway, &quote).await, subscribed(&world, &second, &quote).await];
    for change in 1..=CHANGES {
        let update = "update quotes set notes = $1::int::text where id = $2";
        app.execute(update, &[&change, &quote.id]).await.expect("an update");
    }
    for subscriber in &mut subscribers {
        subscriber.drain(&app).await;
    }
    let retire = "delete from quote_relay_batch b where b.no > 0
        and b.no < (select max(m.no) - 5 from quote_relay_batch m)";
    world.admin().await.execute(retire, &[]).await.expect("old batches are dropped");
    let position = ledger::position(&world).await;
    let context = jetstream::new(world.nats().client().await);
    context.delete_stream("QUOTE_EVENTS").await.expect("an operator may delete it");
    for change in 1..=3 * CHANGES {
        let update = "update quotes set notes = 'again ' || $1::int where id = $2";
        app.execute(update, &[&change, &quote.id]).await.expect("an update");
    }
    let mut told = Vec::new();
    for subscriber in &mut subscribers {
        told.push(subscriber.drain(&app).await.iter().map(Told::of).collect::<Vec<_>>());
    }
    let everything = Ledger::behind(&world, position).await;
    for (mut told, who) in told.into_iter().zip(["the first", "the second"]) {
        // The marks of before may come late.
        told.retain(|told| everything.has(told));
        let versions: Vec<_> = told.iter().filter_map(|told| told.version).collect();
        assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{who}: {versions:?}");
        assert!(told.len() >= usize::try_from(3 * CHANGES).expect("a length"), "{who}: {}", told.len());
    }
}
