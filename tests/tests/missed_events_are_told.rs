//! What the stream lost before a gateway had read it is never passed over: its subscribers are told to read again.

use async_nats::jetstream::{self, stream::Stream};
use quote_collab_tests::graphql::get;
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
    eventually("it relays", async || get(&gateway, "/health/nats").await.body["relay"]["role"] == "leading")
        .await;
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
    let mut last = None;
    let error = loop {
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
    };
    assert_eq!(error, "RESYNC_REQUIRED");
    let position = ledger::position(&world).await;
    let mut again = subscribed(&world, &second, &quote).await;
    burst(&world, &quote, 50).await;
    let told: Vec<_> = again.drain(&world.app().await).await.iter().map(Told::of).collect();
    assert_eq!(told.len(), 50);
    let ledger = Ledger::behind(&world, position).await;
    assert!(told.iter().all(|told| ledger.has(told)));
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
