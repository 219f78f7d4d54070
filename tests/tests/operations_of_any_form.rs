//! Whatever form GraphQL allows an operation to have, it is answered, and one that is many costs as much as many.

use std::time::Duration;

use quote_collab_tests::{ALICE, CAROL, Gateway, Node, Quote, TENANT, World, ask, node, talk, within};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Between two changes that a subscription might not have been there for.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// Far below the five seconds for which the database lets a blocked statement wait.
const SOON: Duration = Duration::from_secs(2);

const TOO_LARGE: &str = "too large";

fn socket(gateway: &Gateway, token: &str, text: &str) -> Node {
    let authentication = json!({ "authToken": format!("Bearer {token}") });
    let init = json!({ "type": "connection_init", "payload": authentication }).to_string();
    let url = gateway.web_socket_url();
    let args = ["--url", &url, "--protocol", "graphql-transport-ws", "--send", &init, "--send", text];
    node("socket.mjs", &args, &[])
}

/// What a subscription says first, while its quote changes again and again.
async fn first_word(world: &World, app: &Client, quote: Quote, query: &str) -> Value {
    let payload = json!({ "query": query, "variables": { "q": quote.id, "yes": true } });
    let text = json!({ "id": "1", "type": "subscribe", "payload": payload }).to_string();
    let mut socket = socket(&world.gateway, &world.gateway.token(&ALICE), &text);
    within(query, async {
        loop {
            app.execute("update quotes set notes = notes || '.' where id = $1", &[&quote.id])
                .await
                .expect("an update");
            let about_it = socket.next_where(|line| line["message"]["id"] == "1");
            if let Ok(mut line) = tokio::time::timeout(TRY_AGAIN, about_it).await {
                return line["message"].take();
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_subscription_may_be_written_with_fragments_and_conditions() {
    let world = World::start().await;
    let (quote, app) = (world.quote_of(TENANT).await, world.app().await);
    app.execute("update quotes set notes = '' where id = $1", &[&quote.id]).await.expect("an update");
    for query in [
        "subscription($q:ID!){...F} fragment F on Subscription{quoteChanged(quoteId:$q){version}}",
        "subscription($q:ID!){...F} fragment F on Subscription{...G} fragment G on Subscription{quoteChanged(quoteId:$q){version}}",
        "subscription($q:ID!){... on Subscription{quoteChanged(quoteId:$q){version}}}",
        "subscription($q:ID!){...{quoteChanged(quoteId:$q){version}}}",
        "subscription($q:ID!){...@include(if:true){quoteChanged(quoteId:$q){version}}}",
        "subscription($q:ID!,$yes:Boolean!){...F @include(if:$yes)} fragment F on Subscription{quoteChanged(quoteId:$q){version}}",
        "subscription($q:ID!,$yes:Boolean!){quoteChanged(quoteId:$q){version} quoteLineChanged(quoteId:$q)@skip(if:$yes){version}}",
        "subscription($q:ID!,$default:Boolean=true){quoteChanged(quoteId:$q)@include(if:$default){version}}",
        "subscription($q:ID!){quoteChanged(quoteId:$q){eventId} quoteChanged(quoteId:$q){version}}",
    ] {
        let told = first_word(&world, &app, quote, query).await;
        assert_eq!(told["type"], "next", "{query}: {told}");
        assert!(told["payload"]["data"]["quoteChanged"]["version"].is_number(), "{query}: {told}");
    }
}

#[tokio::test]
async fn a_subscription_to_anything_but_one_thing_is_refused() {
    let world = World::start().await;
    let (quote, app) = (world.quote_of(TENANT).await, world.app().await);
    for query in [
        "subscription($q:ID!){quoteChanged(quoteId:$q){version} presenceUpdated(quoteId:$q){quoteId}}",
        "subscription($q:ID!){...F presenceUpdated(quoteId:$q){quoteId}} fragment F on Subscription{quoteChanged(quoteId:$q){version}}",
        "subscription($q:ID!){a:quoteChanged(quoteId:$q){version} b:quoteChanged(quoteId:$q){version}}",
        "subscription($q:ID!){quoteChanged(quoteId:$q)@include(if:false){version}}",
        "subscription($q:ID!){... on Query{quote(quoteId:$q)}}",
        "subscription($q:ID!){...{quoteChanged(quoteId:$q){nothing}}}",
        "subscription($q:ID!,$unused:Int){...{quoteChanged(quoteId:$q){version}}}",
    ] {
        let told = first_word(&world, &app, quote, query).await;
        assert_eq!(told["type"], "error", "{query}: {told}");
        assert_eq!(told["payload"][0]["extensions"]["code"], "BAD_USER_INPUT", "{query}: {told}");
    }
}

#[tokio::test]
async fn a_result_has_the_order_of_its_question() {
    let world = World::embedded().await;
    let body = json!({ "query": "{z:__typename b:quotes(limit:1) ...F} fragment F on Query{a:__typename}" });
    let (body, token) = (body.to_string(), world.gateway.token(&ALICE));
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = talk(&world.gateway, &[head.as_bytes(), body.as_bytes()]).await;
    let places = [r#""z":"#, r#""b":"#, r#""a":"#].map(|key| answer.find(key).expect("every key"));
    assert!(places.is_sorted(), "{answer}");
}

#[tokio::test]
async fn what_stands_twice_is_done_once() {
    let world = World::start().await;
    let (quote, token) = (world.quote_of(TENANT).await, world.gateway.token(&ALICE));
    let app = world.app().await;
    let version = "select version from quotes where id = $1";
    let version = async || app.query_one(version, &[&quote.id]).await.expect("the quote").get::<_, i32>(0);
    let expected = version().await;
    let mutation =
        "mutation($i:VersionedQuoteUpdateInput!){updateQuoteWithVersionCheck(input:$i){success} ...F}
        fragment F on Mutation{updateQuoteWithVersionCheck(input:$i){newVersion conflicts{field}}}";
    let input = json!({"quoteId": quote.id, "expectedVersion": expected, "changes": {"notes": "once"}});
    let answer = ask(&world.gateway, &token, mutation, json!({ "i": input })).await;
    let saved = answer.data("updateQuoteWithVersionCheck");
    assert_eq!(*saved, json!({"success": true, "newVersion": expected + 1, "conflicts": []}));
    let refused = "select count(*) from quote_changes where quote_id = $1 and was_conflict";
    assert_eq!(app.query_one(refused, &[&quote.id]).await.expect("a count").get::<_, i64>(0), 0);
    for two in [
        "{a: quotes(limit: 1) a: quotes(limit: 2)}",
        "{a: quotes(limit: 1) ...F} fragment F on Query{a: quotes(limit: 2)}",
        "{a: quotes(limit: 1) ... on Query{a: quotes}}",
    ] {
        let answer = ask(&world.gateway, &token, two, json!({})).await;
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{two}: {answer:?}");
    }
}

#[tokio::test]
async fn behind_what_fails_nothing_is_begun_and_there_is_no_result() {
    let world = World::start().await;
    let (quote, token) = (world.quote_of(TENANT).await, world.gateway.token(&ALICE));
    let app = world.app().await;
    let query = "{ok: quotes(limit: 1) bad: quote(quoteId: \"00000000-0000-0000-0000-000000000000\")}";
    let answer = ask(&world.gateway, &token, query, json!({})).await;
    assert_eq!((answer.code(), &answer.body["data"]), ("NOT_FOUND", &Value::Null), "bad may not be null");
    assert_eq!(answer.body["errors"][0]["path"], json!(["bad"]));
    for bad in ["no id", "00000000-0000-0000-0000-000000000000", TOO_LARGE] {
        let version = "select version from quotes where id = $1";
        let version: i32 = app.query_one(version, &[&quote.id]).await.expect("the quote").get(0);
        let save = |key: &str, id: &str, version: i32| {
            format!(
                "{key}: updateQuoteWithVersionCheck(input: {{quoteId: \"{id}\", expectedVersion: {version}, \
                 changes: {{notes: \"{key} {version}\"}}}}) {{success}} "
            )
        };
        let id = quote.id.to_string();
        let mutation = format!(
            "mutation {{ {}{}{} }}",
            save("a", &id, version),
            save("b", bad, 1),
            save("c", &id, version + 1)
        );
        // An argument that the library refuses before anything of ours is called.
        let mutation = mutation
            .replace(&format!("\"{TOO_LARGE}\", expectedVersion: 1"), "\"x\", expectedVersion: 5000000000");
        let answer = ask(&world.gateway, &token, &mutation, json!({})).await;
        assert_eq!((answer.status, &answer.body["data"]), (200, &Value::Null), "{answer:?}");
        assert_eq!(answer.body["errors"][0]["path"], json!(["b"]), "{answer:?}");
        let behind = &answer.body["errors"][1];
        assert_eq!((&behind["path"], &behind["extensions"]["code"]), (&json!(["c"]), &json!(answer.code())));
        let notes = "select notes from quotes where id = $1";
        let notes: String = app.query_one(notes, &[&quote.id]).await.expect("the quote").get(0);
        assert_eq!(notes, format!("a {version}"), "what stands before it is done, and nothing behind it");
    }
}

#[tokio::test]
async fn a_mutation_needs_a_post_whether_it_is_named_or_not() {
    let world = World::embedded().await;
    let token = world.gateway.token(&ALICE);
    for query in ["mutation", "mutation%20M", "query%20Q%7B__typename%7Dmutation%20M"] {
        let leave = "%7BleaveQuoteSession(sessionId:%2200000000-0000-0000-0000-000000000000%22)%7D";
        let name = if query.starts_with("query") { "&operationName=M" } else { "" };
        let head = format!(
            "GET /graphql?query={query}{leave}{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        let answer = talk(&world.gateway, &[head.as_bytes()]).await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{query}: {answer}");
    }
}

fn aliases(count: usize) -> String {
    let each: Vec<String> = (0..count).map(|alias| format!("a{alias}:quotes(limit:1)")).collect();
    format!("{{{}}}", each.join(" "))
}

#[tokio::test]
async fn aliases_are_counted() {
    let mut world = World::embedded().await;
    let limits = [("RATE_LIMIT_PER_SECOND", "1"), ("RATE_LIMIT_BURST", "40")];
    world.gateway = Gateway::start_with(&world.postgres, "erp", None, &limits).await;
    let token = world.gateway.token(&ALICE);
    let most = ask(&world.gateway, &token, &aliases(51), json!({})).await;
    assert_eq!(most.code(), "BAD_USER_INPUT", "{most:?}");
    let many = ask(&world.gateway, &token, &aliases(30), json!({})).await;
    assert_eq!(many.body["data"].as_object().map(serde_json::Map::len), Some(30), "{many:?}");
    let more = ask(&world.gateway, &token, &aliases(30), json!({})).await;
    assert_eq!((more.status, more.code()), (429, "RATE_LIMITED"), "{more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_whose_statements_hang_leaves_the_others_theirs() {
    const SAVE: &str = "mutation($q:ID!){updateQuoteWithVersionCheck(input:{quoteId:$q,expectedVersion:1,changes:{notes:\"x\"}}){success}}";
    let mut world = World::embedded().await;
    world.gateway = Gateway::start_with(&world.postgres, "erp", None, &[("PG_POOL_SIZE", "4")]).await;
    let quote = world.quote_of(TENANT).await;
    let mut app = world.app().await;
    let holding = app.transaction().await.expect("a transaction");
    holding.execute("update quotes set notes = 'held' where id = $1", &[&quote.id]).await.expect("a lock");
    let (alice, carol) = (world.gateway.token(&ALICE), world.gateway.token(&CAROL));
    let saves = async {
        let save = || ask(&world.gateway, &alice, SAVE, json!({ "q": quote.id }));
        futures_util::future::join_all((0..16).map(|_| save())).await
    };
    let others = async {
        // One look proves nothing while the saves are still on their way.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let query = ask(&world.gateway, &carol, "{quotes(limit:1)}", json!({}));
            let answer = tokio::time::timeout(SOON, query).await.expect("another tenant is served");
            assert_eq!(answer.data("quotes").as_array().map(Vec::len), Some(1));
        }
        holding.rollback().await.expect("the lock is given back");
    };
    let (saves, ()) = tokio::join!(saves, others);
    for save in saves {
        let known = save.body.get("errors").is_none() || ["RATE_LIMITED"].contains(&save.code());
        assert!(known, "{save:?}");
    }
}
