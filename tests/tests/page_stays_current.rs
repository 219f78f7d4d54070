//! The page at `/` shows what others do as they do it, and never takes away what somebody is typing.

use quote_collab_tests::{ALICE, BOB, Browser, Quote, TENANT, World, eventually};
use tokio_postgres::Client;

/// A quote that Alice has open, and the ERP.
async fn scene() -> (World, Quote, Client, Browser) {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    (world, quote, app, browser)
}

#[tokio::test]
async fn an_update_appears_on_the_open_page() {
    let (_world, quote, app, mut browser) = scene().await;
    let line = format!("[data-line='{}']", quote.line);
    for (statement, field, value) in [
        ("update quotes set notes = 'from psql' where id = $1", "[data-field=notes]", "from psql"),
        ("update quotes set status = 'ISSUED' where id = $1", "[data-field=status]", "ISSUED"),
        ("update quotes set total_amount = 77.5 where id = $1", "[data-total=totalAmount]", "77.5000"),
        ("update quotes set notes = null where id = $1", "#feed ins", "(empty)"),
    ] {
        app.execute(statement, &[&quote.id]).await.expect("an update");
        browser.see("alice", field, value).await;
    }
    app.execute("update quote_lines set quantity = 0.1 where id = $1", &[&quote.line])
        .await
        .expect("an update");
    browser.see("alice", &format!("{line} [data-field=quantity]"), "0.1000").await;
    let insert = "insert into quote_lines (tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
        values ($1, $2, 99, 'Embossing', 1, 1, 1)";
    app.execute(insert, &[&TENANT, &quote.id]).await.expect("an insert");
    browser.see("alice", "#lines [data-field=description]", "Embossing").await;
    app.execute("delete from quote_lines where id = $1", &[&quote.line]).await.expect("a delete");
    browser.see_no("alice", &line).await;
}

#[tokio::test]
async fn what_is_typed_stays_and_saves_beside_a_change_of_another_field() {
    let (_world, quote, app, mut browser) = scene().await;
    browser.fill("alice", "[data-field=notes]", "half a sent").await;
    let update = "update quotes set notes = 'other', contact_name = 'Someone' where id = $1";
    app.execute(update, &[&quote.id]).await.expect("an update");
    browser.see("alice", "[data-field=contactName]", "Someone").await;
    browser.see("alice", "[data-field=notes]", "half a sent").await;
    browser.see("alice", ".note", "now: other").await;
    let price = format!("[data-line='{}'] [data-field=unitPrice]", quote.line);
    browser.fill("alice", &price, "1234567890.1000").await;
    browser.click("alice", &format!("[data-line='{}'] button[type=submit]", quote.line)).await;
    browser.see("alice", "#notice", "Saved as version").await;
    let stored = "select unit_price::text from quote_lines where id = $1";
    let row = app.query_one(stored, &[&quote.line]).await.expect("the line");
    assert_eq!(row.get::<_, String>(0), "1234567890.1000");
}

#[tokio::test]
async fn a_late_answer_to_a_save_hides_no_change_of_others() {
    let (_world, quote, app, mut browser) = scene().await;
    let (save, contact) = ("#header button[type=submit]", "[data-field=contactName]");
    browser.hold("alice", "SaveQuote").await;
    browser.fill("alice", "[data-field=notes]", "by alice").await;
    browser.click("alice", save).await;
    browser.see("alice", "#feed ins", "by alice").await;
    browser.fill("alice", contact, "Alice's").await;
    let update = "update quotes set contact_name = 'Bob''s' where id = $1";
    app.execute(update, &[&quote.id]).await.expect("an update");
    browser.see("alice", ".note", "now: Bob's").await;
    browser.let_go("alice").await;
    browser.see("alice", "#notice", "Saved as version").await;
    browser.see("alice", ".note", "now: Bob's").await;
    browser.click("alice", save).await;
    browser.see("alice", "#conflict .theirs", "Bob's").await;
}

#[tokio::test]
async fn a_line_that_is_deleted_while_the_page_reads_stays_away() {
    let (_world, quote, app, mut browser) = scene().await;
    browser.hold("alice", "query Quote(").await;
    let insert = "insert into quote_lines (tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
        values ($1, $2, 99, 'Embossing', 1, 1, 1)";
    app.execute(insert, &[&TENANT, &quote.id]).await.expect("an insert");
    browser.held("alice").await;
    app.execute("delete from quote_lines where id = $1", &[&quote.line]).await.expect("a delete");
    browser.see("alice", "#feed", "deleted line").await;
    let line = format!("[data-line='{}']", quote.line);
    browser.see_no("alice", &line).await;
    browser.let_go("alice").await;
    browser.see("alice", "#lines [data-field=description]", "Embossing").await;
    browser.see_no("alice", &line).await;
}

