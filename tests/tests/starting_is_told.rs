//! A gateway that cannot serve yet says so, ends when it is told to, and does not wait for what will not come.

use std::time::Duration;

use quote_collab_tests::postgres::{ADMIN, GATEWAY};
use quote_collab_tests::{Gateway, Postgres, Settings, built, eventually, talk};
use rustix::process::Signal;
use tokio::net::TcpListener;

/// Far below the minute for which a gateway waits for its database.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn status(gateway: &Gateway, path: &str) -> Option<String> {
    let address = gateway.url();
    // It may not have taken its port yet.
    tokio::net::TcpStream::connect(address.strip_prefix("http://")?).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = tokio::time::timeout(AT_ONCE, talk(gateway, &[head.as_bytes()])).await.ok()?;
    Some(answer.split(' ').nth(1)?.to_owned() + if answer.contains("starting") { " starting" } else { "" })
}

async fn ends(gateway: &Gateway) {
    let ended = eventually("the gateway ends", || async { !gateway.process().is_alive() });
    tokio::time::timeout(AT_ONCE, ended).await.expect("at once");
}

#[tokio::test]
async fn a_gateway_that_waits_for_its_database_answers_and_can_be_told_to_end() {
    // It takes connections and says nothing, as a machine does whose server hangs.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().expect("its address");
    for (address, signal) in [("127.0.0.1:1".to_owned(), Signal::TERM), (silent.to_string(), Signal::INT)] {
        let gateway = Gateway::spawn(&format!("postgresql://{GATEWAY}@{address}/erp"), None, &[]);
        let gateway = &gateway;
        for path in ["/health", "/health/db", "/graphql"] {
            eventually("an answer", || async move {
                status(gateway, path).await.is_some_and(|status| status == "503 starting")
            })
            .await;
        }
        gateway.process().signal(signal);
        ends(gateway).await;
    }
}

#[tokio::test]
async fn a_gateway_serves_when_its_database_has_come() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let admin = postgres.client("erp", ADMIN).await;
    admin.batch_execute("alter database erp connection limit 0").await.expect("nobody else may connect");
    let gateway = Gateway::spawn(&postgres.url("erp", GATEWAY), None, &[]);
    let gateway = &gateway;
    let is = async |wanted: &str| status(gateway, "/health").await.is_some_and(|status| status == wanted);
    eventually("it waits", || is("503 starting")).await;
    admin.batch_execute("alter database erp connection limit -1").await.expect("everybody may connect");
    eventually("it serves", || is("200")).await;
    for _ in 0..20 {
        assert!(is("200").await, "once ready, always ready");
    }
}

#[tokio::test]
async fn a_gateway_whose_database_starts_anew_meanwhile_waits_again() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let admin = postgres.client("postgres", ADMIN).await;
    // Nobody listens there: it looks for NATS a while, between two questions to its database.
    let gateway = Gateway::spawn(&postgres.url("erp", GATEWAY), Some("nats://127.0.0.1:1"), &[]);
    let gateway = &gateway;
    eventually("it has its database", || async { gateway.log().contains("listening for") }).await;
    admin.batch_execute("alter database erp connection limit 0").await.expect("nobody else may connect");
    let away = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'quote_gateway'";
    admin.batch_execute(away).await.expect("its sessions end");
    eventually("it waits", || async { gateway.log().contains("waiting for the database") }).await;
    admin.batch_execute("alter database erp connection limit -1").await.expect("everybody may connect");
    // Without NATS it says so; it serves all the same.
    eventually("it serves", || async {
        status(gateway, "/health/db").await.is_some_and(|status| status == "200")
    })
    .await;
}

#[tokio::test]
async fn what_waiting_cannot_mend_is_told_at_once() {
    let cases = [
        ("postgresql://ann:hunter2@127.0.0.1:1/erp?sslmode=require", "sslmode=require"),
        ("postgresql://ann:hunter2@127.0.0.1:port/erp", "address cannot be read"),
        ("postgresql:///erp", "address cannot be read"),
    ];
    for (url, told) in cases {
        let gateway = Gateway::spawn(url, None, &[]);
        ends(&gateway).await;
        let log = gateway.log();
        assert!(log.contains(told) && !log.contains("hunter2"), "{url}: {log}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_prepared_says_what_is_missing() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let plain = postgres.plain_database().await;
    let admin = postgres.client(&plain, ADMIN).await;
    admin.batch_execute("create extension quote_collab_ext").await.expect("the extension");
    let gateway = Gateway::spawn(&postgres.url(&plain, GATEWAY), None, &[]);
    ends(&gateway).await;
    let log = gateway.log();
    for told in ["select attach_quote_collaboration()", "select grant_quote_gateway('quote_gateway')"] {
        assert!(log.contains(told), "{log}");
    }
}

#[tokio::test]
async fn an_extension_that_is_too_old_is_told_at_once() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    postgres.add_script(&built::place().releases().join("quote_collab_ext--0.5.0.sql"));
    let plain = postgres.plain_database().await;
    let admin = postgres.client(&plain, ADMIN).await;
    admin.batch_execute("create extension quote_collab_ext version '0.5.0'").await.expect("the extension");
    let gateway = Gateway::spawn(&postgres.url(&plain, GATEWAY), None, &[]);
    ends(&gateway).await;
    let log = gateway.log();
    assert!(log.contains("0.5.0") && log.contains("alter extension quote_collab_ext update"), "{log}");
}

#[tokio::test]
async fn a_variable_that_is_empty_is_one_that_is_not_set() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let names = [
        "DATABASE_LISTEN_URL",
        "PG_POOL_SIZE",
        "PG_STATEMENT_TIMEOUT",
        "NATS_URL",
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_STREAM_MAX_AGE",
        "NATS_STREAM_MAX_BYTES",
        "NATS_STREAM_REPLICAS",
        "JWT_EXPIRATION",
        "ALLOWED_ORIGINS",
        "RATE_LIMIT_PER_SECOND",
        "RATE_LIMIT_BURST",
        "MAX_SOCKETS",
        "DRAIN_TIMEOUT",
        "RUST_LOG",
        "LOG_FORMAT",
    ];
    let gateway = Gateway::start_with(&postgres, "erp", None, &names.map(|name| (name, ""))).await;
    let gateway = &gateway;
    eventually("it listens", || async move { gateway.log().contains("listening for") }).await;
}
