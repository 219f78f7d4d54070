//! A socket ends with a close on both sides, whoever begins.

use quote_collab_tests::{
    ALICE, BOB, CAROL, Gateway, Node, Person, Postgres, Settings, TENANT, Wire, World, node, within,
};
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

/// Asks to be let in, and stays.
fn asking(gateway: &Gateway, person: &Person) -> Node {
    let authentication = json!({ "authToken": format!("Bearer {}", gateway.token(person)) });
    let init = json!({ "type": "connection_init", "payload": authentication }).to_string();
    let url = gateway.web_socket_url();
    node("socket.mjs", &["--url", &url, "--protocol", "graphql-transport-ws", "--send", &init], &[])
}

async fn admitted(gateway: &Gateway, person: &Person) -> Node {
    let mut socket = asking(gateway, person);
    let line = socket.next_where(|line| line["type"] != "open").await;
    assert_eq!(line["message"]["type"], "connection_ack", "{line}");
    socket
}

async fn refused(gateway: &Gateway, person: &Person) {
    let line = asking(gateway, person).next_where(|line| line["type"] != "open").await;
    assert_eq!(line["code"], 4429, "{line}");
}

#[tokio::test]
async fn nobody_takes_the_sockets_of_everybody() {
    let postgres = Postgres::start_with(Settings::preloaded(&[])).await;
    let gateway = Gateway::start_with(&postgres, "erp", None, &[("MAX_SOCKETS", "12")]).await;
    let mut alice = Vec::new();
    for _ in 0..3 {
        alice.push(admitted(&gateway, &ALICE).await);
    }
    refused(&gateway, &ALICE).await;
    let mut bob = Vec::new();
    for _ in 0..3 {
        bob.push(admitted(&gateway, &BOB).await);
    }
    let eve = Person { id: CAROL.id, ..ALICE };
    refused(&gateway, &eve).await;
    let carol = admitted(&gateway, &CAROL).await;
    // What ends makes room.
    bob.clear();
    let room = async {
        loop {
            let mut socket = asking(&gateway, &eve);
            let line = socket.next_where(|line| line["type"] != "open").await;
            if line["message"]["type"] == "connection_ack" {
                return socket;
            }
        }
    };
    within("there is room", room).await;
    drop((alice, carol));
}

#[tokio::test]
async fn whoever_breaks_the_rules_of_frames_is_told() {
    let world = World::embedded().await;
    let long = [b'x'; 126];
    let cases: [(u8, &[u8], u16); 6] = [
        (0x81 | 0x40, b"{}", 1002),
        (0x80, b"{}", 1002),
        (0x83, b"{}", 1002),
        (0x8b, b"", 1002),
        (0x89, &long, 1002),
        (0x81, b"\xff", 1007),
    ];
    for (first, payload, code) in cases {
        let mut wire = Wire::open(&world.gateway, &ALICE).await;
        wire.frame(first, payload).await;
        assert_eq!(wire.close_code().await, code, "{first:#x}");
    }
    let mut wire = Wire::open(&world.gateway, &ALICE).await;
    wire.send(b"\x81\x02{}").await;
    assert_eq!(wire.close_code().await, 1002, "no mask");
}
