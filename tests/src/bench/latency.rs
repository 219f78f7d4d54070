//! From the acknowledged COMMIT to the event at the clients: subscribers spread over quotes, updates at a steady rate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use uuid::Uuid;

use super::{machine, quantile};
use crate::graphql::metric;
use crate::people::{ALICE, TENANT};
use crate::postgres::APP;
use crate::world::World;

const SUBSCRIBERS: usize = 500;
const QUOTES: i64 = 32;
const RATE: u32 = 100;
const SECONDS: u32 = 20;

type Commits = Arc<Mutex<HashMap<(Uuid, i64), Instant>>>;

/// Runs it with NATS and prints quantiles.
pub async fn run() {
    println!(
        "latency: {SUBSCRIBERS} subscribers on {QUOTES} quotes, {RATE} updates/s for {SECONDS} s; {}",
        machine()
    );
    let world = World::start().await;
    let quotes: Vec<Uuid> = world.quotes_of(TENANT, QUOTES).await.iter().map(|quote| quote.id).collect();
    let (arrivals, mut arrived) = mpsc::channel(SUBSCRIBERS * 4);
    for index in 0..SUBSCRIBERS {
        subscribe(&world, quotes[index % quotes.len()], arrivals.clone()).await;
    }
    drop(arrivals);
    println!("  {SUBSCRIBERS} subscribed");
    let commits = Commits::default();
    let total = RATE * SECONDS;
    let writer =
        tokio::spawn(write(world.postgres.client("erp", APP).await, quotes.clone(), Arc::clone(&commits)));
    let expected = usize::try_from(total).unwrap_or_default() * SUBSCRIBERS / quotes.len();
    let mut seen = Vec::with_capacity(expected);
    while seen.len() < expected {
        let next = tokio::time::timeout(Duration::from_secs(30), arrived.recv()).await;
        seen.push(next.expect("events keep coming").expect("subscribers live"));
    }
    writer.await.expect("the writer ends");
    let mut latencies = latencies(&seen, &commits);
    println!(
        "{} deliveries: p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        latencies.len(),
        quantile(&mut latencies, 0.5),
        quantile(&mut latencies, 0.95),
        quantile(&mut latencies, 0.99),
        quantile(&mut latencies, 1.0)
    );
    relay_took(&world).await;
}

/// Milliseconds from each commit to each arrival.
fn latencies(seen: &[(Uuid, i64, Instant)], commits: &Commits) -> Vec<f64> {
    let commits = commits.lock().expect("nobody panicked");
    let latency = |(quote, version, at): &(Uuid, i64, Instant)| {
        at.saturating_duration_since(commits[&(*quote, *version)]).as_secs_f64() * 1_000.0
    };
    seen.iter().map(latency).collect()
}

/// Where the relay spends its part, by its own histograms.
async fn relay_took(world: &World) {
    for step in ["open", "read", "publish"] {
        let sum = metric(&world.gateway, &format!("gateway_relay_{step}_seconds_sum")).await;
        let count = metric(&world.gateway, &format!("gateway_relay_{step}_seconds_count")).await;
        println!("  relay {step}: {:.2} ms, {count} times", sum * 1_000.0 / count);
    }
}

/// One socket with one subscription; reports each event with the time of its arrival.
async fn subscribe(world: &World, quote: Uuid, arrivals: mpsc::Sender<(Uuid, i64, Instant)>) {
    let mut request = world.gateway.web_socket_url().into_client_request().expect("a web socket address");
    request.headers_mut().insert("Sec-WebSocket-Protocol", "graphql-transport-ws".parse().expect("a header"));
    let (mut socket, _) =
        tokio_tungstenite::connect_async(request).await.expect("the gateway takes the socket");
    let token = world.gateway.token(&ALICE);
    let init = json!({"type": "connection_init", "payload": {"authToken": format!("Bearer {token}")}});
    socket.send(Message::text(init.to_string())).await.expect("init is sent");
    let ack = socket.next().await.expect("an answer").expect("an answer");
    assert!(ack.to_text().is_ok_and(|text| text.contains("connection_ack")), "{ack:?}");
    let query = "subscription($q: ID!) { quoteChanged(quoteId: $q) { eventId timestamp version changes { field oldValue newValue } } }";
    let subscribe =
        json!({"id": "1", "type": "subscribe", "payload": {"query": query, "variables": {"q": quote}}});
    socket.send(Message::text(subscribe.to_string())).await.expect("the subscription is sent");
    // A ping behind it: its pong says that the subscription was taken up before.
    socket.send(Message::text(json!({"type": "ping"}).to_string())).await.expect("a ping is sent");
    let pong = socket.next().await.expect("an answer").expect("an answer");
    assert!(pong.to_text().is_ok_and(|text| text.contains("pong")), "{pong:?}");
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let at = Instant::now();
            let Ok(event) = serde_json::from_str::<Value>(message.to_text().unwrap_or_default()) else {
                continue;
            };
            let Some(version) = event["payload"]["data"]["quoteChanged"]["version"].as_i64() else {
                continue;
            };
            if arrivals.send((quote, version, at)).await.is_err() {
                break;
            }
        }
    });
}

async fn write(client: tokio_postgres::Client, quotes: Vec<Uuid>, commits: Commits) {
    let update = "update quotes set shipping_amount = shipping_amount + 1, contact_name = $1 where id = $2 returning version";
    let update = client.prepare(update).await.expect("the update is prepared");
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    for turn in 0..usize::try_from(RATE * SECONDS).unwrap_or_default() {
        tick.tick().await;
        let quote = quotes[turn % quotes.len()];
        let row = client.query_one(&update, &[&format!("Contact {turn}"), &quote]).await.expect("an update");
        let committed = Instant::now();
        let version: i32 = row.get(0);
        commits.lock().expect("nobody panicked").insert((quote, i64::from(version)), committed);
    }
}