#[tokio::test]
async fn what_an_input_cannot_hold_is_neither_hidden_nor_taken_away() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let statement = "update quotes set expiration_date = 'infinity', notes = E'one\\r\\ntwo' where id = $1";
    app.execute(statement, &[&quote.id]).await.expect("an update");
    let statement = "update quote_lines set description = E'Brochure\\n100 copies' where id = $1";
    app.execute(statement, &[&quote.line]).await.expect("an update");
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    browser.see("alice", "[data-field=expirationDate]", "infinity").await;
    browser.fill("alice", "[data-field=notes]", "one\ntwo\nthree").await;
    browser.click("alice", "#header button[type=submit]").await;
    browser.see("alice", "#notice", "Saved as version").await;
    let line = format!("[data-line='{}']", quote.line);
    let description = format!("{line} [data-field=description]");
    browser.see("alice", &description, "Brochure\n100 copies").await;
    browser.click("alice", &description).await;
    browser.press("alice", "Control+End").await;
    browser.press("alice", "!").await;
    browser.click("alice", &format!("{line} button[type=submit]")).await;
    let stored = "select concat_ws('|', expiration_date, notes, description) from quotes q join quote_lines l on l.quote_id = q.id where l.id = $1";
    let is_stored = async || {
        let row = app.query_one(stored, &[&quote.line]).await.expect("the line");
        row.get::<_, String>(0) == "infinity|one\r\ntwo\r\nthree|Brochure\n100 copies!"
    };
    eventually("all of it is stored", is_stored).await;
}

#[tokio::test]
async fn a_date_that_is_half_typed_is_not_saved() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let statement = "update quotes set expiration_date = '2026-05-17' where id = $1";
    app.execute(statement, &[&quote.id]).await.expect("an update");
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    browser.see("alice", "[data-field=expirationDate]", "2026-05-17").await;
    browser.fill("alice", "[data-field=notes]", "mine").await;
    browser.click("alice", "[data-field=expirationDate]").await;
    browser.press("alice", "Backspace").await;
    browser.click("alice", "#header button[type=submit]").await;
    browser.see("alice", ".note", "not a whole date").await;
    let stored = "select expiration_date::text from quotes where id = $1";
    let row = app.query_one(stored, &[&quote.id]).await.expect("the quote");
    assert_eq!(row.get::<_, Option<String>>(0).as_deref(), Some("2026-05-17"));
}

#[tokio::test]
async fn saves_of_a_row_take_turns() {
    let (_world, quote, app, mut browser) = scene().await;
    let save = "#header button[type=submit]";
    browser.hold("alice", "SaveQuote").await;
    browser.fill("alice", "[data-field=notes]", "by alice").await;
    browser.click("alice", save).await;
    browser.held("alice").await;
    browser.fill("alice", "[data-field=contactName]", "Ada").await;
    for _ in 0..2 {
        browser.press("alice", "Enter").await;
    }
    browser.let_go("alice").await;
    let stored = "select notes = 'by alice' and contact_name = 'Ada' from quotes where id = $1";
    let is_stored = async || app.query_one(stored, &[&quote.id]).await.expect("the quote").get::<_, bool>(0);
    eventually("both are stored", is_stored).await;
    let refused = "select count(*) from quote_changes where quote_id = $1 and was_conflict";
    assert_eq!(app.query_one(refused, &[&quote.id]).await.expect("a count").get::<_, i64>(0), 0);
    browser.see_no("alice", "#conflict").await;
}

#[tokio::test]
async fn lines_stand_in_the_order_of_their_numbers() {
    let (_world, quote, app, mut browser) = scene().await;
    let insert = "insert into quote_lines (tenant_id, quote_id, line_number, description, quantity, unit_price, line_amount)
        values ($1, $2, $3, 'Line ' || $3::integer, 1, 1, 1)";
    for number in [98, 97, 96] {
        app.execute(insert, &[&TENANT, &quote.id, &number]).await.expect("an insert");
        browser.see("alice", "#lines [data-field=description]", &format!("Line {number}")).await;
    }
    for (place, number) in [(1, "98"), (2, "97"), (3, "96")] {
        browser.see("alice", &format!("#lines tr:nth-last-child({place}) th"), number).await;
    }
    let renumber = "update quote_lines set line_number = 99 where id = $1";
    app.execute(renumber, &[&quote.line]).await.expect("an update");
    browser.see("alice", "#lines tr:last-child th", "99").await;
}

