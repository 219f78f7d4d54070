//! A socket ends with a close on both sides, whoever begins.

use quote_collab_tests::{ALICE, TENANT, World, node};
use serde_json::json;

#[tokio::test]
async fn a_socket_that_its_client_closes_is_closed_and_not_cut() {
    let world = World::embedded().await;
    let authentication = json!({ "authToken": format!("Bearer {}", world.gateway.token(&ALICE)) });
    let init = json!({ "type": "connection_init", "payload": authentication }).to_string();
    let query = format!(
        "subscription {{ presenceUpdated(quoteId: \"{}\") {{ quoteId }} }}",
        world.quote_of(TENANT).await.id
    );
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": query } }).to_string();
    let url = world.gateway.web_socket_url();
    for texts in [&["--send", &init][..], &["--send", &init, "--send", &subscribe]] {
        for code in ["1000", "4000"] {
            let mut args = vec!["--url", &url, "--protocol", "graphql-transport-ws", "--close", code];
            args.extend_from_slice(texts);
            let mut socket = node("socket.mjs", &args, &[]);
            let line = socket.next_where(|line| line["type"] == "closed").await;
            assert_eq!((line["code"].to_string().as_str(), &line["reason"]), (code, &json!("bye")));
        }
    }
}
