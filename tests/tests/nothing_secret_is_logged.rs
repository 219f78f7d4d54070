//! However much detail the log is asked for, no token, no password and no word of a quote gets into it.

use quote_collab_tests::gateway::JWT_SECRET;
use quote_collab_tests::postgres::{ADMIN, GATEWAY};
use quote_collab_tests::{ALICE, Gateway, Nats, Postgres, Release, Settings, ask, eventually, node};
use rustix::process::Signal;
use serde_json::{Value, json};
use uuid::Uuid;

const CANARY: &str = "a canary in the notes";
const PASSWORD: &str = "hunter2-hunter2";

fn save(quote: Uuid, version: u32) -> String {
    format!(
        "mutation{{updateQuoteWithVersionCheck(input:{{quoteId:\"{quote}\",expectedVersion:{version},\
         changes:{{notes:\"{CANARY} {version}\"}}}}){{success quote}}}}"
    )
}

fn operation(id: &str, query: &str) -> String {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } }).to_string()
}

/// Saves over a socket and over HTTP, and waits until a subscriber has heard of it.
async fn work(gateway: &Gateway, token: &str, quote: Uuid) {
    let authentication = json!({ "authToken": format!("Bearer {token}") });
    let init = json!({ "type": "connection_init", "payload": authentication }).to_string();
    let events = format!("subscription{{quoteChanged(quoteId:\"{quote}\"){{changes{{newValue}}}}}}");
    let (listen, write) = (operation("1", &events), operation("2", &save(quote, 1)));
    let url = gateway.web_socket_url();
    let args = ["--url", &url, "--protocol", "graphql-transport-ws", "--hasty"];
    let texts = ["--send", &init, "--send", &listen, "--send", &write];
    let mut socket = node("socket.mjs", &[&args[..], &texts].concat(), &[]);
    let is_saved = |line: &Value| line["message"]["id"] == "2" && line["message"]["type"] == "next";
    socket.next_where(is_saved).await;
    let saved = ask(gateway, token, &save(quote, 2), json!({})).await;
    assert_eq!(saved.data("updateQuoteWithVersionCheck")["success"], true);
    let is_told = |line: &Value| line["message"]["id"] == "1" && line.to_string().contains(CANARY);
    socket.next_where(is_told).await;
}

#[tokio::test]
async fn a_log_of_everything_tells_no_secret() {
    let nats_arguments = ["--user", "gateway", "--pass", PASSWORD];
    let (postgres, nats) = tokio::join!(
        Postgres::start_with(Settings::preloaded(&[])),
        Nats::start_with(Release::Debian, &nats_arguments)
    );
    // What the ERP says aside is not for the log of the gateway either.
    let admin = postgres.client("erp", ADMIN).await;
    let aside = "create function say_aside() returns trigger language plpgsql as $$ begin
            raise notice 'aside: %', new.notes; return new; end $$;
        create trigger say_aside before update on quotes for each row execute function say_aside()";
    admin.batch_execute(aside).await.expect("a talkative trigger");
    let fresh = "select id from quotes where version = 1 and tenant_id = $1 and status = 'DRAFT' limit 2";
    let quotes = admin.query(fresh, &[&ALICE.tenant]).await.expect("two quotes");
    let database = postgres.url("erp", GATEWAY).replace(GATEWAY, &format!("{GATEWAY}:{PASSWORD}"));
    let with_password = nats.url().replace("nats://", &format!("nats://gateway:{PASSWORD}@"));
    let logs = [("trace", "text"), ("trace,tungstenite=trace,tokio_postgres=trace", "json")];
    for ((level, form), quote) in logs.into_iter().zip(quotes) {
        let variables = [("RUST_LOG", level), ("LOG_FORMAT", form)];
        let gateway = Gateway::spawn(&database, Some(&with_password), &variables);
        eventually("the gateway serves", || async { gateway.log().contains("ready on") }).await;
        let token = gateway.token(&ALICE);
        work(&gateway, &token, quote.get(0)).await;
        gateway.process().signal(Signal::TERM);
        eventually("the gateway ends", || async { !gateway.process().is_alive() }).await;
        let log = gateway.log();
        assert!(log.contains("connected to nats"), "{log}");
        let signature = token.rsplit('.').next().expect("a signature");
        for secret in [CANARY, PASSWORD, &token, signature, JWT_SECRET] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
