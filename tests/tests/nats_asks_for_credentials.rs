//! Credentials of NATS are taken from where people write them.

use quote_collab_tests::postgres::GATEWAY;
use quote_collab_tests::{Gateway, Nats, Postgres, Release, Settings, eventually};

/// Letters that an address must encode.
const PASSWORD: &str = "hunter2@:/%";
const ENCODED: &str = "hunter2%40%3A%2F%25";

async fn connects(postgres: &Postgres, url: &str, variables: &[(&str, &str)]) {
    let gateway = Gateway::spawn(&postgres.url("erp", GATEWAY), Some(url), variables);
    eventually("the gateway connects", || async { gateway.log().contains("connected to nats") }).await;
    eventually("the gateway serves", || async { gateway.log().contains("ready on") }).await;
    let log = gateway.log();
    assert!(!log.contains("hunter2") && !log.contains("cannot be reached"), "{log}");
}

#[tokio::test]
async fn a_user_may_stand_in_the_address_or_in_variables() {
    let arguments = ["--user", "gate@way", "--pass", PASSWORD];
    let (postgres, nats) = tokio::join!(
        Postgres::start_with(Settings::preloaded(&[])),
        Nats::start_with(Release::Debian, &arguments)
    );
    let (url, host) = (nats.url(), nats.url().replace("nats://", ""));
    let variables = [("NATS_USER", "gate@way"), ("NATS_PASSWORD", PASSWORD)];
    connects(&postgres, &format!("nats://gate%40way:{ENCODED}@{host}"), &[]).await;
    connects(&postgres, &url, &variables).await;
    connects(&postgres, &format!("nats://somebody:else@{host}"), &variables).await;
}

#[tokio::test]
async fn a_token_may_stand_in_the_address() {
    let (postgres, nats) = tokio::join!(
        Postgres::start_with(Settings::preloaded(&[])),
        Nats::start_with(Release::Debian, &["--auth", PASSWORD])
    );
    connects(&postgres, &nats.url().replace("nats://", &format!("nats://{ENCODED}@")), &[]).await;
}
