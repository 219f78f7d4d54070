//! The sample ERP is what the documentation says, and the same on every machine.

use quote_collab_tests::postgres::{ADMIN, APP, GATEWAY};
use quote_collab_tests::{ALICE, BOB, CAROL, Postgres};

#[tokio::test]
async fn two_shops_have_their_people_quotes_and_lines() {
    let postgres = Postgres::shared().await;
    let client = postgres.client(&postgres.plain_database().await, ADMIN).await;
    let count = "select (select count(*) from tenants), (select count(*) from users), (select count(*) from quotes), \
                 (select count(*) from quote_lines)";
    let row = client.query_one(count, &[]).await.unwrap();
    assert_eq!([0, 1, 2, 3].map(|column| row.get::<_, i64>(column)), [2, 20, 200, 1000]);
    for person in [ALICE, BOB, CAROL] {
        let row = client
            .query_one("select username, email, tenant_id from users where id = $1", &[&person.id])
            .await
            .unwrap();
        assert_eq!((row.get(0), row.get(1), row.get(2)), (person.name, person.email, person.tenant));
    }
}

#[tokio::test]
async fn money_adds_up() {
    let postgres = Postgres::shared().await;
    let client = postgres.client(&postgres.plain_database().await, APP).await;
    let wrong_lines = "select count(*) from quote_lines where line_amount <> quantity * unit_price";
    let wrong_quotes = "select count(*) from quotes q where total_amount <> subtotal + tax_amount + shipping_amount - \
        discount_amount or subtotal <> (select sum(line_amount) from quote_lines l where l.quote_id = q.id)";
    for wrong in [wrong_lines, wrong_quotes] {
        assert_eq!(client.query_one(wrong, &[]).await.unwrap().get::<_, i64>(0), 0, "{wrong}");
    }
}

#[tokio::test]
async fn rows_are_the_same_on_every_machine() {
    let postgres = Postgres::shared().await;
    let client = postgres.client(&postgres.plain_database().await, ADMIN).await;
    let digest = "select md5(string_agg(to_jsonb(l)::text, '' order by l.id)) from \
        (select id, quote_id, product_id, quantity, unit_price, line_amount, promised_delivery_date from quote_lines) l";
    let row = client.query_one(digest, &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "f854d7824137ef8e826a75c712027190");
}

#[tokio::test]
async fn gateway_reads_people_and_writes_quotes_only() {
    let postgres = Postgres::shared().await;
    let client = postgres.client(&postgres.plain_database().await, GATEWAY).await;
    client.query_one("select count(*) from users", &[]).await.unwrap();
    client.execute("update quotes set notes = notes", &[]).await.unwrap();
    let refused = client.execute("update users set email = email", &[]).await.unwrap_err();
    assert_eq!(refused.code().map(tokio_postgres::error::SqlState::code), Some("42501"));
}
