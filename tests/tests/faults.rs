//! Whatever is killed in the middle, everybody is told every committed change once, in order.

use std::path::Path;
use std::process::Command;

use quote_collab_tests::{ALICE, Kind, Ledger, Load, Quote, Subscriber, TENANT, Told, World, ledger};
use tokio::sync::oneshot::{Receiver, channel};
use tokio_postgres::Client;

const WRITERS: u64 = 8;
const BOTH: [Kind; 2] = [Kind::Quote, Kind::Line];

async fn subscribed(world: &World, quotes: &[Quote]) -> Subscriber {
    let ids: Vec<_> = quotes.iter().map(|quote| quote.id).collect();
    let mut subscriber = Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &ids, &BOTH);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    subscriber
}

/// Everything a subscriber is told until each of its subscriptions has told the end.
async fn listen(mut subscriber: Subscriber, mut ended: Receiver<()>, app: Client) -> (Subscriber, Vec<Told>) {
    let mut told = Vec::new();
    loop {
        tokio::select! {
            biased;
            event = subscriber.next_event() => told.push(Told::of(&event)),
            _ = &mut ended => break,
        }
    }
    told.extend(subscriber.drain(&app).await.iter().map(Told::of));
    (subscriber, told)
}

/// A part that is killed with -9 and started again.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Gateway,
    Nats,
    Both,
}

async fn strike(world: &mut World, fault: Fault) {
    if matches!(fault, Fault::Gateway | Fault::Both) {
        world.gateway.kill();
    }
    if matches!(fault, Fault::Nats | Fault::Both) {
        let nats = world.nats.as_mut().expect("this world has NATS");
        nats.kill();
        nats.restart().await;
    }
    if matches!(fault, Fault::Gateway | Fault::Both) {
        world.gateway.restart().await;
    }
}

/// Writes, with faults after so many transactions, and holds what was told against what was committed.
async fn survive(world: &mut World, transactions: u64, faults: &[(u64, Fault)]) {
    let quotes = world.quotes_of(TENANT, 20).await;
    let subscriber = subscribed(world, &quotes).await;
    let begin = ledger::position(world).await;
    let (end, ended) = channel();
    let listening = tokio::spawn(listen(subscriber, ended, world.app().await));
    let load = Load::start(world, &quotes, WRITERS, transactions, 2).await;
    for (at, fault) in faults {
        load.reaches(*at).await;
        strike(world, *fault).await;
    }
    load.finish().await;
    let ledger = Ledger::behind(world, begin).await;
    end.send(()).expect("somebody listens");
    let (_subscriber, told) = listening.await.expect("the subscriber listens");
    ledger.must_equal(&told, "the subscriber");
    if let Some(nats) = &world.nats {
        let everything = Ledger::behind(world, 0).await;
        everything.must_equal(&ledger::stream(nats, everything.len()).await, "the stream");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_loses_and_repeats_nothing() {
    let mut world = World::start().await;
    let faults = [(500, Fault::Gateway), (1_500, Fault::Gateway), (2_500, Fault::Gateway)];
    survive(&mut world, 3_500, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_nats_loses_and_repeats_nothing() {
    let mut world = World::start().await;
    let faults = [(500, Fault::Nats), (1_500, Fault::Both), (2_500, Fault::Nats)];
    survive(&mut world, 3_500, &faults).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_gateway_without_nats_loses_and_repeats_nothing() {
    let mut world = World::embedded().await;
    survive(&mut world, 2_500, &[(500, Fault::Gateway), (1_500, Fault::Gateway)]).await;
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(copied.success());
}

/// Waits until the stream has all that was committed, exactly.
async fn stream_is_complete(world: &World) {
    let everything = Ledger::behind(world, 0).await;
    everything.must_equal(&ledger::stream(world.nats(), everything.len()).await, "the stream");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_lost_its_end_or_everything_is_filled_again() {
    let mut world = World::start().await;
    let quotes = world.quotes_of(TENANT, 5).await;
    let mut subscriber = subscribed(&world, &quotes).await;
    let store = world.nats().store().to_owned();
    let kept = store.with_extension("kept");
    Load::start(&world, &quotes, WRITERS, 400, 3).await.finish().await;
    stream_is_complete(&world).await;
    world.nats.as_mut().expect("NATS").kill();
    copy(&store, &kept);
    world.nats.as_mut().expect("NATS").restart().await;
    Load::start(&world, &quotes, WRITERS, 400, 4).await.finish().await;
    stream_is_complete(&world).await;
    subscriber.drain(&world.app().await).await;
    for (loss, seed) in [(Some(&kept), 5), (None, 6)] {
        world.nats.as_mut().expect("NATS").kill();
        std::fs::remove_dir_all(&store).expect("the store is removed");
        if let Some(kept) = loss {
            copy(kept, &store);
        }
        world.nats.as_mut().expect("NATS").restart().await;
        let before = ledger::position(&world).await;
        Load::start(&world, &quotes, WRITERS, 200, seed).await.finish().await;
        let ledger = Ledger::behind(&world, before).await;
        let events: Vec<_> = subscriber.drain(&world.app().await).await.iter().map(Told::of).collect();
        ledger.must_equal(&events, "the subscriber");
        stream_is_complete(&world).await;
    }
    assert_eq!(
        world.gateway.log().matches("made stream QUOTE_EVENTS").count(),
        2,
        "at the start, and once it was gone"
    );
}
