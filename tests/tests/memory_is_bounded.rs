//! How much memory the gateway needs does not depend on how much is waiting for it.

use quote_collab_tests::graphql::get;
use quote_collab_tests::{
    ALICE, Gateway, Kind, Ledger, Postgres, Quote, Settings, Subscriber, TENANT, Wire, World, ask,
    eventually, ledger, node,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// Of a gateway under an ordinary load, and a few reads of the relay.
const MOST_KILOBYTES: u64 = 150_000;

/// The largest resident set that a process has had.
fn peak_kilobytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells the peak");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn must_be_small(world: &World) {
    let peak = peak_kilobytes(world.gateway.process().pid());
    assert!(peak < MOST_KILOBYTES, "{peak} kB");
}

/// A world whose database may take its time.
async fn patient_world() -> World {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let gateway = Gateway::start_with(&postgres, "erp", None, &[("PG_STATEMENT_TIMEOUT", "30s")]).await;
    World { gateway, nats: None, postgres }
}

/// Changes the notes so many times, each change with two values of a megabyte.
async fn write_huge_notes(world: &World, quote: Quote, times: usize) {
    let app = world.app().await;
    for letter in ["a", "b"].into_iter().cycle().take(times) {
        let update = "update quotes set notes = repeat($1, 1000000) where id = $2";
        app.execute(update, &[&letter, &quote.id]).await.expect("an update of one");
    }
}

