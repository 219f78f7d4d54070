//! Whatever a column holds is told as it is, and holds up nobody.

use futures_util::StreamExt as _;
use quote_collab_tests::graphql::ask_text;
use quote_collab_tests::{ALICE, Quote, TENANT, World, within};
use serde_json::json;

/// Values that a tree of JSON could not hold, or would hold as something else.
fn values() -> Vec<String> {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let key = "$serde_json::private";
    vec![
        deep,
        format!(r#"{{"{key}::Number": "x"}}"#),
        format!(r#"{{"{key}::Number": "5"}}"#),
        format!(r#"{{"{key}::RawValue": "5"}}"#),
        r#"{"a": "\u0001", "b": [1.50, 100000000000000000.0001]}"#.to_owned(),
    ]
}

/// The texts of the next messages about a quote.
async fn told(feed: &mut async_nats::Subscriber, quote: &Quote, count: usize) -> Vec<String> {
    let subject = format!("quote.event.{}.{}", quote.tenant, quote.id);
    let mut texts = Vec::new();
    while texts.len() < count {
        let message = within("a message on NATS", feed.next()).await.expect("NATS goes on");
        if message.subject.as_str() == subject {
            texts.push(String::from_utf8(message.payload.to_vec()).expect("text"));
        }
    }
    texts
}

#[tokio::test]
async fn values_that_no_tree_can_hold_are_relayed_and_read_as_they_are() {
    let world = World::start().await;
    let (admin, app) = (world.admin().await, world.app().await);
    let added = "alter table quotes add column data jsonb";
    admin.batch_execute(added).await.expect("the ERP has a column of its own");
    let client = world.nats().client().await;
    let mut feed = client.subscribe("quote.event.>").await.expect("a subscription");
    client.flush().await.expect("NATS knows the subscription");
    let quote = world.quote_of(TENANT).await;
    let token = world.gateway.token(&ALICE);
    for value in values() {
        let update = "update quotes set data = $1::text::jsonb where id = $2";
        app.execute(update, &[&value, &quote.id]).await.expect("the ERP may write it");
        let text = told(&mut feed, &quote, 1).await.remove(0);
        assert!(text.contains(&format!(r#""newValue":{value}"#)), "{text}");
        assert!(!text.contains("truncated"), "{text}");
        let history =
            "query ($id: ID!) { getQuoteChangeHistory(quoteId: $id, limit: 1) { fieldName newValue } }";
        let text = ask_text(&world.gateway, &token, history, json!({"id": quote.id})).await;
        assert!(text.contains(&format!(r#"{{"fieldName":"data","newValue":{value}}}"#)), "{text}");
        let whole = "query ($id: ID!) { quote(quoteId: $id) }";
        let text = ask_text(&world.gateway, &token, whole, json!({"id": quote.id})).await;
        assert!(text.contains(&format!(r#""data":{value},"#)), "{text}");
    }
    assert!(!world.gateway.log().contains("term ended"), "{}", world.gateway.log());
}

#[tokio::test]
async fn an_event_that_is_not_written_as_agreed_is_told_without_its_values() {
    let world = World::start().await;
    let (admin, app) = (world.admin().await, world.app().await);
    let client = world.nats().client().await;
    let mut feed = client.subscribe("quote.event.>").await.expect("a subscription");
    client.flush().await.expect("NATS knows the subscription");
    let quote = world.quote_of(TENANT).await;
    // An operation that no release of the extension writes.
    let definition = "select pg_get_functiondef('quote_event_texts_query(text)'::regprocedure)";
    let definition: String = admin.query_one(definition, &[]).await.expect("the query is read").get(0);
    let strange = definition.replacen("to_json(change_type)", "to_json('MERGE'::text)", 1);
    assert_ne!(strange, definition);
    admin.batch_execute(&strange).await.expect("the query is replaced");
    app.execute("update quotes set notes = 'a secret' where id = $1", &[&quote.id]).await.expect("an update");
    let text = told(&mut feed, &quote, 1).await.remove(0);
    assert!(
        text.contains(r#""changes":[{"field":"notes"}]"#) && text.contains(r#""truncated":true"#),
        "{text}"
    );
    admin.batch_execute(&definition).await.expect("the query is restored");
    app.execute("update quotes set notes = 'known' where id = $1", &[&quote.id]).await.expect("an update");
    let text = told(&mut feed, &quote, 1).await.remove(0);
    assert!(text.contains(r#""oldValue":"a secret","newValue":"known""#), "{text}");
    assert!(world.gateway.log().contains("is not written as agreed"));
    assert!(!world.gateway.log().contains("a secret"));
}
