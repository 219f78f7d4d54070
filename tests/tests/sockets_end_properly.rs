//! A socket ends with a close on both sides, whoever begins.

use quote_collab_tests::wire::{BEGINNING, PING, PONG};
use quote_collab_tests::{
    ALICE, BOB, CAROL, Gateway, Node, Person, Postgres, Settings, TENANT, Wire, World, eventually, node,
    within,
};
use rustix::process::Signal;
use serde_json::json;
use tokio_postgres::Client;

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

/// A socket on which so many bytes of a text have come that does not end.
async fn sending(gateway: &Gateway, person: &Person, bytes: usize) -> Wire {
    let mut wire = Wire::open(gateway, person).await;
    wire.frame(BEGINNING, &vec![b' '; bytes]).await;
    wire.frame(PING, b"").await;
    wire
}

#[tokio::test]
async fn strangers_send_little_and_a_user_much_on_some_sockets() {
    const LARGE: usize = 80 << 10;
    let world = World::embedded().await;
    let mut stranger = Wire::knock(&world.gateway).await;
    stranger.frame(BEGINNING, &vec![b' '; 40 << 10]).await;
    assert_eq!(stranger.close_code().await, 1009);
    let mut sockets = Vec::new();
    for _ in 0..64 {
        let mut wire = sending(&world.gateway, &ALICE, LARGE).await;
        assert_eq!(wire.frame_kind().await, PONG);
        sockets.push(wire);
    }
    assert_eq!(sending(&world.gateway, &ALICE, LARGE).await.close_code().await, 4429);
    for (person, bytes) in [(&ALICE, 40 << 10), (&BOB, LARGE)] {
        assert_eq!(sending(&world.gateway, person, bytes).await.frame_kind().await, PONG);
    }
    // A socket that ends gives its place back.
    let mut last = sockets.pop().expect("one of them");
    last.frame(0x88, &1000_u16.to_be_bytes()).await;
    assert_eq!(last.close_code().await, 1000);
    let place = async { while sending(&world.gateway, &ALICE, LARGE).await.frame_kind().await != PONG {} };
    within("there is a place", place).await;
}

async fn waiting(admin: &Client) -> i64 {
    let waiting = "select count(*) from pg_stat_activity where application_name = 'quote_gateway'
        and state = 'active' and wait_event_type = 'Lock'";
    admin.query_one(waiting, &[]).await.expect("the server tells").get(0)
}

/// A save that is held up by somebody's lock while its socket is about to end, by a signal or with its token.
async fn a_save_is_told(expires: &str, signal: Option<Signal>, code: i64) {
    let world = World::embedded().await;
    let (mut app, admin, quote) = (world.app().await, world.admin().await, world.quote_of(TENANT).await);
    let holding = app.transaction().await.expect("a transaction");
    holding.execute("select from quotes where id = $1 for update", &[&quote.id]).await.expect("a lock");
    let authentication = json!({ "authToken": world.gateway.token_for(&ALICE, expires) });
    let init = json!({ "type": "connection_init", "payload": authentication }).to_string();
    let save = format!(
        "mutation {{ updateQuoteWithVersionCheck(input: {{ quoteId: \"{}\", expectedVersion: 1, \
         changes: {{ notes: \"held\" }} }}) {{ success }} }}",
        quote.id
    );
    let begin = json!({ "id": "1", "type": "subscribe", "payload": { "query": save } }).to_string();
    let url = world.gateway.web_socket_url();
    let args = ["--url", &url, "--protocol", "graphql-transport-ws", "--send", &init, "--send", &begin];
    // One that waits for nothing ends as soon as the gateway, or the token, does.
    let mut idle = node("socket.mjs", &args[..6], &[]);
    idle.next_where(|line| line["message"]["type"] == "connection_ack").await;
    let mut socket = node("socket.mjs", &args, &[]);
    eventually("the save waits", async || waiting(&admin).await == 1).await;
    if let Some(signal) = signal {
        world.gateway.process().signal(signal);
    }
    let line = idle.next_where(|line| line["type"] == "closed").await;
    assert_eq!(line["code"], code, "{line}");
    holding.rollback().await.expect("the lock is given back");
    let line = socket.next_where(|line| line["message"]["id"] == "1").await;
    assert_eq!(line["message"]["payload"]["data"]["updateQuoteWithVersionCheck"]["success"], true, "{line}");
    let line = socket.next_where(|line| line["type"] == "closed").await;
    assert_eq!(line["code"], code, "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_that_runs_is_told_before_its_socket_ends() {
    tokio::join!(a_save_is_told("24h", Some(Signal::TERM), 1012), a_save_is_told("5s", None, 4403));
}
