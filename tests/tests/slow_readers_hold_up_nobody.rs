//! A client that takes nothing of what it asked for keeps neither turns nor connections from others, and has all of it once
//! it reads.

use quote_collab_tests::graphql::get;
use quote_collab_tests::wire::{BEGINNING, END, PING, PONG};
use quote_collab_tests::{
    ALICE, BOB, Gateway, Person, Postgres, Quote, Settings, TENANT, Wire, World, ask, eventually,
};
use serde_json::{Value, json};
use uuid::Uuid;

const HISTORY: &str =
    "query ($id: ID!) { getQuoteChangeHistory(quoteId: $id, limit: 8) { newValue oldValue } }";
/// Operations of one socket.
const ASKED: usize = 4;

/// A gateway with so few connections that a user has one at a time, and a tenant two.
async fn world() -> World {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let variables = [("PG_POOL_SIZE", "4"), ("PG_STATEMENT_TIMEOUT", "30s")];
    let gateway = Gateway::start_with(&postgres, "erp", None, &variables).await;
    World { gateway, nats: None, postgres }
}

/// A quote whose last changes fill an answer.
async fn large_quote(world: &World) -> Quote {
    let (app, quote) = (world.app().await, world.quote_of(TENANT).await);
    for letter in ["a", "b"].into_iter().cycle().take(9) {
        let update = "update quotes set notes = repeat($1, 1000000) where id = $2";
        app.execute(update, &[&letter, &quote.id]).await.expect("an update of one");
    }
    quote
}

/// A socket that has asked for much, and has the beginning of it before it.
async fn asking(world: &World, person: &Person, quote: Quote) -> Wire {
    let mut wire = Wire::open(&world.gateway, person).await;
    for id in 0..ASKED {
        wire.begin(&id.to_string(), HISTORY, &json!({ "id": quote.id })).await;
    }
    wire.has_more().await;
    wire
}

async fn must_be_served(world: &World, person: &Person) {
    let token = world.gateway.token(person);
    let answer = ask(&world.gateway, &token, "{ quotes(limit: 1) }", json!({})).await;
    assert!(answer.data("quotes").is_array());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_nothing_keeps_nothing_from_others_and_has_it_later() {
    let world = world().await;
    let quote = large_quote(&world).await;
    let eve = Person { id: Uuid::now_v7(), ..ALICE };
    let mut sockets = Vec::new();
    for person in [&ALICE, &BOB, &eve] {
        sockets.push(asking(&world, person, quote).await);
    }
    let late = Person { id: Uuid::now_v7(), ..ALICE };
    for _ in 0..5 {
        must_be_served(&world, &late).await;
        must_be_served(&world, &ALICE).await;
    }
    eventually("no connection is in use", async || get(&world.gateway, "/health/db").await.body["busy"] == 0)
        .await;
    let mut wire = sockets.swap_remove(0);
    drop(sockets);
    let (mut answers, mut ends) = (0, 0);
    while ends < ASKED {
        let message: Value = wire.message().await;
        assert_ne!(message["type"], "error", "{message}");
        match message["type"].as_str() {
            Some("next") => {
                let rows = message["payload"]["data"]["getQuoteChangeHistory"].as_array().map(Vec::len);
                assert_eq!(rows, Some(8), "{}", message["payload"]["errors"]);
                answers += 1;
            }
            Some("complete") => ends += 1,
            _ => {}
        }
    }
    assert_eq!(answers, ASKED);
}

/// Waits until the gateway has read what was written before.
async fn must_be_past(wire: &mut Wire, world: &World, quote: Quote) {
    let last = "update quotes set terms_and_conditions = clock_timestamp()::text where id = $1";
    world.app().await.execute(last, &[&quote.id]).await.expect("an update of one");
    while wire.message().await["payload"]["data"]["quoteChanged"]["changes"][0]["field"]
        != "termsAndConditions"
    {}
}

/// A cursor from before the quote's changes.
async fn cursor(wire: &mut Wire, world: &World, quote: Quote) -> Value {
    let subscription = "subscription ($id: ID!) { quoteChanged(quoteId: $id) { cursor changes { field } } }";
    wire.begin("cursor", subscription, &json!({ "id": quote.id })).await;
    let told = async {
        loop {
            let message = wire.message().await;
            if message["id"] == "cursor" {
                return message["payload"]["data"]["quoteChanged"]["cursor"].clone();
            }
        }
    };
    let app = world.app().await;
    let write = async {
        loop {
            let update = "update quotes set contact_name = clock_timestamp()::text where id = $1";
            app.execute(update, &[&quote.id]).await.expect("an update of one");
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        cursor = told => cursor,
        () = write => unreachable!("it writes until it is told"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_past_wait_for_their_reader() {
    let world = world().await;
    let quote = world.quote_of(TENANT).await;
    let mut watching = Wire::open(&world.gateway, &ALICE).await;
    let after = cursor(&mut watching, &world, quote).await;
    large_quote(&world).await;
    must_be_past(&mut watching, &world, quote).await;
    drop(watching);
    let subscription = "subscription ($id: ID!, $after: String) {
        quoteChanged(quoteId: $id, after: $after) { changes { oldValue newValue } } }";
    let mut sockets = Vec::new();
    for person in [&ALICE, &BOB] {
        let mut wire = Wire::open(&world.gateway, person).await;
        for id in 0..12 {
            let variables = json!({ "id": quote.id, "after": after });
            wire.begin(&id.to_string(), subscription, &variables).await;
        }
        wire.has_more().await;
        sockets.push(wire);
    }
    let late = Person { id: Uuid::now_v7(), ..ALICE };
    for _ in 0..5 {
        must_be_served(&world, &late).await;
    }
    eventually("no connection is in use", async || get(&world.gateway, "/health/db").await.body["busy"] == 0)
        .await;
    let mut huge = [0; 12];
    let mut wire = sockets.swap_remove(0);
    while huge.iter().any(|count| *count < 9) {
        let message = wire.message().await;
        let id: usize = message["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        let value = &message["payload"]["data"]["quoteChanged"]["changes"][0]["newValue"];
        huge[id] += usize::from(value.as_str().is_some_and(|value| value.len() == 1_000_000));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_are_answered_in_the_middle_of_a_large_answer() {
    let world = world().await;
    let quote = large_quote(&world).await;
    let mut wire = Wire::open(&world.gateway, &ALICE).await;
    wire.begin("large", HISTORY, &json!({ "id": quote.id })).await;
    assert_eq!(wire.frame_kind().await, BEGINNING);
    wire.frame(PING, b"").await;
    // What stands in the buffers of both sides comes first.
    let mut frames = 0;
    loop {
        match wire.frame_kind().await {
            PONG => break,
            END => panic!("it is whole after {frames} frames, and the ping is not answered"),
            _ => frames += 1,
        }
    }
    while wire.frame_kind().await != END {}
}
