//! A change made with psql reaches every subscriber of the quote exactly once, and nobody else.

use std::process::Command;

use async_nats::Message;
use futures_util::StreamExt as _;
use quote_collab_tests::{
    ALICE, CAROL, Kind, Quote, Subscriber, TENANT, TENANT_OTHER, World, ask, built, within,
};
use serde_json::{Value, json};

const BOTH: [Kind; 2] = [Kind::Quote, Kind::Line];

/// The real psql, as the ERP's own role.
fn psql(world: &World, statement: &str) -> String {
    let url = world.postgres.url("erp", "erp_app");
    let mut psql = Command::new(built::server_programs().join("psql"));
    psql.args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--command",
        statement,
        &url,
    ]);
    let output = psql.output().expect("psql runs");
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("psql prints text").trim().to_owned()
}

fn version_of(world: &World, quote: &Quote) -> i64 {
    psql(world, &format!("select version from quotes where id = '{}'", quote.id)).parse().expect("a version")
}

async fn subscribed(world: &World, quote: &Quote) -> Subscriber {
    let mut subscriber = Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &[quote.id], &BOTH);
    subscriber.settle(&world.app().await).await;
    subscriber.drain(&world.app().await).await;
    subscriber
}

fn payload(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).expect("a payload is JSON")
}

/// Everything published from now on. A server handles what one connection sends in order, so once the knock is heard
/// the subscription before it is there.
async fn feed_of(world: &World) -> async_nats::Subscriber {
    let client = world.nats().client().await;
    let feed = client.subscribe("quote.event.>").await.expect("a subscription");
    let mut knocks = client.subscribe("knock").await.expect("a subscription");
    client.publish("knock", "".into()).await.expect("a message");
    within("the knock", knocks.next()).await.expect("NATS goes on");
    feed
}

/// The messages of one quote until the one with this event id, which is the last of them.
async fn messages_until(feed: &mut async_nats::Subscriber, quote: &Quote, event_id: &Value) -> Vec<Message> {
    let subject = format!("quote.event.{}.{}", quote.tenant, quote.id);
    let mut messages = Vec::new();
    loop {
        let message = within("a message on NATS", feed.next()).await.expect("NATS goes on");
        if message.subject.as_str() != subject {
            continue;
        }
        let is_last = payload(&message)["eventId"] == *event_id;
        messages.push(message);
        if is_last {
            return messages;
        }
    }
}