/// A cursor behind which nothing has happened yet.
async fn cursor(world: &World, quote: Quote) -> String {
    let token = world.gateway.token(&ALICE);
    let mut subscriber = Subscriber::start(&world.gateway, &token, &[quote.id], &[Kind::Quote]);
    subscriber.settle(&world.app().await).await;
    let update = "update quotes set contact_name = 'the last before' where id = $1";
    world.app().await.execute(update, &[&quote.id]).await.expect("an update of one");
    let mut event = subscriber.next_event().await;
    while event["changes"][0]["newValue"] != "the last before" {
        event = subscriber.next_event().await;
    }
    event["cursor"].as_str().expect("an event has a cursor").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_to_huge_events_gets_them_all_in_little_memory() {
    let (world, times) = (patient_world().await, 40);
    let quote = world.quote_of(TENANT).await;
    let after = cursor(&world, quote).await;
    write_huge_notes(&world, quote, times).await;
    // Everything is with the hub by now, and so it is the past that is read.
    let behind = cursor(&world, quote).await;
    let subscription = format!(
        "subscription {{ quoteChanged(quoteId: \"{}\", after: \"{after}\") {{ cursor version }} }}",
        quote.id
    );
    let texts = [
        json!({ "type": "connection_init", "payload": { "authToken": world.gateway.token(&ALICE) } }),
        json!({ "type": "subscribe", "id": "1", "payload": { "query": subscription } }),
    ]
    .map(|text: Value| text.to_string());
    let url = world.gateway.web_socket_url();
    let args =
        ["--url", &url, "--protocol", "graphql-transport-ws", "--send", &texts[0], "--send", &texts[1]];
    let mut socket = node("socket.mjs", &args, &[]);
    let mut versions = Vec::new();
    loop {
        let line = socket.next_where(|line| line["message"]["type"] == "next").await;
        let event = &line["message"]["payload"]["data"]["quoteChanged"];
        versions.push(event["version"].as_i64().expect("an event of the header has a version"));
        if event["cursor"] == behind.as_str() {
            break;
        }
    }
    assert!(versions.len() > times && versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{versions:?}");
    must_be_small(&world);
}

#[tokio::test]
async fn a_history_that_is_too_large_for_one_answer_is_refused_and_one_record_never_is() {
    let world = patient_world().await;
    let quote = world.quote_of(TENANT).await;
    write_huge_notes(&world, quote, 12).await;
    let token = world.gateway.token(&ALICE);
    let history = async |limit: i32| {
        let query = "query ($id: ID!, $limit: Int) { getQuoteChangeHistory(quoteId: $id, limit: $limit) { id newValue } }";
        ask(&world.gateway, &token, query, json!({ "id": quote.id, "limit": limit })).await
    };
    let refused = history(12).await;
    assert_eq!(refused.code(), "PAYLOAD_TOO_LARGE");
    assert_eq!(refused.body["errors"][0]["message"], "the answer is too large: ask for fewer rows");
    assert_eq!(history(3).await.data("getQuoteChangeHistory").as_array().map(Vec::len), Some(3));
    let update = "update quotes set notes = repeat('c', 20000000) where id = $1";
    world.admin().await.execute(update, &[&quote.id]).await.expect("an update of one");
    assert_eq!(history(1).await.data("getQuoteChangeHistory").as_array().map(Vec::len), Some(1));
    assert_eq!(history(2).await.code(), "PAYLOAD_TOO_LARGE");
}

/// A connection that asks for a history and reads nothing of it.
async fn ask_only(world: &World, quote: Quote, limit: i32) -> TcpStream {
    let address = world.gateway.url().trim_start_matches("http://").parse().expect("an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = socket.connect(address).await.expect("the gateway takes connections");
    let query = "query ($id: ID!, $limit: Int) { getQuoteChangeHistory(quoteId: $id, limit: $limit) { oldValue newValue } }";
    let body = json!({ "query": query, "variables": { "id": quote.id, "limit": limit } }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        world.gateway.token(&ALICE),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("the gateway reads");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_and_does_not_read_has_little_waiting() {
    const ASKED: usize = 60;
    let world = patient_world().await;
    let quote = world.quote_of(TENANT).await;
    write_huge_notes(&world, quote, 5).await;
    let mut unread = Vec::new();
    for _ in 0..ASKED {
        unread.push(ask_only(&world, quote, 4).await);
    }
    // Each answer has some 8 MB, and a user may have 32 MiB of them.
    eventually("the last has been answered", || async {
        let metrics = get(&world.gateway, "/metrics").await.text;
        let refused = metrics.lines().find_map(|line| line.strip_prefix("gateway_answers_refused_total "));
        refused.and_then(|refused| refused.parse().ok()).is_some_and(|refused: u32| refused >= 50)
    })
    .await;
    must_be_small(&world);
    drop(unread);
    let token = world.gateway.token(&ALICE);
    eventually("there is room again", || async {
        let query = "query ($id: ID!) { getQuoteChangeHistory(quoteId: $id, limit: 4) { newValue } }";
        ask(&world.gateway, &token, query, json!({ "id": quote.id })).await.body["errors"].is_null()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_many_large_parts_is_refused_before_it_is_whole() {
    let world = patient_world().await;
    let quote = world.quote_of(TENANT).await;
    write_huge_notes(&world, quote, 6).await;
    let token = world.gateway.token(&ALICE);
    let parts = |part: &dyn Fn(u8) -> String| (0..40).map(part).collect::<Vec<_>>().join(" ");
    let often = parts(&|alias| {
        format!("a{alias}: getQuoteChangeHistory(quoteId: $id, limit: 5) {{ newValue oldValue }}")
    });
    let values = parts(&|alias| format!("a{alias}: newValue"));
    let values = format!("getQuoteChangeHistory(quoteId: $id, limit: 5) {{ {values} }}");
    for fields in [often, values] {
        let (query, variables) = (format!("query ($id: ID!) {{ {fields} }}"), json!({ "id": quote.id }));
        let refused = ask(&world.gateway, &token, &query, variables.clone()).await;
        assert_eq!(refused.code(), "PAYLOAD_TOO_LARGE");
        let mut wire = Wire::open(&world.gateway, &ALICE).await;
        wire.begin("1", &query, &variables).await;
        let message = wire.message().await;
        assert_eq!(message["payload"][0]["extensions"]["code"], "PAYLOAD_TOO_LARGE", "{}", message["type"]);
        must_be_small(&world);
    }
    let three = "query ($id: ID!) { a: getQuoteChangeHistory(quoteId: $id, limit: 5) { newValue oldValue }
        b: getQuoteChangeHistory(quoteId: $id, limit: 5) { newValue oldValue }
        c: getQuoteChangeHistory(quoteId: $id, limit: 5) { newValue oldValue } }";
    let answer = ask(&world.gateway, &token, three, json!({ "id": quote.id })).await;
    assert_eq!(answer.data("c").as_array().map(Vec::len), Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saves_are_not_begun_behind_an_answer_that_is_whole() {
    let world = patient_world().await;
    let quote = world.quote_of(TENANT).await;
    let huge = "update quotes set notes = repeat('a', 1000000) where id = $1 returning version";
    let version: i32 =
        world.app().await.query_one(huge, &[&quote.id]).await.expect("an update of one").get(0);
    let token = world.gateway.token(&ALICE);
    let saves = |names: usize| {
        let names: Vec<String> = (0..names).map(|name| format!("q{name}: quote")).collect();
        let save = |n: i32| {
            format!(
                "s{n}: updateQuoteWithVersionCheck(input: {{ quoteId: \"{}\", expectedVersion: {}, \
                 changes: {{ contactName: \"{n}\" }} }}) {{ success {} }}",
                quote.id,
                version + n,
                names.join(" ")
            )
        };
        format!("mutation {{ {} }}", (0..50).map(save).collect::<Vec<_>>().join(" "))
    };
    let answer = ask(&world.gateway, &token, &saves(11), json!({})).await;
    assert_eq!(answer.code(), "BAD_USER_INPUT");
    let answer = ask(&world.gateway, &token, &saves(10), json!({})).await;
    let error = &answer.body["errors"][0];
    assert_eq!((answer.status, answer.code(), &error["path"]), (200, "PAYLOAD_TOO_LARGE", &json!(["s4"])));
    let name = "select contact_name from quotes where id = $1";
    let name: String = world.admin().await.query_one(name, &[&quote.id]).await.expect("one").get(0);
    assert_eq!(name, "3", "what stands before it is done, and nothing behind it");
    must_be_small(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_schema_says_of_itself_does_not_multiply() {
    let world = patient_world().await;
    let token = world.gateway.token(&ALICE);
    let names = |count: usize| (0..count).map(|n| format!("n{n}: name")).collect::<Vec<_>>().join(" ");
    let long = format!("{}: name", "x".repeat(1_000));
    for inside in
        [names(900), long, format!("fields {{ type {{ ofType {{ fields {{ {} }} }} }} }}", names(50))]
    {
        let query = format!("{{ __schema {{ types {{ fields {{ type {{ {inside} }} }} }} }} }}");
        assert_eq!(ask(&world.gateway, &token, &query, json!({})).await.code(), "BAD_USER_INPUT");
    }
    let many = format!("{{ __schema {{ types {{ fields {{ type {{ {} }} }} }} }} }}", names(90));
    assert!(ask(&world.gateway, &token, &many, json!({})).await.data("__schema").is_object());
    must_be_small(&world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_huge_values_is_relayed_in_little_memory() {
    let world = World::start().await;
    let admin = world.admin().await;
    let quotes = world.quotes_of(TENANT, 100).await;
    let ids: Vec<_> = quotes.iter().map(|quote| quote.id).collect();
    for letter in ["a", "b"] {
        let update = "update quotes set notes = repeat($1, 3000000) where id = any ($2)";
        admin.execute(update, &[&letter, &ids]).await.expect("an update of many");
    }
    let everything = Ledger::behind(&world, 0).await;
    let relayed = ledger::stream(world.nats(), everything.len()).await;
    assert_eq!(relayed.len(), everything.len());
    must_be_small(&world);
}
