use super::*;

const SUBSCRIBE: &str = r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }"}}"#;

fn close(step: Step) -> u16 {
    match step {
        Step::Close(close) => {
            assert!(close.reason.len() <= LONGEST_REASON && !close.reason.is_empty());
            close.code.number()
        }
        other => panic!("{other:?}"),
    }
}

fn acknowledged() -> Conversation {
    let mut conversation = Conversation::default();
    let init = r#"{"type":"connection_init","payload":{"authToken":"Bearer x"}}"#;
    assert_eq!(conversation.receive(init), Step::Authenticate(Some("Bearer x".to_owned())));
    assert_eq!(conversation.acknowledge(), r#"{"type":"connection_ack"}"#);
    conversation
}

#[test]
fn the_token_may_have_several_names() {
    for name in ["authToken", "Authorization", "authorization", "token"] {
        let init = format!(r#"{{"type":"connection_init","payload":{{"{name}":"t"}}}}"#);
        assert_eq!(Conversation::default().receive(&init), Step::Authenticate(Some("t".to_owned())));
    }
    for payload in ["", r#","payload":null"#, r#","payload":{}"#, r#","payload":{"authToken":7}"#] {
        let init = format!(r#"{{"type":"connection_init"{payload}}}"#);
        assert_eq!(Conversation::default().receive(&init), Step::Authenticate(None), "{payload}");
    }
}

#[test]
fn messages_of_another_form_close_with_4400() {
    let unknown = format!(r#"{{"type":"{}"}}"#, "ä".repeat(200));
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\"connection_init\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"unknown"}"#,
        r#"{"type":"start","id":"1"}"#,
        unknown.as_str(),
        r#"{"type":"connection_init","payload":7}"#,
        r#"{"type":"connection_init","payload":[]}"#,
        r#"{"type":"ping","payload":"x"}"#,
        r#"{"type":"pong","payload":7}"#,
        r#"{"type":"subscribe","payload":{"query":"{ a }"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{ a }"}}"#,
        r#"{"type":"subscribe","id":7,"payload":{"query":"{ a }"}}"#,
        r#"{"type":"subscribe","id":"1"}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","variables":7}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ a }","operationName":7}}"#,
        r#"{"type":"complete"}"#,
        r#"{"type":"complete","id":7}"#,
    ] {
        assert_eq!(close(acknowledged().receive(text)), 4400, "{text}");
    }
    let long = format!(r#"{{"type":"complete","id":"{}"}}"#, "x".repeat(LONGEST_ID + 1));
    assert_eq!(close(acknowledged().receive(&long)), 4400);
}

#[test]
fn an_operation_before_the_acknowledgement_closes_with_4401() {
    let mut conversation = Conversation::default();
    assert_eq!(close(conversation.receive(SUBSCRIBE)), 4401);
    conversation.receive(r#"{"type":"connection_init"}"#);
    assert_eq!(close(conversation.receive(SUBSCRIBE)), 4401);
}

#[test]
fn a_second_init_closes_with_4429() {
    assert_eq!(close(acknowledged().receive(r#"{"type":"connection_init"}"#)), 4429);
    let mut waiting = Conversation::default();
    waiting.receive(r#"{"type":"connection_init"}"#);
    assert_eq!(close(waiting.receive(r#"{"type":"connection_init"}"#)), 4429);
}

#[test]
fn an_id_in_use_closes_with_4409_and_is_free_after_its_end() {
    let mut conversation = acknowledged();
    assert!(matches!(conversation.receive(SUBSCRIBE), Step::Start(..)));
    assert_eq!(close(conversation.receive(SUBSCRIBE)), 4409);
    let mut conversation = acknowledged();
    conversation.receive(SUBSCRIBE);
    assert!(conversation.complete("1"));
    assert!(matches!(conversation.receive(SUBSCRIBE), Step::Start(..)));
    assert_eq!(conversation.receive(r#"{"type":"complete","id":"1"}"#), Step::Stop("1".into()));
    assert!(!conversation.complete("1"));
    assert!(matches!(conversation.receive(SUBSCRIBE), Step::Start(..)));
    assert_eq!(conversation.receive(r#"{"type":"complete","id":"unknown"}"#), Step::Ignore);
    let long = "ü".repeat(LONGEST_ID / 2);
    let subscribe = format!(r#"{{"type":"subscribe","id":"{long}","payload":{{"query":"{{ a }}"}}}}"#);
    conversation.receive(&subscribe);
    assert_eq!(close(conversation.receive(&subscribe)), 4409);
}

#[test]
fn a_ping_is_answered_at_any_time() {
    let mut conversation = Conversation::default();
    assert_eq!(conversation.receive(r#"{"type":"ping"}"#), Step::Send(r#"{"type":"pong"}"#.to_owned()));
    assert_eq!(
        conversation.receive(r#"{"type":"ping","payload":{"a":0.10}}"#),
        Step::Send(r#"{"payload":{"a":0.10},"type":"pong"}"#.to_owned())
    );
    assert_eq!(conversation.receive(r#"{"type":"pong"}"#), Step::Ignore);
    assert_eq!(conversation.receive(r#"{"type":"pong","payload":{}}"#), Step::Ignore);
}

#[test]
fn a_ping_with_a_token_renews_it() {
    let ping = r#"{"type":"ping","payload":{"authToken":"Bearer y"}}"#;
    assert!(matches!(acknowledged().receive(ping), Step::Refresh(token) if token == "Bearer y"));
    assert!(matches!(Conversation::default().receive(ping), Step::Send(_)));
}

#[test]
fn a_socket_has_a_limit_of_operations() {
    let mut conversation = acknowledged();
    let subscribe =
        |number: usize| format!(r#"{{"type":"subscribe","id":"{number}","payload":{{"query":"{{ a }}"}}}}"#);
    for number in 0..MOST_OPERATIONS {
        assert!(matches!(conversation.receive(&subscribe(number)), Step::Start(..)));
    }
    assert_eq!(
        conversation.receive(&subscribe(MOST_OPERATIONS)),
        Step::Refuse(MOST_OPERATIONS.to_string().into())
    );
    conversation.receive(r#"{"type":"complete","id":"0"}"#);
    assert!(matches!(conversation.receive(&subscribe(MOST_OPERATIONS)), Step::Start(..)));
}

#[test]
fn ids_are_escaped_and_results_are_not_touched() {
    let message = next("a\"b", r#"{"data":{"n":100000000000000000.0001}}"#);
    assert_eq!(message, r#"{"type":"next","id":"a\"b","payload":{"data":{"n":100000000000000000.0001}}}"#);
    assert_eq!(error("1", "[]"), r#"{"type":"error","id":"1","payload":[]}"#);
}

#[test]
fn arbitrary_text_never_panics() {
    let pieces = [
        "{",
        "}",
        "\"type\"",
        ":",
        "\"subscribe\"",
        "\"id\"",
        ",",
        "\"payload\"",
        "null",
        "1",
        "[",
        "]",
        "\"ä\"",
    ];
    let mut seed = 1_u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..(seed % 12) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[usize::try_from(seed >> 33).unwrap() % pieces.len()]);
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        acknowledged().receive(&text);
    }
}

#[test]
fn only_operations_may_be_large_and_only_of_somebody_who_was_let_in() {
    let padded = |text: &str, bytes: usize| format!("{text}{}", " ".repeat(bytes - text.len()));
    let init = r#"{"type":"connection_init","payload":{"authToken":"Bearer x"}}"#;
    for (bytes, is_taken) in [(LARGEST_OTHER, true), (LARGEST_OTHER + 1, false)] {
        let step = Conversation::default().receive(&padded(init, bytes));
        assert_eq!(matches!(step, Step::Authenticate(_)), is_taken);
        for text in [r#"{"type":"ping"}"#, r#"{"type":"pong","payload":{}}"#] {
            let step = acknowledged().receive(&padded(text, bytes));
            assert_eq!(matches!(step, Step::Send(_) | Step::Ignore), is_taken, "{text}");
        }
        assert!(matches!(acknowledged().receive(&padded(SUBSCRIBE, bytes)), Step::Start(..)));
    }
    assert_eq!(close(Conversation::default().receive(&padded(SUBSCRIBE, LARGEST_OTHER + 1))), 1009);
    assert_eq!(close(acknowledged().receive(&padded(r#"{"type":"ping"}"#, LARGEST_OTHER + 1))), 1009);
}