#[tokio::test]
async fn an_update_of_two_fields_is_one_event_with_both() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &quote).await;
    let mut feed = feed_of(&world).await;
    let before = version_of(&world, &quote);
    psql(&world, &format!("update quotes set notes = 'a', shipping_amount = 0.1 where id = '{}'", quote.id));
    psql(
        &world,
        &format!(
            "update quotes set notes = 'b', shipping_amount = 99999999999999.0001 where id = '{}'",
            quote.id
        ),
    );
    let mut events = subscriber.drain(&world.app().await).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let event = events.pop().expect("the second event");
    for (field, expected) in [
        ("quoteId", json!(quote.id)),
        ("tenantId", json!(TENANT)),
        ("eventType", json!("QUOTE_UPDATED")),
        ("changeType", json!("HEADER_UPDATED")),
        ("version", json!(before + 2)),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    let names: Vec<_> =
        event["changes"].as_array().expect("changes").iter().map(|change| &change["field"]).collect();
    assert_eq!(names, ["shippingAmount", "notes"]);
    assert_eq!(event["changes"][1], json!({"field": "notes", "oldValue": "a", "newValue": "b"}));
    let messages = messages_until(&mut feed, &quote, &event["eventId"]).await;
    assert_eq!(messages.len(), 2, "each event once on NATS");
    let text = String::from_utf8_lossy(&messages[1].payload).into_owned();
    assert!(text.contains(r#""oldValue":0.1000,"newValue":99999999999999.0001"#), "{text}");
    let headers = messages[1].headers.as_ref().expect("headers");
    assert_eq!(headers.get("Nats-Msg-Id").map(ToString::to_string).as_deref(), event["eventId"].as_str());
}

#[tokio::test]
async fn columns_of_one_spelling_are_told_apart() {
    let world = World::embedded().await;
    let quote = world.quote_of(TENANT).await;
    let add = "alter table quotes add column \"termsAndConditions\" text; alter table quote_lines add column \"updatedBy\" text";
    world.admin().await.batch_execute(add).await.expect("columns are added");
    let mut subscriber = subscribed(&world, &quote).await;
    let update = format!(
        "update quotes set terms_and_conditions = 'Ann', \"termsAndConditions\" = 'Bob', quote_date = '2020-02-02' where id = '{}'",
        quote.id
    );
    psql(&world, &update);
    psql(
        &world,
        &format!("update quote_lines set \"updatedBy\" = 'carol@shop.example' where id = '{}'", quote.line),
    );
    let events = subscriber.drain(&world.app().await).await;
    let header =
        events.iter().find(|event| event["changes"].as_array().is_some_and(|changes| changes.len() == 3));
    let changes = header.expect("an event of the header")["changes"].as_array().expect("changes");
    let told = |field: &str| {
        changes.iter().find(|change| change["field"] == field).map(|change| &change["newValue"])
    };
    assert_eq!(told("terms_and_conditions"), Some(&json!("Ann")), "{changes:?}");
    assert_eq!(told("termsAndConditions"), Some(&json!("Bob")));
    assert_eq!(told("quoteDate"), Some(&json!("2020-02-02")));
    let token = world.gateway.token(&ALICE);
    let whole =
        ask(&world.gateway, &token, "query ($id: ID!) { quote(quoteId: $id) }", json!({ "id": quote.id }))
            .await;
    let (row, lines) = (&whole.data("quote")["quote"], &whole.data("quote")["lines"]);
    assert_eq!((&row["terms_and_conditions"], &row["termsAndConditions"]), (&json!("Ann"), &json!("Bob")));
    let line = lines.as_array().and_then(|lines| lines.iter().find(|line| line["id"] == json!(quote.line)));
    assert_eq!(line.expect("the line")["updatedBy"], "carol@shop.example");
    // Based on a version that is gone: the conflict has the name of the column, too.
    let save = "mutation ($input: VersionedQuoteUpdateInput!) { updateQuoteWithVersionCheck(input: $input) { success conflicts { field currentValue } } }";
    let input = json!({ "quoteId": quote.id, "version": row["version"].as_i64().expect("a version") - 1, "changes": { "terms_and_conditions": "Eve", "termsAndConditions": "Eve" } });
    let saved = ask(&world.gateway, &token, save, json!({ "input": input })).await;
    let conflicts =
        saved.data("updateQuoteWithVersionCheck")["conflicts"].as_array().expect("conflicts").clone();
    let mut fields: Vec<_> = conflicts
        .iter()
        .map(|conflict| (conflict["field"].as_str(), conflict["currentValue"].as_str()))
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [(Some("termsAndConditions"), Some("Bob")), (Some("terms_and_conditions"), Some("Ann"))]
    );
}

#[tokio::test]
async fn another_tenant_hears_nothing() {
    let world = World::start().await;
    let (ours, theirs) = (world.quote_of(TENANT).await, world.quote_of(TENANT_OTHER).await);
    let token = world.gateway.token(&CAROL);
    let mut refused = Subscriber::start(&world.gateway, &token, &[ours.id], &[Kind::Quote]);
    assert_eq!(refused.next_error().await["extensions"]["code"], "NOT_FOUND");
    let mut carol = Subscriber::start(&world.gateway, &token, &[theirs.id], &BOTH);
    carol.settle(&world.app().await).await;
    carol.drain(&world.app().await).await;
    let mut alice = subscribed(&world, &ours).await;
    psql(&world, &format!("update quotes set notes = 'ours' where id = '{}'", ours.id));
    psql(&world, &format!("update quote_lines set quantity = quantity + 1 where quote_id = '{}'", ours.id));
    assert!(!alice.drain(&world.app().await).await.is_empty());
    assert_eq!(carol.drain(&world.app().await).await, Vec::<Value>::new());
}

#[tokio::test]
async fn lines_come_and_go_and_change() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &quote).await;
    let line = psql(
        &world,
        &format!(
            "insert into quote_lines (tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
             values ('{TENANT}', '{}', 77, 'Folding', 10, 2.5, 25) returning id",
            quote.id
        ),
    );
    let line = line.lines().next().expect("an id").to_owned();
    psql(&world, &format!("update quote_lines set quantity = 12, line_amount = 30 where id = '{line}'"));
    psql(&world, &format!("delete from quote_lines where id = '{line}'"));
    let events = subscriber.drain(&world.app().await).await;
    let told: Vec<_> = events
        .iter()
        .map(|event| json!([event["eventType"], event["changeType"], event["lineId"], event["lineNumber"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["QUOTE_LINE_ADDED", "LINE_ADDED", line, 77]),
            json!(["QUOTE_LINE_UPDATED", "LINE_UPDATED", line, 77]),
            json!(["QUOTE_LINE_DELETED", "LINE_DELETED", line, 77]),
        ]
    );
    assert_eq!(
        events[1]["changes"],
        json!([
            {"field": "quantity", "oldValue": 10, "newValue": 12},
            {"field": "lineAmount", "oldValue": 25, "newValue": 30},
        ])
    );
}

