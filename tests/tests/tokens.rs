//! Who may speak at all: the token over HTTP and over a WebSocket, and every close code of the protocol.

use quote_collab_tests::{
    ALICE, CAROL, Kind, Person, Subscriber, TENANT, World, ask, eventually, node, post,
};
use serde_json::{Value, json};

const QUOTES: &str = "query { quotes(limit: 1) }";
const INIT: &str = r#"{"type":"connection_init"}"#;
const SUBSCRIBE: &str = r#"{"id":"1","type":"subscribe","payload":{"query":"subscription { quoteChanged(quoteId: \"QUOTE\") { eventId } }"}}"#;

fn init(token: &str) -> String {
    json!({ "type": "connection_init", "payload": { "authToken": format!("Bearer {token}") } }).to_string()
}

/// A token whose signature is of somebody else.
fn forged(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').expect("a token has three parts");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{rest}.{first}{}", &signature[1..])
}

/// A token that claims to need no signature.
fn unsigned(token: &str) -> String {
    let claims = token.split('.').nth(1).expect("a token has three parts");
    format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
}

async fn expired(world: &World, person: &Person) -> String {
    let token = &world.gateway.token_for(person, "1s");
    eventually("the token has expired", || async move {
        ask(&world.gateway, token, QUOTES, json!({})).await.status == 401
    })
    .await;
    token.clone()
}

/// How the gateway ends a conversation: the close code.
async fn closed(world: &World, args: &[&str]) -> i64 {
    let url = world.gateway.web_socket_url();
    let mut all = vec!["--url", url.as_str()];
    all.extend_from_slice(args);
    let mut socket = node("socket.mjs", &all, &[]);
    socket.next_where(|line| line["type"] == "closed").await["code"].as_i64().expect("a close code")
}

async fn closed_speaking(world: &World, texts: &[&str]) -> i64 {
    let mut args = vec!["--protocol", "graphql-transport-ws"];
    args.extend(texts.iter().flat_map(|text| ["--send", *text]));
    closed(world, &args).await
}

#[tokio::test]
async fn over_http_only_a_good_token_is_heard() {
    let world = World::start().await;
    let good = world.gateway.token(&ALICE);
    let seen = ask(&world.gateway, &good, QUOTES, json!({})).await;
    assert_eq!((seen.status, seen.data("quotes").as_array().map(Vec::len)), (200, Some(1)));
    let body = json!({ "query": QUOTES }).to_string();
    let expired = expired(&world, &ALICE).await;
    for authorization in [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some(good.clone()),
        Some(format!("Basic {good}")),
        Some(format!("Bearer {}", forged(&good))),
        Some(format!("Bearer {}", unsigned(&good))),
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {}", "x".repeat(9_000))),
    ] {
        let answer = post(&world.gateway, authorization.as_deref(), body.as_bytes()).await;
        assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"), "{authorization:?}");
        assert!(!answer.body.to_string().contains(&good[..20]), "the token is not repeated");
    }
}

#[tokio::test]
async fn the_tenant_comes_from_the_token_alone() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let query = "query ($quoteId: ID!) { quote(quoteId: $quoteId) }";
    let carol =
        ask(&world.gateway, &world.gateway.token(&CAROL), query, json!({ "quoteId": quote.id })).await;
    assert_eq!(carol.code(), "NOT_FOUND");
    let listed =
        ask(&world.gateway, &world.gateway.token(&CAROL), "query { quotes(limit: 1000) }", json!({})).await;
    let ids: Vec<_> =
        listed.data("quotes").as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert!(!ids.is_empty() && !ids.contains(&&json!(quote.id)));
}

#[tokio::test]
async fn a_socket_without_a_good_token_is_closed_with_4403() {
    let world = World::start().await;
    let good = world.gateway.token(&ALICE);
    let expired = expired(&world, &ALICE).await;
    let initial = [INIT.to_owned(), init(&forged(&good)), init(&unsigned(&good)), init(&expired), init("")];
    for message in &initial {
        assert_eq!(closed_speaking(&world, &[message]).await, 4403, "{message}");
    }
}

#[tokio::test]
async fn each_breach_of_the_protocol_has_its_close_code() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let init = init(&world.gateway.token(&ALICE));
    let subscribe = SUBSCRIBE.replace("QUOTE", &quote.id.to_string());
    let cases: [(&[&str], i64); 9] = [
        (&["{"], 4400),
        (&["[]"], 4400),
        (&[r#"{"type":"start"}"#], 4400),
        (&[&init, r#"{"type":"subscribe","id":"1","payload":{}}"#], 4400),
        (&[&init, r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#], 4400),
        (&[&subscribe], 4401),
        (&[], 4408),
        (&[&init, &init], 4429),
        (&["--hasty", &init, &subscribe, &subscribe], 4409),
    ];
    for (texts, code) in cases {
        let told = match texts {
            // All at once: a subscription that nothing happens on has no answer to wait for.
            ["--hasty", texts @ ..] => {
                let mut args = vec!["--protocol", "graphql-transport-ws", "--hasty"];
                args.extend(texts.iter().flat_map(|text| ["--send", *text]));
                closed(&world, &args).await
            }
            texts => closed_speaking(&world, texts).await,
        };
        assert_eq!(told, code, "{texts:?}");
    }
    assert_eq!(closed(&world, &[]).await, 4406, "no subprotocol");
}

#[tokio::test]
async fn a_socket_ends_with_its_token_and_a_fresh_one_goes_on_where_it_was() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut subscriber = Subscriber::start(
        &world.gateway,
        &world.gateway.token_for(&ALICE, "10s"),
        &[quote.id],
        &[Kind::Quote],
    );
    subscriber.settle(&app).await;
    subscriber.drain(&app).await;
    subscriber.use_token(&world.gateway.token(&ALICE)).await;
    let closed = subscriber.next_closed().await;
    assert_eq!(closed["code"], 4403, "{closed}");
    app.execute("update quotes set notes = 'between' where id = $1", &[&quote.id]).await.expect("an update");
    let events = subscriber.drain(&app).await;
    let told: Vec<&Value> = events.iter().map(|event| &event["changes"][0]["newValue"]).collect();
    assert_eq!(told, ["between"]);
}
