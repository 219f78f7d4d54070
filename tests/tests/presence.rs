//! Who is here: told when somebody comes, moves, leaves or falls silent, whoever asks and by whichever door they came.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use quote_collab_tests::{
    ALICE, BOB, Browser, CAROL, Gateway, Kind, Person, Quote, Subscriber, TENANT, TENANT_OTHER, Wire, World,
    ask, eventually, within,
};
use serde_json::{Value, json};

const JOIN: &str = "mutation ($input: JoinQuoteSessionInput!) { joinQuoteSession(input: $input) {
    sessionId quoteId userId userName userEmail joinedAt lastHeartbeat currentField isEditing status } }";
const HEARTBEAT: &str =
    "mutation ($input: UpdateSessionHeartbeatInput!) { updateSessionHeartbeat(input: $input) }";
const LEAVE: &str = "mutation ($sessionId: ID!) { leaveQuoteSession(sessionId: $sessionId) }";
const LIST: &str =
    "query ($quoteId: ID!) { getActiveQuoteSessions(quoteId: $quoteId) { userName status currentField } }";

/// A session without a sign of life is stale after this.
const STALE: Duration = Duration::from_secs(30);
/// The silence is noticed and told within this.
const TOLD: Duration = Duration::from_secs(3);
/// A gateway that leads sooner after its start tells of everybody.
const NEWCOMER: Duration = Duration::from_secs(10);
/// How often a living client says so.
const BEAT: Duration = Duration::from_secs(10);

async fn join(world: &World, person: &Person, quote: &Quote) -> Value {
    let variables = json!({ "input": { "quoteId": quote.id } });
    let answer = ask(&world.gateway, &world.gateway.token(person), JOIN, variables).await;
    answer.data("joinQuoteSession").clone()
}

async fn heartbeat(world: &World, person: &Person, input: Value) -> Value {
    let answer =
        ask(&world.gateway, &world.gateway.token(person), HEARTBEAT, json!({ "input": input })).await;
    answer.data("updateSessionHeartbeat").clone()
}

async fn listed(world: &World, quote: &Quote) -> Vec<String> {
    let answer = ask(&world.gateway, &world.gateway.token(&BOB), LIST, json!({ "quoteId": quote.id })).await;
    names(answer.data("getActiveQuoteSessions"))
}

async fn in_view(world: &World, quote: &Quote) -> i64 {
    let count = "select coalesce(sum(active_user_count), 0)::bigint from v_active_quote_collaborators where quote_id = $1";
    world.admin().await.query_one(count, &[&quote.id]).await.expect("the view").get(0)
}

fn watch(world: &World, quote: &Quote) -> Subscriber {
    Subscriber::start(&world.gateway, &world.gateway.token(&BOB), &[quote.id], &[Kind::Presence])
}

