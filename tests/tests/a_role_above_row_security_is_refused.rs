//! A role that row security does not hold would show everybody the quotes of all tenants: nothing is served as one.

use quote_collab_tests::graphql::{ask, get};
use quote_collab_tests::postgres::{ADMIN, GATEWAY};
use quote_collab_tests::{ALICE, Gateway, Postgres, Settings, TENANT, World, eventually};
use serde_json::json;

const REASON: &str = "role_above_row_security";
const TOLD: &str = "row security does not hold the gateway's role";

#[tokio::test]
async fn a_gateway_waits_until_its_role_is_mended() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let admin = postgres.client("erp", ADMIN).await;
    admin.batch_execute("alter role quote_gateway bypassrls").await.expect("the superuser may do so");
    let gateway = Gateway::spawn(&postgres.url("erp", GATEWAY), None, &[]);
    eventually("it is told", || async { gateway.log().contains(TOLD) }).await;
    for path in ["/health", "/health/db", "/graphql"] {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.status, &answer.body["reason"]), (503, &REASON.into()), "{path}");
    }
    assert!(gateway.log().contains("grant_quote_gateway"));
    admin.batch_execute("alter role quote_gateway nobypassrls").await.expect("the superuser may do so");
    eventually("it serves", || async { gateway.log().contains("ready on") }).await;
    assert_eq!(get(&gateway, "/health/db").await.status, 200);
    assert_eq!(gateway.log().matches(TOLD).count(), 1, "{}", gateway.log());
}

#[tokio::test]
async fn a_gateway_serves_nothing_while_its_role_is_a_superuser() {
    let world = World::embedded().await;
    let (admin, quote) = (world.admin().await, world.quote_of(TENANT).await);
    let query = format!("{{ quote(quoteId: \"{}\") }}", quote.id);
    let answer = ask(&world.gateway, &world.gateway.token(&ALICE), &query, json!({})).await;
    assert!(answer.body["errors"].is_null(), "{answer:?}");
    admin.batch_execute("alter role quote_gateway superuser").await.expect("the superuser may do so");
    eventually("it is refused", || async {
        let answer = get(&world.gateway, "/health/db").await;
        answer.status == 503 && answer.body["status"] == "refused" && answer.body["reason"] == REASON
    })
    .await;
    let answer = ask(&world.gateway, &world.gateway.token(&ALICE), &query, json!({})).await;
    assert_eq!(answer.body["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE", "{answer:?}");
    assert_eq!(get(&world.gateway, "/health").await.body["status"], "degraded");
    admin.batch_execute("alter role quote_gateway nosuperuser").await.expect("the superuser may do so");
    eventually("it serves", || async { get(&world.gateway, "/health/db").await.status == 200 }).await;
    let answer = ask(&world.gateway, &world.gateway.token(&ALICE), &query, json!({})).await;
    assert!(answer.body["errors"].is_null(), "{answer:?}");
    assert_eq!(world.gateway.log().matches(TOLD).count(), 1, "{}", world.gateway.log());
}
