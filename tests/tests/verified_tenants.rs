//! The whole way where PostgreSQL verifies tenants: the gateway may set them, nobody else can, and everything arrives.

use quote_collab_tests::{
    ALICE, BOB, CAROL, Kind, Person, Quote, Subscriber, TENANT, TENANT_OTHER, World, ask,
};
use serde_json::{Value, json};

const SAVE: &str =
    "mutation ($input: VersionedQuoteUpdateInput!) { updateQuoteWithVersionCheck(input: $input) {
    success newVersion conflicts { field lastChangedBy } } }";
const HISTORY: &str = "query ($quoteId: ID!) { getQuoteChangeHistory(quoteId: $quoteId, limit: 10) { fieldName newValue changedBy } }";
const JOIN: &str = "mutation ($input: JoinQuoteSessionInput!) { joinQuoteSession(input: $input) { userId } }";
const SESSIONS: &str = "query ($quoteId: ID!) { getActiveQuoteSessions(quoteId: $quoteId) { userId } }";

/// What the first test writes, newest first; between it lies what finds out whether everything has arrived.
const WRITTEN: [&str; 3] = ["by Alice", "by Bob", "by SQL"];

async fn save(world: &World, person: &Person, quote: &Quote, version: i64, notes: &str) -> Value {
    let input = json!({ "quoteId": quote.id, "expectedVersion": version, "changes": { "notes": notes } });
    let answer = ask(&world.gateway, &world.gateway.token(person), SAVE, json!({ "input": input })).await;
    answer.data("updateQuoteWithVersionCheck").clone()
}

#[tokio::test]
async fn saves_events_history_and_presence_are_as_where_they_are_not_verified() {
    let mut world = World::verified().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut alice =
        Subscriber::start(&world.gateway, &world.gateway.token(&ALICE), &[quote.id], &[Kind::Quote]);
    alice.settle(&app).await;
    alice.drain(&app).await;
    // The ERP's own role, which has no tenant here.
    app.execute("update quotes set contact_name = 'by SQL' where id = $1", &[&quote.id])
        .await
        .expect("an update");
    let version: i32 = app
        .query_one("select version from quotes where id = $1", &[&quote.id])
        .await
        .expect("a version")
        .get(0);
    let saved = save(&world, &BOB, &quote, version.into(), "by Bob").await;
    assert_eq!(saved["success"], true, "{saved}");
    let late = save(&world, &ALICE, &quote, version.into(), "by Alice").await;
    assert_eq!(
        (&late["success"], &late["conflicts"][0]["lastChangedBy"]),
        (&json!(false), &json!(BOB.id)),
        "{late}"
    );
    let events = alice.drain(&app).await;
    let told: Vec<_> =
        events.iter().map(|event| (&event["changes"][0]["newValue"], &event["userId"])).collect();
    assert_eq!(told.len(), 2, "{events:?}");
    assert_eq!((told[0].0, told[1]), (&json!("by SQL"), (&json!("by Bob"), &json!(BOB.id))));
    let variables = json!({ "quoteId": quote.id });
    let token = world.gateway.token(&ALICE);
    let history = ask(&world.gateway, &token, HISTORY, variables.clone()).await;
    let changes = history.data("getQuoteChangeHistory").as_array().expect("a list");
    let values: Vec<_> = changes
        .iter()
        .map(|change| &change["newValue"])
        .filter(|value| WRITTEN.contains(&value.as_str().unwrap_or_default()))
        .collect();
    assert_eq!(values, WRITTEN, "newest first: {history:?}");
    let joined = ask(&world.gateway, &token, JOIN, json!({ "input": { "quoteId": quote.id } })).await;
    assert_eq!(joined.data("joinQuoteSession")["userId"], json!(ALICE.id));
    let sessions = ask(&world.gateway, &token, SESSIONS, variables).await;
    assert_eq!(*sessions.data("getActiveQuoteSessions"), json!([{ "userId": ALICE.id }]));
    // The subscriber goes on behind its last event when the gateway comes back.
    world.gateway.restart().await;
    app.execute("update quotes set contact_name = 'afterwards' where id = $1", &[&quote.id])
        .await
        .expect("an update");
    let events = alice.drain(&app).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["changes"][0]["newValue"], "afterwards");
}

#[tokio::test]
async fn another_tenant_reads_hears_and_saves_nothing() {
    let world = World::verified().await;
    let (ours, theirs) = (world.quote_of(TENANT).await, world.quote_of(TENANT_OTHER).await);
    let token = world.gateway.token(&CAROL);
    for (query, variables) in [
        (HISTORY, json!({ "quoteId": ours.id })),
        (SESSIONS, json!({ "quoteId": ours.id })),
        (
            SAVE,
            json!({ "input": { "quoteId": ours.id, "expectedVersion": 1, "changes": { "notes": "theirs" } } }),
        ),
        (JOIN, json!({ "input": { "quoteId": ours.id } })),
    ] {
        let answer = ask(&world.gateway, &token, query, variables).await;
        let data = &answer.body["data"];
        let is_empty = data
            .as_object()
            .is_some_and(|data| data.values().all(|value| value.as_array().is_some_and(Vec::is_empty)));
        assert!(answer.code() == "NOT_FOUND" || is_empty, "{query}: {answer:?}");
    }
    let mut refused = Subscriber::start(&world.gateway, &token, &[ours.id], &[Kind::Quote]);
    assert_eq!(refused.next_error().await["extensions"]["code"], "NOT_FOUND");
    let own = ask(&world.gateway, &token, HISTORY, json!({ "quoteId": theirs.id })).await;
    assert!(own.data("getQuoteChangeHistory").is_array());
    // The ERP's role cannot take a tenant without a token, and its connection shows no history at all.
    let app = world.app().await;
    let refused =
        app.batch_execute(&format!("select set_config('app.current_tenant_id', '{TENANT}', false)")).await;
    assert_eq!(refused.expect_err("refused").as_db_error().expect("by PostgreSQL").code().code(), "42501");
    let rows = app.query_one("select count(*) from quote_changes", &[]).await.expect("a count");
    assert_eq!(rows.get::<_, i64>(0), 0);
}
