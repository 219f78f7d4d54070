//! A request that cannot be right gets one clear code and writes nothing.

use quote_collab_tests::{
    ALICE, Answer, Kind, Quote, Subscriber, TENANT, TENANT_OTHER, World, ask, node, post,
};
use serde_json::{Value, json};
use uuid::Uuid;

const SAVE_QUOTE: &str = "mutation ($input: VersionedQuoteUpdateInput!) {
    updateQuoteWithVersionCheck(input: $input) { success conflicts { field } } }";
const SAVE_LINE: &str = "mutation ($input: VersionedQuoteLineUpdateInput!) {
    updateQuoteLineWithVersionCheck(input: $input) { success conflicts { field } } }";
/// The most that one save may carry.
const LARGEST_CHANGES: usize = 1 << 20;

/// Everything a refused request must leave as it was.
async fn everything(world: &World) -> Value {
    let state = "select jsonb_build_array((select jsonb_agg(to_jsonb(q) order by q.id) from quotes q),
        (select jsonb_agg(to_jsonb(l) order by l.id) from quote_lines l),
        (select count(*) from quote_changes), (select count(*) from active_quote_sessions))";
    world.admin().await.query_one(state, &[]).await.expect("the state").get(0)
}

async fn save(world: &World, query: &str, input: Value) -> Answer {
    ask(&world.gateway, &world.gateway.token(&ALICE), query, json!({ "input": input })).await
}

