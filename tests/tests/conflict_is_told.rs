//! Two people save the same version: one wins, the other is told what, by whom and when, and loses nothing.

use quote_collab_tests::{ALICE, Answer, BOB, Browser, Person, Quote, TENANT, World, ask, eventually};
use serde_json::{Value, json};

const SAVE_QUOTE: &str = "mutation ($input: VersionedQuoteUpdateInput!) { updateQuoteWithVersionCheck(input: $input) {
    success quote previousVersion newVersion conflicts { field expectedVersion actualVersion currentValue attemptedValue
    baseValue lastChangedBy lastChangedByName lastChangedAt } } }";
const SAVE_LINE: &str = "mutation ($input: VersionedQuoteLineUpdateInput!) { updateQuoteLineWithVersionCheck(input: $input) {
    success quoteLine quote previousVersion newVersion conflicts { field expectedVersion actualVersion currentValue
    attemptedValue baseValue lastChangedBy lastChangedByName lastChangedAt } } }";
const HISTORY: &str = "query ($quoteId: ID!) { getQuoteChangeHistory(quoteId: $quoteId, limit: 20) {
    fieldName newValue changedBy changedAt wasConflict conflictResolution } }";

async fn save_quote(world: &World, person: &Person, quote: &Quote, version: i64, changes: Value) -> Answer {
    let input = json!({ "quoteId": quote.id, "expectedVersion": version, "changes": changes });
    ask(&world.gateway, &world.gateway.token(person), SAVE_QUOTE, json!({ "input": input })).await
}

async fn save_line(world: &World, person: &Person, quote: &Quote, version: i64, changes: Value) -> Answer {
    let input = json!({ "lineId": quote.line, "version": version, "changes": changes });
    ask(&world.gateway, &world.gateway.token(person), SAVE_LINE, json!({ "input": input })).await
}

/// Changes a quote and its first line until both have version 5.
async fn at_version_five(world: &World, quote: &Quote) {
    let app = world.app().await;
    for (table, id) in [("quotes", quote.id), ("quote_lines", quote.line)] {
        let field = if table == "quotes" { "contact_name" } else { "description" };
        let version = format!("select version from {table} where id = $1");
        while app.query_one(&version, &[&id]).await.expect("a version").get::<_, i32>(0) < 5 {
            let update = format!("update {table} set {field} = 'version ' || version where id = $1");
            app.execute(&update, &[&id]).await.expect("an update");
        }
    }
}

/// The winner's and the loser's results, each with the person.
fn sorted<'a>(alice: &'a Value, bob: &'a Value) -> ((Person, &'a Value), (Person, &'a Value)) {
    match (alice["success"].as_bool(), bob["success"].as_bool()) {
        (Some(true), Some(false)) => ((ALICE, alice), (BOB, bob)),
        (Some(false), Some(true)) => ((BOB, bob), (ALICE, alice)),
        _ => panic!("exactly one may win: {alice} {bob}"),
    }
}

/// What the history says of a person's notes.
async fn in_history(world: &World, quote: &Quote, person: &Person) -> Value {
    let token = world.gateway.token(person);
    let history = ask(&world.gateway, &token, HISTORY, json!({ "quoteId": quote.id })).await;
    let attempts = history.data("getQuoteChangeHistory").as_array().expect("a list");
    let wanted = format!("of {}", person.name);
    attempts.iter().find(|change| change["newValue"] == wanted).expect("each attempt is kept").clone()
}

#[tokio::test]
async fn the_second_to_save_a_header_learns_field_values_who_and_when() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    at_version_five(&world, &quote).await;
    let (alice, bob) = tokio::join!(
        save_quote(&world, &ALICE, &quote, 5, json!({ "notes": "of alice" })),
        save_quote(&world, &BOB, &quote, 5, json!({ "notes": "of bob" })),
    );
    let results = ("updateQuoteWithVersionCheck", "updateQuoteWithVersionCheck");
    let ((winner, won), (loser, lost)) = sorted(alice.data(results.0), bob.data(results.1));
    assert_eq!((&won["previousVersion"], &won["newVersion"]), (&json!(5), &json!(6)));
    assert_eq!(won["quote"]["notes"], format!("of {}", winner.name));
    let conflict = &lost["conflicts"][0];
    assert_eq!(lost["conflicts"].as_array().map(Vec::len), Some(1));
    for (field, expected) in [
        ("field", json!("notes")),
        ("expectedVersion", json!(5)),
        ("actualVersion", json!(6)),
        ("attemptedValue", json!(format!("of {}", loser.name))),
        ("currentValue", json!(format!("of {}", winner.name))),
        ("lastChangedBy", json!(winner.id)),
        ("lastChangedByName", json!(winner.name)),
    ] {
        assert_eq!(conflict[field], expected, "{field}");
    }
    let stored = "select notes, version from quotes where id = $1";
    let row = world.app().await.query_one(stored, &[&quote.id]).await.expect("the quote");
    assert_eq!((row.get(0), row.get(1)), (format!("of {}", winner.name), 6));
    let (saved, rejected) =
        (in_history(&world, &quote, &winner).await, in_history(&world, &quote, &loser).await);
    assert_eq!(conflict["lastChangedAt"], saved["changedAt"]);
    assert_eq!(
        (&rejected["changedBy"], &rejected["conflictResolution"]),
        (&json!(loser.id), &json!("REJECTED"))
    );
}