fn names(people: &Value) -> Vec<String> {
    let people = people.as_array().expect("a list of people");
    people.iter().map(|one| one["userName"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The next list that has exactly these people.
async fn people_are(watcher: &mut Subscriber, expected: &[&str]) -> Value {
    loop {
        let event = watcher.next_event().await;
        if names(&event["activeUsers"]) == expected {
            return event;
        }
    }
}

#[tokio::test]
async fn others_are_told_who_comes_moves_and_leaves() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut watcher = watch(&world, &quote);
    people_are(&mut watcher, &[]).await;
    let session = join(&world, &ALICE, &quote).await;
    assert_eq!(session["userEmail"], ALICE.email);
    people_are(&mut watcher, &["alice"]).await;
    let place = json!({ "sessionId": session["sessionId"], "currentLineId": quote.line, "currentField": "unitPrice",
        "cursorPosition": 3, "isEditing": true, "status": "EDITING" });
    assert_eq!(heartbeat(&world, &ALICE, place).await, true);
    let event = people_are(&mut watcher, &["alice"]).await;
    let alice = &event["activeUsers"][0];
    assert_eq!(
        json!([alice["status"], alice["currentLine"], alice["currentField"], alice["cursorPosition"]]),
        json!(["EDITING", quote.line, "unitPrice", 3])
    );
    join(&world, &BOB, &quote).await;
    people_are(&mut watcher, &["alice", "bob"]).await;
    assert_eq!(listed(&world, &quote).await, ["alice", "bob"]);
    assert_eq!(in_view(&world, &quote).await, 2);
    let variables = json!({ "sessionId": session["sessionId"] });
    let token = world.gateway.token(&ALICE);
    assert_eq!(ask(&world.gateway, &token, LEAVE, variables.clone()).await.data("leaveQuoteSession"), true);
    people_are(&mut watcher, &["bob"]).await;
    assert_eq!(ask(&world.gateway, &token, LEAVE, variables).await.data("leaveQuoteSession"), false);
    assert_eq!(heartbeat(&world, &ALICE, json!({ "sessionId": session["sessionId"] })).await, false);
}

#[tokio::test]
async fn a_session_of_sql_is_seen_like_any_other() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut watcher = watch(&world, &quote);
    people_are(&mut watcher, &[]).await;
    let app = world.app().await;
    let context =
        "select set_config('app.current_tenant_id', $1, false), set_config('app.current_user_id', $2, false)";
    app.query_one(context, &[&TENANT.to_string(), &ALICE.id.to_string()]).await.expect("a context");
    let joined = app
        .query_one("select session_id from join_quote_session($1)", &[&quote.id])
        .await
        .expect("a session");
    let session: uuid::Uuid = joined.get(0);
    people_are(&mut watcher, &["alice"]).await;
    let moved = "select heartbeat_quote_session($1, current_field => 'notes', is_editing => true, status => 'EDITING')";
    assert!(app.query_one(moved, &[&session]).await.expect("a heartbeat").get::<_, bool>(0));
    assert_eq!(people_are(&mut watcher, &["alice"]).await["activeUsers"][0]["currentField"], "notes");
    assert_eq!(listed(&world, &quote).await, ["alice"]);
    assert!(
        app.query_one("select leave_quote_session($1)", &[&session])
            .await
            .expect("leaving")
            .get::<_, bool>(0)
    );
    people_are(&mut watcher, &[]).await;
}

#[tokio::test]
async fn nobody_is_present_under_another_name_or_in_another_tenant() {
    let world = World::start().await;
    let (ours, theirs) = (world.quote_of(TENANT).await, world.quote_of(TENANT_OTHER).await);
    let token = world.gateway.token(&ALICE);
    let disguised =
        json!({ "quoteId": ours.id, "userId": CAROL.id, "userName": "carol", "userEmail": CAROL.email });
    let answer = ask(&world.gateway, &token, JOIN, json!({ "input": disguised })).await;
    let session = answer.data("joinQuoteSession");
    assert_eq!((&session["userId"], &session["userName"]), (&json!(ALICE.id), &json!("alice")));
    let elsewhere = ask(&world.gateway, &token, JOIN, json!({ "input": { "quoteId": theirs.id } })).await;
    assert_eq!(elsewhere.code(), "NOT_FOUND");
    let variables = json!({ "sessionId": session["sessionId"] });
    let carol = ask(&world.gateway, &world.gateway.token(&CAROL), LEAVE, variables).await;
    assert_eq!(carol.data("leaveQuoteSession"), false);
    assert_eq!(listed(&world, &ours).await, ["alice"]);
    let mut outsider =
        Subscriber::start(&world.gateway, &world.gateway.token(&CAROL), &[ours.id], &[Kind::Presence]);
    assert_eq!(outsider.next_error().await["extensions"]["code"], "NOT_FOUND");
}

/// Bob stays alive as a client does until Alice is gone from his list.
async fn until_alice_is_gone(world: &World, quote: &Quote, watcher: &mut Subscriber) -> Instant {
    let session = join(world, &BOB, quote).await["sessionId"].clone();
    let mut beats = tokio::time::interval(BEAT);
    let mut fields = ["notes", "status"].iter().cycle();
    people_are(watcher, &["alice", "bob"]).await;
    loop {
        tokio::select! {
            _ = beats.tick() => {
                let input = json!({ "sessionId": session, "currentField": fields.next() });
                assert_eq!(heartbeat(world, &BOB, input).await, true);
            }
            event = watcher.next_event() => {
                let names = names(&event["activeUsers"]);
                assert!(names.contains(&"bob".to_owned()), "{event}");
                if names == ["bob"] {
                    return Instant::now();
                }
            }
        }
    }
}

#[tokio::test]
async fn a_session_without_heartbeats_is_gone_and_others_are_told() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut watcher = watch(&world, &quote);
    people_are(&mut watcher, &[]).await;
    let joined = Instant::now();
    join(&world, &ALICE, &quote).await;
    people_are(&mut watcher, &["alice"]).await;
    let gone = until_alice_is_gone(&world, &quote, &mut watcher).await - joined;
    assert!(gone >= STALE && gone < STALE + TOLD, "told after {gone:?}");
    assert_eq!(listed(&world, &quote).await, ["bob"]);
    assert_eq!(in_view(&world, &quote).await, 1);
    let admin = &world.admin().await;
    let rows = "select count(*) = 1 from active_quote_sessions where quote_id = $1";
    eventually("the stale row is swept", || async move {
        admin.query_one(rows, &[&quote.id]).await.is_ok_and(|row| row.get(0))
    })
    .await;
}

