use bytes::Bytes;
use quote_collab_core::change::{Change, FieldChange, Operation};
use quote_collab_core::json::JsonText;
use uuid::Uuid;

use super::*;

fn address(quote: u128) -> QuoteAddress {
    QuoteAddress { tenant: Uuid::from_u128(1), quote: Uuid::from_u128(quote) }
}

fn lineage(timeline: i32) -> Lineage {
    Lineage { cluster: "1".to_owned(), timeline, fork: 0 }
}

fn change(address: QuoteAddress, entity: Entity, position: i64) -> Change {
    Change {
        position,
        event_id: Uuid::from_u128(u128::try_from(position).unwrap()),
        tenant_id: address.tenant,
        quote_id: address.quote,
        line_id: None,
        entity,
        operation: Operation::Update,
        actor: None,
        actor_name: None,
        at: "2026-11-22T21:00:00+00:00".to_owned(),
        session_id: None,
        version_before: Some(1),
        version_after: Some(2),
        context: None,
        fields: vec![FieldChange {
            field: "notes".to_owned(),
            old: JsonText::default(),
            new: JsonText::of("x").unwrap(),
        }],
        truncated: false,
    }
}

fn arrival(quote: u128, entity: Entity, batch: i64, position: i64) -> Arrival {
    arrival_of(change(address(quote), entity, position), batch)
}

/// An event whose value has so many bytes.
fn large(position: i64, bytes: usize) -> Arrival {
    let mut change = change(address(1), Entity::Quote, position);
    change.fields[0].new = JsonText::of(&"x".repeat(bytes)).unwrap();
    arrival_of(change, 4)
}

fn arrival_of(change: Change, batch: i64) -> Arrival {
    let (quote, position) = (change.quote_id, change.position);
    let event = EventPayload::of(change);
    Arrival {
        subject: Subject::QuoteEvent(address(quote.as_u128())),
        cursor: Cursor { batch, position },
        lineage: lineage(1),
        payload: Bytes::from(serde_json::to_vec(&event).unwrap()),
    }
}

fn hub() -> Arc<Hub> {
    Hub::new(Cursor { batch: 3, position: 9 }, lineage(1))
}

/// On a socket of its own.
fn subscribe(hub: &Arc<Hub>, address: QuoteAddress, entity: Entity) -> (Subscription, Cursor) {
    hub.subscribe(address, entity, Waiting::default())
}