#[tokio::test]
async fn the_second_to_save_a_line_learns_it_too_and_saves_again() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    at_version_five(&world, &quote).await;
    let (alice, bob) = tokio::join!(
        save_line(&world, &ALICE, &quote, 5, json!({ "unitPrice": "10.5" })),
        save_line(&world, &BOB, &quote, 5, json!({ "unitPrice": "11.25", "description": "Cards" })),
    );
    let ((winner, won), (loser, lost)) =
        sorted(alice.data("updateQuoteLineWithVersionCheck"), bob.data("updateQuoteLineWithVersionCheck"));
    let price =
        lost["conflicts"].as_array().and_then(|all| all.iter().find(|one| one["field"] == "unitPrice"));
    let price = price.expect("the price is in conflict");
    assert_eq!(price["currentValue"].to_string(), if winner == ALICE { "10.5000" } else { "11.2500" });
    assert_eq!(price["attemptedValue"].to_string(), if loser == ALICE { "10.5000" } else { "11.2500" });
    assert_eq!(price["lastChangedBy"], json!(winner.id));
    let unit_price = won["quoteLine"]["unitPrice"].as_str().expect("money as text");
    assert_eq!(price["currentValue"].to_string(), unit_price);
    let again = save_line(&world, &loser, &quote, 6, json!({ "unitPrice": "12" })).await;
    let saved = again.data("updateQuoteLineWithVersionCheck");
    assert_eq!((&saved["success"], &saved["newVersion"]), (&json!(true), &json!(7)));
}

#[tokio::test]
async fn the_page_shows_the_conflict_and_both_ways_on() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut browser = Browser::start();
    for person in [ALICE, BOB] {
        browser.open(person.name, &world.gateway, &world.gateway.token(&person), quote.id).await;
    }
    let (notes, save, mine) = ("[data-field=notes]", "#header button[type=submit]", "typed by bob");
    browser.fill("bob", notes, mine).await;
    browser.fill("alice", notes, "saved by alice").await;
    browser.click("alice", save).await;
    browser.see("alice", "#notice", "Saved as version").await;
    browser.see("bob", ".note", "changed by alice, now: saved by alice").await;
    browser.see("bob", notes, mine).await;
    browser.click("bob", save).await;
    browser.see("bob", "#conflict [data-conflict=notes] th", "Notes").await;
    browser.see("bob", "#conflict .mine", mine).await;
    browser.see("bob", "#conflict .theirs", "saved by alice").await;
    browser.see("bob", "#conflict .who", "alice").await;
    browser.see("bob", "#conflict time", ":").await;
    browser.click("bob", "#use-mine").await;
    browser.see("alice", notes, mine).await;
    browser.see_no("bob", "#conflict").await;
    browser.fill("alice", notes, "alice again").await;
    browser.fill("alice", "[data-field=contactName]", "Alice's own").await;
    browser.fill("bob", notes, "bob again").await;
    browser.click("bob", save).await;
    browser.see("alice", ".note", "changed by bob").await;
    browser.click("alice", save).await;
    browser.click("alice", "#take-theirs").await;
    browser.see_no("alice", "#conflict").await;
    browser.see("alice", notes, "bob again").await;
    browser.see("alice", "[data-field=contactName]", "Alice's own").await;
    browser.click("alice", save).await;
    browser.see("bob", "[data-field=contactName]", "Alice's own").await;
}

#[tokio::test]
async fn whoever_waited_is_told_also_where_transactions_begin_serializable() {
    let world = World::start().await;
    let (app, admin, quote) = (world.app().await, world.admin().await, world.quote_of(TENANT).await);
    at_version_five(&world, &quote).await;
    world.begin_gateway_with("default_transaction_isolation = serializable").await;
    app.batch_execute("begin").await.expect("a transaction begins");
    app.execute("update quotes set notes = 'first' where id = $1", &[&quote.id]).await.expect("an update");
    let commits = async {
        let waiting = "select exists (select from pg_stat_activity where application_name = 'quote_gateway' and wait_event_type = 'Lock')";
        let waits = async || admin.query_one(waiting, &[]).await.expect("the server tells").get::<_, bool>(0);
        eventually("the second waits for the first", waits).await;
        app.batch_execute("commit").await.expect("the first is saved");
    };
    let changes = json!({ "notes": "second" });
    let (answer, ()) = tokio::join!(save_quote(&world, &ALICE, &quote, 5, changes), commits);
    let lost = answer.data("updateQuoteWithVersionCheck");
    assert_eq!((&lost["success"], &lost["conflicts"][0]["currentValue"]), (&json!(false), &json!("first")));
}
