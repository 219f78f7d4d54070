//! A NATS cluster loses the server that kept what a gateway reads by, and nothing else that the gateway would notice.

use std::time::Duration;

use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{ClusterInfo, Stream};
use async_nats::jetstream::{self, Context};
use futures_util::TryStreamExt as _;
use quote_collab_tests::{
    ALICE, Gateway, Kind, Nats, Postgres, Release, Settings, Subscriber, TENANT, Told, World, eventually,
    within,
};
use tokio::time::timeout;
use uuid::Uuid;

const SERVERS: usize = 3;
/// Far below the half minute after which the client library misses its heartbeats.
const SOON: Duration = Duration::from_secs(10);
/// A stream has another leader after 4 to 9 seconds, and what was sent to the one before is sent again.
const LED_AGAIN: Duration = Duration::from_secs(20);

fn name(server: usize) -> String {
    format!("n{server}")
}

async fn cluster(release: Release) -> Vec<Nats> {
    let ports: Vec<u16> = (0..SERVERS).map(|_| xtask::port::free().expect("a port")).collect();
    let address = |port: &u16| format!("nats://127.0.0.1:{port}");
    let routes = ports.iter().map(address).collect::<Vec<_>>().join(",");
    let start = |server: usize| {
        let (name, address, routes) = (name(server), address(&ports[server]), &routes);
        async move {
            let arguments =
                ["--name", &name, "--cluster_name", "erp", "--cluster", &address, "--routes", routes];
            Nats::start_with(release, &arguments).await
        }
    };
    let (first, second, third) = tokio::join!(start(0), start(1), start(2));
    vec![first, second, third]
}

/// The server that a consumer of the gateway stands on, apart from the gateway's own, which leads the stream then.
async fn kept_apart(context: &Context, stream: &Stream) -> Option<usize> {
    let leader = |cluster: Option<ClusterInfo>| cluster.and_then(|cluster| cluster.leader);
    if leader(stream.get_info().await.ok()?.cluster)? != name(0) {
        step_down(context).await?;
        return None;
    }
    let consumers: Vec<_> = stream.consumers().try_collect().await.ok()?;
    let [consumer] = consumers.as_slice() else { return None };
    let place = leader(consumer.cluster.clone())?;
    if place == name(0) {
        // The gateway makes another.
        stream.delete_consumer(&consumer.name).await.ok()?;
        return None;
    }
    (1..SERVERS).find(|server| name(*server) == place)
}

/// The server that leads the stream, apart from the gateway's own, once all of them keep all of it.
async fn leader_apart(context: &Context) -> Option<usize> {
    let stream = context.get_stream("QUOTE_EVENTS").await.ok()?;
    let cluster = stream.cached_info().cluster.clone()?;
    if cluster.replicas.len() + 1 != SERVERS
        || !cluster.replicas.iter().all(|replica| replica.current && !replica.offline)
    {
        return None;
    }
    let leader = cluster.leader?;
    if leader == name(0) {
        step_down(context).await?;
        return None;
    }
    (1..SERVERS).find(|server| name(*server) == leader)
}

async fn step_down(context: &Context) -> Option<()> {
    let nothing = serde_json::json!({});
    let asked = context.request("STREAM.LEADER.STEPDOWN.QUOTE_EVENTS", &nothing);
    let _: Response<serde_json::Value> = asked.await.ok()?;
    Some(())
}

/// An update is told in this time.
async fn is_told(world: &World, subscriber: &mut Subscriber, quote: Uuid, soon: Duration) {
    let app = world.app().await;
    let update = "update quotes set notes = clock_timestamp()::text where id = $1 returning version";
    let version: i32 = app.query_one(update, &[&quote]).await.expect("an update").get(0);
    let told = timeout(soon, subscriber.next_event()).await.expect("told soon");
    assert_eq!(Told::of(&told).version, Some(i64::from(version)));
    within("the rest", subscriber.drain(&app)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_server_kept_is_read_elsewhere() {
    for release in Release::all() {
        let (postgres, mut servers) =
            tokio::join!(Postgres::start_with(Settings::preloaded(&[])), cluster(release));
        let variables = [("NATS_STREAM_REPLICAS", "3")];
        let gateway = Gateway::start_with(&postgres, "erp", Some(&servers[0]), &variables).await;
        let world = World { gateway, nats: None, postgres };
        let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
        let mut subscriber =
            Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &[quote.id], &[Kind::Quote]);
        subscriber.settle(&app).await;
        let context = jetstream::new(servers[0].client().await);
        let stream = context.get_stream("QUOTE_EVENTS").await.expect("the relay's stream");
        let place = std::cell::Cell::new(0);
        eventually("the consumer is kept apart", async || {
            kept_apart(&context, &stream).await.inspect(|found| place.set(*found)).is_some()
        })
        .await;
        subscriber.drain(&app).await;
        servers[place.get()].kill();
        is_told(&world, &mut subscriber, quote.id, SOON).await;
        servers[place.get()].restart().await;
        eventually("another leads", async || {
            leader_apart(&context).await.inspect(|found| place.set(*found)).is_some()
        })
        .await;
        servers[place.get()].kill();
        is_told(&world, &mut subscriber, quote.id, LED_AGAIN).await;
    }
}
