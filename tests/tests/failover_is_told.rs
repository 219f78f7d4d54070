//! A standby that was behind takes over, and the stream has nothing left that could tell: subscribers read again, of any
//! gateway, and are told what the new history brings.

use quote_collab_tests::graphql::leads;
use quote_collab_tests::postgres::{ADMIN, APP, GATEWAY};
use quote_collab_tests::{
    ALICE, Gateway, Kind, Nats, Postgres, Quote, Release, Settings, Subscriber, TENANT, World, eventually,
};
use rustix::process::Signal;
use tokio_postgres::Client;

const KIND: [Kind; 1] = [Kind::Quote];

/// The primary and its standby, whichever takes connections.
fn address(primary: &Postgres, standby: &Postgres) -> String {
    format!("postgresql://{GATEWAY}@127.0.0.1:{},127.0.0.1:{}/erp", primary.port(), standby.port())
}

async fn gateway(url: &str, nats: &Nats) -> Gateway {
    let gateway = Gateway::spawn(url, Some(&nats.url()), &[]);
    eventually("it is ready", async || gateway.log().contains("ready on")).await;
    gateway
}

async fn subscribed(gateway: &Gateway, quote: &Quote, app: &Client) -> Subscriber {
    let mut subscriber = Subscriber::start(gateway, &gateway.token(&ALICE), &[quote.id], &KIND);
    subscriber.settle(app).await;
    subscriber.drain(app).await;
    subscriber
}

/// As [`subscribed`], by a client that was told to read again: the announcement in the stream may come by only now, and tell it once more.
async fn subscribed_again(gateway: &Gateway, quote: &Quote, app: &Client) -> Subscriber {
    let mut subscriber = Subscriber::start(gateway, &gateway.token(&ALICE), &[quote.id], &KIND);
    if let Err(error) = subscriber.try_to_settle(app).await {
        assert_eq!(error["extensions"]["code"], "RESYNC_REQUIRED");
        return subscribed(gateway, quote, app).await;
    }
    subscriber.drain(app).await;
    subscriber
}

async fn change(app: &Client, quote: &Quote, times: i32) {
    for time in 1..=times {
        let update = "update quotes set notes = 'change ' || $1::int where id = $2";
        app.execute(update, &[&time, &quote.id]).await.expect("an update");
    }
}

/// Waits until the standby has everything.
async fn has_everything(standby: &Postgres, primary: &Postgres) {
    let end = "select pg_current_wal_lsn()::text";
    let end = primary.client("erp", ADMIN).await.query_one(end, &[]).await.expect("a place");
    let end: String = end.get(0);
    let reader = standby.client("erp", ADMIN).await;
    eventually("the standby has it", async || {
        let is_there = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        reader.query_one(is_there, &[&end]).await.expect("the standby answers").get(0)
    })
    .await;
}

async fn promote(standby: &Postgres) -> Client {
    let admin = standby.client("erp", ADMIN).await;
    admin.batch_execute("select pg_promote()").await.expect("the standby is promoted");
    standby.client("erp", APP).await
}

/// The standby does not hear of the last hundred changes, and NATS forgets all of them.
async fn told_after_failover(relay_is_new: bool) {
    let (postgres, mut nats) =
        tokio::join!(Postgres::start_with(Settings::preloaded(&[])), Nats::start(Release::Debian));
    let mut standby = postgres.standby_with(Settings::preloaded(&[])).await;
    let url = address(&postgres, &standby);
    let first = gateway(&url, &nats).await;
    leads(&first).await;
    let second = gateway(&url, &nats).await;
    let mut world = World { gateway: first, nats: None, postgres };
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut listening = vec![subscribed(&second, &quote, &app).await];
    if !relay_is_new {
        listening.push(subscribed(&world.gateway, &quote, &app).await);
    }
    change(&app, &quote, 30).await;
    has_everything(&standby, &world.postgres).await;
    standby.stop();
    change(&app, &quote, 100).await;
    for subscriber in &mut listening {
        subscriber.drain(&app).await;
    }
    world.postgres.stop_hard();
    nats.kill();
    if relay_is_new {
        world.gateway.kill();
        second.process().signal(Signal::STOP);
    }
    std::fs::remove_dir_all(nats.store()).expect("the store is removed");
    standby.restart().await;
    let app = promote(&standby).await;
    nats.restart().await;
    if relay_is_new {
        world.gateway = gateway(&url, &nats).await;
        leads(&world.gateway).await;
        // More than the lost ones: their places are taken again before the second gateway looks.
        change(&app, &quote, 200).await;
        second.process().signal(Signal::CONT);
    } else {
        change(&app, &quote, 60).await;
    }
    for subscriber in &mut listening {
        assert_eq!(subscriber.next_error().await["extensions"]["code"], "RESYNC_REQUIRED");
    }
    for gateway in [&world.gateway, &second] {
        let mut again = subscribed_again(gateway, &quote, &app).await;
        change(&app, &quote, 10).await;
        assert_eq!(again.drain(&app).await.len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_changes_is_told_though_the_stream_is_empty() {
    told_after_failover(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_changes_is_told_though_whoever_relays_knew_nothing_of_it() {
    told_after_failover(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_nothing_is_told_to_nobody() {
    let (postgres, nats) =
        tokio::join!(Postgres::start_with(Settings::preloaded(&[])), Nats::start(Release::Debian));
    let standby = postgres.standby_with(Settings::preloaded(&[])).await;
    let url = address(&postgres, &standby);
    let gateways = [gateway(&url, &nats).await, gateway(&url, &nats).await];
    let mut world = World { gateway: gateway(&url, &nats).await, nats: None, postgres };
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    let mut listening = Vec::new();
    for gateway in &gateways {
        listening.push(subscribed(gateway, &quote, &app).await);
    }
    change(&app, &quote, 30).await;
    for subscriber in &mut listening {
        subscriber.drain(&app).await;
    }
    has_everything(&standby, &world.postgres).await;
    world.postgres.stop_hard();
    let app = promote(&standby).await;
    change(&app, &quote, 20).await;
    for subscriber in &mut listening {
        let told = subscriber.drain(&app).await;
        let last: Vec<_> = told.iter().rev().take(20).filter_map(|event| event["version"].as_i64()).collect();
        assert!(last.len() == 20 && last.windows(2).all(|pair| pair[0] == pair[1] + 1), "{last:?}");
    }
}
