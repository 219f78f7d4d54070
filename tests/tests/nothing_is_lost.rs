//! Eight writers at once and one that takes its time: everybody is told every committed change once, in order.

use std::time::Instant;

use quote_collab_tests::{
    ALICE, CAROL, Kind, Ledger, Load, Person, Quote, Subscriber, TENANT, TENANT_OTHER, Told, World, ledger,
};
use serde_json::Value;

const WRITERS: u64 = 8;
const TRANSACTIONS: u64 = 20_000;
const BOTH: [Kind; 2] = [Kind::Quote, Kind::Line];

async fn subscribed(world: &World, person: &Person, quotes: &[Quote]) -> Subscriber {
    let ids: Vec<_> = quotes.iter().map(|quote| quote.id).collect();
    let mut subscriber = Subscriber::start(&world.gateway, &world.gateway.token(person), &ids, &BOTH);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    subscriber
}

/// Everything a subscriber is told until each of its subscriptions has told the end.
async fn listen(
    mut subscriber: Subscriber,
    mut ended: tokio::sync::oneshot::Receiver<()>,
    world: &World,
) -> Vec<(Instant, Told)> {
    let mut told = Vec::new();
    let mut note = |event: &Value| told.push((Instant::now(), Told::of(event)));
    loop {
        tokio::select! {
            biased;
            event = subscriber.next_event() => note(&event),
            _ = &mut ended => break,
        }
    }
    subscriber.drain(&world.app().await).await.iter().for_each(note);
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_writers_lose_nothing_and_wait_for_nobody() {
    let world = World::start().await;
    let (ours, theirs) = (world.quotes_of(TENANT, 30).await, world.quotes_of(TENANT_OTHER, 15).await);
    let patient = world.quotes_of(TENANT, 31).await[30];
    let (alice, carol) = (subscribed(&world, &ALICE, &ours).await, subscribed(&world, &CAROL, &theirs).await);
    let mut slow = subscribed(&world, &ALICE, &[patient]).await;
    let begin = ledger::position(&world).await;
    let all: Vec<_> = [ours, theirs].concat();
    let load = Load::start(&world, &all, WRITERS, TRANSACTIONS, 1).await;
    let ((end_a, ended_a), (end_c, ended_c)) =
        (tokio::sync::oneshot::channel(), tokio::sync::oneshot::channel());
    let written = async {
        let opened = Instant::now();
        // It takes its place in the order of transactions before nearly all others and commits behind thousands.
        let hold = format!(
            "begin; update quotes set notes = 'slow' where id = '{}'; select pg_sleep(5); commit",
            patient.id
        );
        world.app().await.batch_execute(&hold).await.expect("a slow transaction");
        let committed = Instant::now();
        load.finish().await;
        let ledger = Ledger::behind(&world, begin).await;
        for end in [end_a, end_c] {
            end.send(()).expect("somebody listens");
        }
        (opened, committed, ledger)
    };
    let ((opened, committed, ledger), alice, carol) =
        tokio::join!(written, listen(alice, ended_a, &world), listen(carol, ended_c, &world));
    let mut told: Vec<_> = [&alice, &carol].into_iter().flatten().map(|(_, told)| told.clone()).collect();
    told.extend(slow.drain(&world.app().await).await.iter().map(Told::of));
    ledger.must_equal(&told, "subscribers");
    let meanwhile = alice.iter().filter(|(at, _)| *at > opened && *at < committed).count();
    assert!(meanwhile > 100, "only {meanwhile} events while one transaction was open");
    let everything = Ledger::behind(&world, 0).await;
    everything.must_equal(&ledger::stream(world.nats(), everything.len()).await, "the stream");
}