#[tokio::test]
async fn zero_is_not_nothing() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    app.execute("update quote_lines set discount_percentage = null where id = $1", &[&quote.line])
        .await
        .expect("an update");
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    let line = format!("[data-line='{}']", quote.line);
    let stored = "select discount_percentage::text from quote_lines where id = $1";
    for (typed, wanted) in [("0", Some("0")), ("", None)] {
        browser.fill("alice", &format!("{line} [data-field=discountPercentage]"), typed).await;
        browser.click("alice", &format!("{line} button[type=submit]")).await;
        browser.see("alice", "#notice", "Saved as version").await;
        let is_stored = async || {
            let row = app.query_one(stored, &[&quote.line]).await.expect("the line");
            let value: Option<String> = row.get(0);
            value.as_deref().map(|text| text.trim_end_matches(['0', '.'])) == wanted.map(|_| "")
        };
        eventually("it is stored", is_stored).await;
    }
}

#[tokio::test]
async fn people_see_each_other_and_where_they_are() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut browser = Browser::start();
    for person in [ALICE, BOB] {
        browser.open(person.name, &world.gateway, &world.gateway.token(&person), quote.id).await;
    }
    browser.see("alice", "#people", "bob").await;
    browser.see("bob", "#people", "alice").await;
    browser.click("bob", &format!("[data-line='{}'] [data-field=quantity]", quote.line)).await;
    browser.see("alice", &format!("[data-line='{}'] .peers", quote.line), "bob").await;
    browser.see("alice", "#people", "editing Quantity, line 1").await;
    browser.leave("bob").await;
    browser.see_no("alice", &format!("#people [data-user='{}']", BOB.id)).await;
}

#[tokio::test]
async fn a_restarted_gateway_is_found_again_with_nothing_missing() {
    let mut world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut browser = Browser::start();
    let token = world.gateway.token(&ALICE);
    browser.open("alice", &world.gateway, &token, quote.id).await;
    app.execute("update quotes set notes = 'before' where id = $1", &[&quote.id]).await.expect("an update");
    browser.see("alice", "#feed ins", "before").await;
    world.gateway.kill();
    browser.see("alice", "#state[data-state=waiting], #state[data-state=connecting]", "").await;
    app.execute("update quotes set notes = 'meanwhile' where id = $1", &[&quote.id])
        .await
        .expect("an update");
    world.gateway.restart().await;
    browser.see("alice", "#state[data-state=live]", "").await;
    browser.see("alice", "[data-field=notes]", "meanwhile").await;
    browser.see("alice", "#feed ins", "meanwhile").await;
}

#[tokio::test]
async fn a_gateway_that_still_starts_is_asked_until_it_serves() {
    let mut world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let (app, admin) = (world.app().await, world.admin().await);
    let mut browser = Browser::start();
    let token = world.gateway.token(&ALICE);
    browser.open("alice", &world.gateway, &token, quote.id).await;
    world.gateway.kill();
    admin.batch_execute("alter database erp connection limit 0").await.expect("nobody else may connect");
    world.gateway.respawn();
    for _ in 0..2 {
        browser.knock("alice").await;
    }
    app.execute("update quotes set notes = 'meanwhile' where id = $1", &[&quote.id])
        .await
        .expect("an update");
    admin.batch_execute("alter database erp connection limit -1").await.expect("everybody may connect");
    browser.see("alice", "#state[data-state=live]", "").await;
    browser.see("alice", "#feed ins", "meanwhile").await;
}

#[tokio::test]
async fn a_token_that_ends_is_asked_for_again_and_nothing_typed_is_lost() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let app = world.app().await;
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token_for(&ALICE, "8s"), quote.id).await;
    browser.fill("alice", "[data-field=notes]", "half a sentence").await;
    browser.see("alice", "#state[data-state=refused]", "").await;
    app.execute("update quotes set contact_name = 'Someone' where id = $1", &[&quote.id])
        .await
        .expect("an update");
    browser.fill("alice", "#token", &world.gateway.token(&ALICE)).await;
    browser.click("alice", "#token-form button").await;
    browser.see("alice", "#state[data-state=live]", "").await;
    browser.see("alice", "[data-field=contactName]", "Someone").await;
    browser.see("alice", "[data-field=notes]", "half a sentence").await;
    browser.click("alice", "#header button[type=submit]").await;
    browser.see("alice", "#notice", "Saved as version").await;
}