#[tokio::test]
async fn a_killed_browser_is_gone_too() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let mut watcher = watch(&world, &quote);
    people_are(&mut watcher, &[]).await;
    let mut browser = Browser::start();
    browser.open("alice", &world.gateway, &world.gateway.token(&ALICE), quote.id).await;
    people_are(&mut watcher, &["alice"]).await;
    browser.kill().await;
    let killed = Instant::now();
    let gone = until_alice_is_gone(&world, &quote, &mut watcher).await - killed;
    assert!(gone < STALE + TOLD, "told after {gone:?}");
    assert_eq!(listed(&world, &quote).await, ["bob"]);
}

/// The next event that is told of anybody: what, and of whom.
async fn told(events: &mut async_nats::Subscriber) -> (String, String) {
    let message = within("a presence event", events.next()).await.expect("NATS goes on");
    let event: Value = serde_json::from_slice(&message.payload).expect("a payload is JSON");
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    (text("eventType"), text("userName"))
}

#[tokio::test]
async fn who_comes_while_nobody_leads_is_told_by_the_next_who_does() {
    let mut world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    let client = world.nats().client().await;
    let mut events = client.subscribe("presence.event.>").await.expect("a subscription");
    client.flush().await.expect("NATS knows the subscription");
    eventually("the first leads", || async { world.gateway.log().contains("relaying as epoch") }).await;
    let other = Gateway::start(&world.postgres, world.nats.as_ref()).await;
    join(&world, &ALICE, &quote).await;
    assert_eq!(told(&mut events).await, ("USER_JOINED".to_owned(), ALICE.name.to_owned()));
    tokio::time::sleep(NEWCOMER).await;
    world.gateway.kill();
    world.gateway = other;
    join(&world, &BOB, &quote).await;
    assert!(!world.gateway.log().contains("relaying as epoch"), "nobody leads yet");
    assert_eq!(told(&mut events).await, ("USER_JOINED".to_owned(), BOB.name.to_owned()), "and nobody twice");
}

#[tokio::test]
async fn a_list_that_would_grow_by_its_names_is_refused_before_it_is_made() {
    let world = World::start().await;
    let quote = world.quote_of(TENANT).await;
    // As long as a name may be.
    let name: &'static str = "\u{1f9fe}".repeat(250).leak();
    let joins: String = (0..20)
        .map(|n| format!("j{n}: joinQuoteSession(input: {{ quoteId: \"{}\" }}) {{ sessionId }} ", quote.id))
        .collect::<Vec<_>>()
        .concat();
    for _ in 0..7 {
        let person = Person { id: uuid::Uuid::now_v7(), name, ..ALICE };
        let token = world.gateway.token(&person);
        let joined = ask(&world.gateway, &token, &format!("mutation {{ {joins} }}"), json!({})).await;
        assert!(joined.data("j19").is_object());
    }
    let list = |names: usize| {
        let names: Vec<String> = (0..names).map(|n| format!("n{n}: userName e{n}: joinedAt")).collect();
        format!(
            "subscription ($id: ID!) {{ presenceUpdated(quoteId: $id) {{ activeUsers {{ {} }} }} }}",
            names.join(" ")
        )
    };
    let mut wire = Wire::open(&world.gateway, &BOB).await;
    wire.begin("all", &list(1), &json!({ "id": quote.id })).await;
    let all = async {
        while wire.message().await["payload"]["data"]["presenceUpdated"]["activeUsers"][139].is_null() {}
    };
    within("everybody is told", all).await;
    wire.tell(&json!({ "type": "complete", "id": "all" })).await;
    for (names, code) in [(20, None), (30, Some("PAYLOAD_TOO_LARGE")), (31, Some("BAD_USER_INPUT"))] {
        let id = names.to_string();
        wire.begin(&id, &list(names), &json!({ "id": quote.id })).await;
        let message = wire.message().await;
        assert_eq!(
            (&message["id"], message["payload"][0]["extensions"]["code"].as_str()),
            (&json!(id), code)
        );
        wire.tell(&json!({ "type": "complete", "id": id })).await;
    }
}