#[tokio::test]
async fn status_and_totals_are_events_of_their_own() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &quote).await;
    let mut feed = feed_of(&world).await;
    psql(&world, &format!("update quotes set status = 'ISSUED', notes = 'sent' where id = '{}'", quote.id));
    psql(&world, &format!("update quotes set notes = 'read' where id = '{}'", quote.id));
    psql(&world, &format!("update quotes set subtotal = 10, total_amount = 11.5 where id = '{}'", quote.id));
    let events = subscriber.drain(&world.app().await).await;
    let told: Vec<_> = events.iter().map(|event| json!([event["eventType"], event["changeType"]])).collect();
    assert_eq!(
        told,
        [
            json!(["QUOTE_STATUS_CHANGED", "STATUS_CHANGED"]),
            json!(["QUOTE_UPDATED", "NOTES_UPDATED"]),
            json!(["QUOTE_TOTALS_RECALCULATED", "RECALCULATED"]),
        ]
    );
    let messages = messages_until(&mut feed, &quote, &events[2]["eventId"]).await;
    let payloads: Vec<_> = messages.iter().map(payload).collect();
    assert_eq!(payloads.len(), 3);
    assert_eq!((&payloads[0]["oldStatus"], &payloads[0]["newStatus"]), (&json!("DRAFT"), &json!("ISSUED")));
    let totals = &payloads[2]["newTotals"];
    assert_eq!(
        (totals["subtotal"].to_string(), totals["totalAmount"].to_string()),
        ("10.0000".into(), "11.5000".into())
    );
}

#[tokio::test]
async fn without_nats_the_same_events_arrive() {
    let world = World::embedded().await;
    let quote = world.quote_of(TENANT).await;
    let mut subscriber = subscribed(&world, &quote).await;
    let before = version_of(&world, &quote);
    psql(
        &world,
        &format!("update quotes set notes = 'a', contact_email = 'b@example.org' where id = '{}'", quote.id),
    );
    psql(&world, &format!("update quote_lines set lead_time_days = 40 where id = '{}'", quote.line));
    let events = subscriber.drain(&world.app().await).await;
    assert_eq!(events.len(), 2, "{events:?}");
    let header = events.iter().find(|event| event["lineId"].is_null()).expect("a header event");
    assert_eq!(header["version"], before + 1);
    assert_eq!(header["changes"].as_array().map(Vec::len), Some(2));
    let line = events.iter().find(|event| event["lineId"] == json!(quote.line)).expect("a line event");
    assert_eq!(line["changes"][0]["field"], "leadTimeDays");
    assert_eq!(line["changes"][0]["newValue"], 40);
}