async fn refused(world: &World, query: &str, cases: Vec<(Value, &str, Option<&str>)>) {
    let before = everything(world).await;
    for (input, code, sqlstate) in cases {
        let answer = save(world, query, input.clone()).await;
        assert_eq!(answer.code(), code, "{input}: {answer:?}");
        let told = answer.body["errors"][0]["extensions"]["sqlstate"].as_str();
        assert_eq!(told, sqlstate, "{input}: {answer:?}");
        assert!(answer.body["errors"][0]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(everything(world).await, before, "nothing is written");
}

async fn two_tenants(world: &World) -> (Quote, Quote) {
    (world.quote_of(TENANT).await, world.quote_of(TENANT_OTHER).await)
}

#[tokio::test]
async fn a_bad_save_of_a_header_is_refused() {
    let world = World::start().await;
    let (ours, theirs) = two_tenants(&world).await;
    let input = |changes: Value| json!({ "quoteId": ours.id, "version": 1, "changes": changes });
    let addressed =
        |id: Value, version: Value| json!({ "quoteId": id, "version": version, "changes": { "notes": "x" } });
    let long = "x".repeat(LARGEST_CHANGES);
    let cases = vec![
        (addressed(json!(Uuid::now_v7()), json!(1)), "NOT_FOUND", Some("P0002")),
        (addressed(json!(theirs.id), json!(1)), "NOT_FOUND", Some("P0002")),
        (addressed(json!("quote 7"), json!(1)), "BAD_USER_INPUT", None),
        (addressed(Value::Null, json!(1)), "BAD_USER_INPUT", None),
        (addressed(json!(ours.id), json!(-1)), "BAD_USER_INPUT", Some("22023")),
        (addressed(json!(ours.id), Value::Null), "BAD_USER_INPUT", None),
        (addressed(json!(ours.id), json!(1.5)), "BAD_USER_INPUT", None),
        (addressed(json!(ours.id), json!(3_000_000_000_u64)), "BAD_USER_INPUT", None),
        (input(json!({ "colour": "red" })), "BAD_USER_INPUT", Some("42703")),
        (input(json!({ "notes; drop table quotes": "x" })), "BAD_USER_INPUT", Some("42703")),
        (input(json!({ "id": Uuid::now_v7() })), "FORBIDDEN", Some("42501")),
        (input(json!({ "tenantId": TENANT_OTHER })), "FORBIDDEN", Some("42501")),
        (input(json!({ "tenant_id": TENANT_OTHER })), "FORBIDDEN", Some("42501")),
        (input(json!({ "version": 9 })), "FORBIDDEN", Some("42501")),
        (input(json!({ "notes": "x", "updatedBy": ALICE.id })), "FORBIDDEN", Some("42501")),
        (input(json!({ "expirationDate": "next week" })), "BAD_USER_INPUT", Some("22007")),
        (input(json!({ "shippingAmount": "a lot" })), "BAD_USER_INPUT", Some("22P02")),
        (input(json!({ "shippingAmount": "1e30" })), "BAD_USER_INPUT", Some("22003")),
        (input(json!({ "status": "PERHAPS" })), "BAD_USER_INPUT", Some("23514")),
        (input(json!({ "notes": "x\u{0}y" })), "BAD_USER_INPUT", Some("22P05")),
        (input(json!([["notes", "x"]])), "BAD_USER_INPUT", None),
        (input(json!("notes")), "BAD_USER_INPUT", None),
        (input(json!({ "notes": long })), "PAYLOAD_TOO_LARGE", Some("54000")),
    ];
    refused(&world, SAVE_QUOTE, cases).await;
}

#[tokio::test]
async fn a_bad_save_of_a_line_is_refused() {
    let world = World::start().await;
    let (ours, theirs) = two_tenants(&world).await;
    let input = |changes: Value| json!({ "lineId": ours.line, "version": 1, "changes": changes });
    let addressed =
        |id: Value, version: i64| json!({ "lineId": id, "version": version, "changes": { "quantity": 1 } });
    let cases = vec![
        (addressed(json!(Uuid::now_v7()), 1), "NOT_FOUND", Some("P0002")),
        (addressed(json!(theirs.line), 1), "NOT_FOUND", Some("P0002")),
        (addressed(json!(ours.line), -5), "BAD_USER_INPUT", Some("22023")),
        (addressed(Value::Null, 1), "BAD_USER_INPUT", None),
        (input(json!({ "quoteId": theirs.id })), "FORBIDDEN", Some("42501")),
        (input(json!({ "price": 1 })), "BAD_USER_INPUT", Some("42703")),
        (input(json!({ "quantity": "many" })), "BAD_USER_INPUT", Some("22P02")),
        (input(json!({ "quantity": null })), "BAD_USER_INPUT", Some("23502")),
        (input(json!({ "leadTimeDays": 2.5 })), "BAD_USER_INPUT", Some("22P02")),
    ];
    refused(&world, SAVE_LINE, cases).await;
}

#[tokio::test]
async fn what_is_no_request_at_all_is_refused() {
    let world = World::start().await;
    let before = everything(&world).await;
    let authorization = format!("Bearer {}", world.gateway.token(&ALICE));
    let ten_megabytes =
        json!({ "query": SAVE_QUOTE, "variables": { "x": "x".repeat(10 << 20) } }).to_string();
    let cases: [(&[u8], u16, &str); 7] = [
        (b"", 400, "BAD_USER_INPUT"),
        (b"{", 400, "BAD_USER_INPUT"),
        (b"[]", 400, "BAD_USER_INPUT"),
        (b"\xff\xfe", 400, "BAD_USER_INPUT"),
        (br#"{"query": 7}"#, 400, "BAD_USER_INPUT"),
        (br#"{"query": "{ salary }"}"#, 200, "BAD_USER_INPUT"),
        (ten_megabytes.as_bytes(), 413, "PAYLOAD_TOO_LARGE"),
    ];
    for (body, status, code) in cases {
        let answer = post(&world.gateway, Some(&authorization), body).await;
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!((answer.status, answer.code()), (status, code), "{start}: {answer:?}");
    }
    // Whoever is nobody is not listened to.
    assert_eq!(post(&world.gateway, None, b"{").await.status, 401);
    let long = json!({ "query": format!("{{ quotes }}{}", " ".repeat(64 << 10)) }).to_string();
    assert_eq!(post(&world.gateway, Some(&authorization), long.as_bytes()).await.code(), "PAYLOAD_TOO_LARGE");
    let many = json!({ "query": SAVE_QUOTE, "variables": { "input": vec![0; 20_000] } }).to_string();
    assert_eq!(post(&world.gateway, Some(&authorization), many.as_bytes()).await.code(), "BAD_USER_INPUT");
    let subscription = br#"{"query": "subscription { quoteChanged(quoteId: \"x\") { eventId } }"}"#;
    assert_eq!(post(&world.gateway, Some(&authorization), subscription).await.code(), "BAD_USER_INPUT");
    assert_eq!(everything(&world).await, before, "nothing is written");
}

#[tokio::test]
async fn ten_megabytes_close_a_socket_and_the_gateway_goes_on() {
    let world = World::start().await;
    let url = world.gateway.web_socket_url();
    let init = json!({ "type": "connection_init", "payload": { "authToken": world.gateway.token(&ALICE) } })
        .to_string();
    let ping = r#"{"type":"ping"}"#;
    let args = [
        "--url",
        &url,
        "--protocol",
        "graphql-transport-ws",
        "--send",
        &init,
        "--send",
        ping,
        "--pad",
        "10485760",
    ];
    let mut socket = node("socket.mjs", &args, &[]);
    let closed = socket.next_where(|line| line["type"] == "closed").await;
    // A server that stops reading resets the connection, and the reset may overtake its word.
    assert!(closed["code"] == 1009 || closed["code"] == 1006, "{closed}");
    let seen =
        ask(&world.gateway, &world.gateway.token(&ALICE), "query { quotes(limit: 1) }", json!({})).await;
    assert_eq!(seen.status, 200);
}

#[tokio::test]
async fn a_subscription_that_cannot_be_is_refused_with_a_code() {
    let world = World::start().await;
    let (ours, theirs) = two_tenants(&world).await;
    let token = world.gateway.token(&ALICE);
    for quote in [theirs.id, Uuid::now_v7()] {
        for kind in [Kind::Quote, Kind::Line, Kind::Presence] {
            let mut subscriber = Subscriber::start(&world.gateway, &token, &[quote], &[kind]);
            assert_eq!(subscriber.next_error().await["extensions"]["code"], "NOT_FOUND", "{kind:?}");
        }
    }
    // base64 of "1:9:9:0", a place in the history of another cluster.
    for (cursor, code) in [("yesterday", "BAD_USER_INPUT"), ("MTo5Ojk6MA", "RESYNC_REQUIRED")] {
        let mut subscriber =
            Subscriber::start_after(&world.gateway, &token, &[ours.id], &[Kind::Quote], Some(cursor));
        assert_eq!(subscriber.next_error().await["extensions"]["code"], code, "{cursor}");
    }
}