async fn place(subscription: &mut Subscription) -> Option<(i64, i64)> {
    match subscription.next().await? {
        Delivery::Event(event, _) => Some((event.cursor.cursor.batch, event.cursor.cursor.position)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subscriber_gets_its_quote_behind_the_head_once_and_in_order() {
    let hub = hub();
    let (mut header, head) = subscribe(&hub, address(1), Entity::Quote);
    let (mut lines, _) = subscribe(&hub, address(1), Entity::QuoteLine);
    assert_eq!(head, Cursor { batch: 3, position: 9 });
    for (quote, entity, batch, position) in [
        (1, Entity::Quote, 3, 9),
        (1, Entity::Quote, 3, 10),
        (2, Entity::Quote, 3, 11),
        (1, Entity::QuoteLine, 4, 2),
        (1, Entity::Quote, 3, 10),
        (1, Entity::Quote, 4, 5),
    ] {
        hub.receive(&arrival(quote, entity, batch, position));
    }
    assert_eq!(place(&mut header).await, Some((3, 10)));
    assert_eq!(place(&mut header).await, Some((4, 5)));
    assert_eq!(place(&mut lines).await, Some((4, 2)));
    assert_eq!(hub.head(), Cursor { batch: 4, position: 5 });
    assert!(tokio::time::timeout(std::time::Duration::ZERO, header.next()).await.is_err());
}

#[tokio::test]
async fn a_slow_subscriber_gets_what_was_queued_and_is_told() {
    let hub = hub();
    let (mut slow, _) = subscribe(&hub, address(1), Entity::Quote);
    let (mut other, _) = subscribe(&hub, address(2), Entity::Quote);
    let full = i64::try_from(QUEUE).unwrap();
    for position in 1..=full + 5 {
        hub.receive(&arrival(1, Entity::Quote, 4, position));
    }
    hub.receive(&arrival(2, Entity::Quote, 5, 1));
    for position in 1..=full {
        assert_eq!(place(&mut slow).await, Some((4, position)));
    }
    assert_eq!(slow.next().await, Some(Delivery::Lagged));
    assert_eq!(slow.next().await, None);
    assert_eq!(place(&mut other).await, Some((5, 1)));
}

#[tokio::test]
async fn what_waits_for_a_slow_subscriber_is_bounded_in_bytes_too() {
    let hub = hub();
    let (mut slow, _) = subscribe(&hub, address(1), Entity::Quote);
    // A single event may have any size, and what was taken makes room.
    for position in 1..=3 {
        hub.receive(&large(position, 2 * QUEUE_BYTES));
        assert_eq!(place(&mut slow).await, Some((4, position)));
    }
    let eighth = QUEUE_BYTES / 8;
    for position in 11..=30 {
        hub.receive(&large(position, eighth));
    }
    for position in 11..=17 {
        assert_eq!(place(&mut slow).await, Some((4, position)));
    }
    assert!(matches!(slow.next().await, Some(Delivery::Lagged)));
}

#[tokio::test]
async fn what_waits_on_one_socket_is_bounded_over_all_its_subscriptions() {
    let (hub, socket) = (hub(), Waiting::default());
    let subscribe = |quote| hub.subscribe(address(quote), Entity::Quote, socket.clone()).0;
    let (mut first, mut second, mut third) = (subscribe(1), subscribe(1), subscribe(2));
    let (mut other, _) = self::subscribe(&hub, address(2), Entity::Quote);
    hub.receive(&large(1, QUEUE_BYTES / 2));
    let waiting = socket.bytes();
    assert!((QUEUE_BYTES / 2..QUEUE_BYTES).contains(&waiting), "both queues have the same event");
    let mut elsewhere = change(address(2), Entity::Quote, 2);
    elsewhere.fields[0].new = JsonText::of(&"x".repeat(QUEUE_BYTES / 2)).unwrap();
    hub.receive(&arrival_of(elsewhere, 4));
    assert_eq!(third.next().await, Some(Delivery::Lagged));
    assert_eq!(place(&mut other).await, Some((4, 2)), "another socket has room");
    // What all of its queues have given away, or are gone with, makes room.
    assert_eq!(place(&mut first).await, Some((4, 1)));
    assert_eq!(socket.bytes(), waiting);
    assert_eq!(place(&mut second).await, Some((4, 1)));
    assert_eq!(socket.bytes(), 0);
    hub.receive(&large(3, QUEUE_BYTES / 2));
    drop((first, second));
    assert_eq!(socket.bytes(), 0);
}

#[tokio::test]
async fn a_fork_ends_everybody_and_the_new_history_begins_lower() {
    let hub = hub();
    let (mut before, _) = subscribe(&hub, address(1), Entity::Quote);
    hub.receive(&arrival(1, Entity::Quote, 9, 1));
    let fork = Arrival {
        subject: Subject::Resync,
        cursor: Cursor { batch: 5, position: 1 },
        lineage: lineage(2),
        payload: Bytes::new(),
    };
    hub.receive(&fork);
    assert_eq!(place(&mut before).await, Some((9, 1)));
    assert_eq!(before.next().await, Some(Delivery::Resync));
    let (mut after, head) = subscribe(&hub, address(1), Entity::Quote);
    assert_eq!((head, hub.lineage()), (fork.cursor, lineage(2)));
    hub.receive(&Arrival { lineage: lineage(2), ..arrival(1, Entity::Quote, 6, 1) });
    assert_eq!(place(&mut after).await, Some((6, 1)));
}

#[tokio::test]
async fn what_was_missed_is_told_and_the_feed_goes_on_behind_it() {
    let hub = hub();
    let of_fork = |fork, batch, position| Arrival {
        lineage: Lineage { fork, ..lineage(1) },
        ..arrival(1, Entity::Quote, batch, position)
    };
    let (mut before, _) = subscribe(&hub, address(1), Entity::Quote);
    assert!(!hub.misses_before(&of_fork(0, 3, 8)), "it has had this one");
    assert!(!hub.misses_before(&Arrival { subject: Subject::Resync, ..of_fork(7, 5, 1) }));
    assert!(hub.misses_before(&of_fork(0, 5, 4)));
    assert_eq!(before.next().await, Some(Delivery::Resync));
    let (mut after, head) = subscribe(&hub, address(1), Entity::Quote);
    assert_eq!(head, Cursor { batch: 5, position: 3 });
    hub.receive(&of_fork(0, 5, 4));
    assert_eq!(place(&mut after).await, Some((5, 4)));
    // The announcement of a fork was among what is gone.
    assert!(hub.misses_before(&of_fork(9, 4, 2)));
    assert_eq!(after.next().await, Some(Delivery::Resync));
    let (mut after, _) = subscribe(&hub, address(1), Entity::Quote);
    hub.receive(&of_fork(9, 4, 2));
    assert_eq!(place(&mut after).await, Some((4, 2)));
}

#[tokio::test]
async fn a_database_that_has_less_than_was_told_ends_everybody() {
    let hub = hub();
    let (mut before, _) = subscribe(&hub, address(1), Entity::Quote);
    assert!(!hub.adopt(lineage(2), Cursor::end_of(3)), "it has the head's batch");
    // Whether it is the same batch is to be found out once it tells something.
    let next = Arrival { lineage: lineage(2), ..arrival(1, Entity::Quote, 4, 1) };
    assert!(hub.doubts(&next) && !hub.doubts(&Arrival { subject: Subject::Resync, ..next.clone() }));
    hub.confirm(&lineage(2));
    assert!(!hub.doubts(&next) && !hub.doubts(&arrival(1, Entity::Quote, 4, 1)));
    hub.receive(&next);
    assert_eq!(place(&mut before).await, Some((4, 1)));
    assert!(hub.adopt(lineage(3), Cursor::end_of(2)));
    assert_eq!(before.next().await, Some(Delivery::Resync));
    let (mut after, head) = subscribe(&hub, address(1), Entity::Quote);
    assert_eq!(head, Cursor::end_of(2));
    let next = Arrival { lineage: lineage(3), ..arrival(1, Entity::Quote, 3, 1) };
    assert!(!hub.doubts(&next));
    hub.receive(&next);
    assert_eq!(place(&mut after).await, Some((3, 1)));
}

#[tokio::test]
async fn a_message_of_another_quote_or_without_sense_reaches_nobody() {
    let hub = hub();
    let (mut subscription, _) = subscribe(&hub, address(1), Entity::Quote);
    let foreign = Arrival { subject: Subject::QuoteEvent(address(1)), ..arrival(2, Entity::Quote, 4, 1) };
    hub.receive(&foreign);
    hub.receive(&Arrival { payload: Bytes::from_static(b"{"), ..arrival(1, Entity::Quote, 4, 2) });
    hub.receive(&arrival(1, Entity::Quote, 4, 3));
    assert_eq!(place(&mut subscription).await, Some((4, 3)));
}

#[tokio::test]
async fn a_dropped_subscription_leaves_no_trace() {
    let hub = hub();
    drop(subscribe(&hub, address(1), Entity::Quote));
    assert!(hub.rooms().subscribers.is_empty());
    let (kept, _) = subscribe(&hub, address(1), Entity::Quote);
    hub.resync_all();
    assert!(hub.rooms().subscribers.is_empty());
    drop(kept);
}
