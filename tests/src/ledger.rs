//! What must have been told, read from the history, held against what was told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::nats::Nats;
use crate::patience::within;
use crate::world::World;

/// The stream of the relay.
const STREAM: &str = "QUOTE_EVENTS";

/// One event as somebody was told it: identity, row and version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Told {
    /// Identity of the event.
    pub event: String,
    /// The quote, or the line.
    pub row: String,
    /// Version of that row after the change; none for a deletion.
    pub version: Option<i64>,
}

/// Every committed change behind a place in the history.
#[derive(Debug)]
pub struct Ledger {
    events: BTreeSet<Told>,
}

impl Told {
    /// An event of a subscription or a payload on NATS.
    #[must_use]
    pub fn of(event: &Value) -> Self {
        let text = |name: &str| event[name].as_str().map(str::to_owned);
        Self {
            event: text("eventId").unwrap_or_else(|| panic!("an event without identity: {event}")),
            row: text("lineId").or_else(|| text("quoteId")).expect("an event is about a row"),
            version: event["version"].as_i64(),
        }
    }
}

/// The end of the history now.
pub async fn position(world: &World) -> i64 {
    let end = "select coalesce(max(position), 0) from quote_changes";
    world.admin().await.query_one(end, &[]).await.expect("the history is read").get(0)
}

impl Ledger {
    /// Reads what was committed behind a position.
    pub async fn behind(world: &World, position: i64) -> Self {
        let query =
            "select distinct event_id::text, coalesce(quote_line_id, quote_id)::text, entity_version_after
            from quote_changes where position > $1 and not coalesce(was_conflict, false)";
        let rows = world.admin().await.query(query, &[&position]).await.expect("the history is read");
        let version = |row: &tokio_postgres::Row| row.get::<_, Option<i32>>(2).map(i64::from);
        let events = rows
            .iter()
            .map(|row| Told { event: row.get(0), row: row.get(1), version: version(row) })
            .collect();
        Self { events }
    }

    /// How many events there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether this event was committed.
    #[must_use]
    pub fn has(&self, told: &Told) -> bool {
        self.events.contains(told)
    }

    /// Every event once, nothing else, per row in version order.
    pub fn must_equal(&self, told: &[Told], who: &str) {
        let mut times: HashMap<&Told, usize> = HashMap::new();
        for one in told {
            *times.entry(one).or_default() += 1;
        }
        let lost: Vec<_> = self.events.iter().filter(|event| !times.contains_key(event)).collect();
        let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
        let phantom: Vec<_> = times.keys().filter(|event| !self.has(event)).collect();
        let summary =
            format!("{who}: lost {}, repeated {}, phantom {}", lost.len(), repeated.len(), phantom.len());
        let first = (lost.first(), repeated.first(), phantom.first());
        assert!(
            lost.is_empty() && repeated.is_empty() && phantom.is_empty(),
            "{summary}, for example {first:?}"
        );
        in_version_order(told, who);
    }
}

fn in_version_order(told: &[Told], who: &str) {
    let mut last: BTreeMap<&str, i64> = BTreeMap::new();
    for Told { row, version, event } in told {
        let Some(version) = *version else { continue };
        let before = last.insert(row, version);
        assert!(
            before.is_none_or(|before| before < version),
            "{who}: {event} of {row}: {version} after {before:?}"
        );
    }
}

/// Events as SQL hands them out, from the beginning of the history and of headers alone: each once, as many as were recorded, and the versions of each row
/// without a gap, in order.
pub fn must_be_whole(events: &[Value], recorded: i64) {
    let ids: HashSet<&str> = events.iter().filter_map(|event| event["event_id"].as_str()).collect();
    assert_eq!(ids.len(), events.len(), "nothing twice");
    assert_eq!(i64::try_from(ids.len()).ok(), Some(recorded), "nothing lost");
    let mut versions: HashMap<&str, i64> = HashMap::new();
    for event in events {
        let version = event["version_after"].as_i64().expect("a version");
        let before = versions.insert(event["quote_id"].as_str().expect("a quote"), version).unwrap_or(1);
        assert_eq!(version, before + 1, "in version order per row");
    }
}

/// Every message of the stream, oldest first, once it has at least so many.
pub async fn stream(nats: &Nats, at_least: usize) -> Vec<Told> {
    let context = jetstream::new(nats.client().await);
    let stream = within("the stream is there", context.get_stream(STREAM)).await.expect("the relay's stream");
    let config = OrderedConfig { deliver_policy: DeliverPolicy::All, ..OrderedConfig::default() };
    let consumer = within("a consumer", stream.create_consumer(config)).await.expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages");
    let mut told = Vec::new();
    let mut pending = u64::MAX;
    while told.len() < at_least || pending > 0 {
        let message = within("a message of the stream", messages.next()).await.expect("the stream goes on");
        let message = message.expect("a message");
        pending = message.info().expect("a message of a stream").pending;
        told.push(Told::of(&serde_json::from_slice(&message.payload).expect("a payload is JSON")));
    }
    told
}
