//! A change as the message that is published.

use bytes::Bytes;
use quote_collab_core::payload::EventPayload;
use quote_collab_core::subject::{QuoteAddress, Subject};

use crate::cursor::Cursor;
use crate::ports::{Logged, Message};
use crate::seldom::Seldom;

/// Room that headers take of a message's size: ours are about three hundred bytes.
const HEADERS: usize = 512;

/// Encodes a change. One that the bus cannot carry is told without its values: readers learn what changed and find
/// the values in the history, and everything behind it keeps flowing.
pub fn encode(
    event: Logged,
    batch: i64,
    largest: usize,
    truncations: &Seldom,
) -> Result<Message, serde_json::Error> {
    let cursor = Cursor { batch, position: event.change.position };
    if !event.is_whole {
        let id = event.change.event_id;
        metrics::counter!("gateway_relay_truncated_total").increment(1);
        tracing::error!(event.id = %id, "event {id} is not written as agreed and is published without its values");
    }
    let event = event.payload();
    let (id, address) =
        (event.event_id.to_string(), QuoteAddress { tenant: event.tenant_id, quote: event.quote_id });
    let payload = Bytes::from(fitting(event, largest, truncations)?);
    Ok(Message { subject: Subject::QuoteEvent(address), id, cursor, payload })
}

/// The most of an event that the bus can carry. What is left of a bare one is tried in any case: then only the bus can
/// say no.
fn fitting(event: EventPayload, largest: usize, truncations: &Seldom) -> Result<Vec<u8>, serde_json::Error> {
    let fits = |payload: &[u8]| payload.len() + HEADERS <= largest;
    let payload = serde_json::to_vec(&event)?;
    if fits(&payload) {
        return Ok(payload);
    }
    metrics::counter!("gateway_relay_truncated_total").increment(1);
    if let Some(others) = truncations.tell("too large") {
        tracing::warn!(
            event.id = %event.event_id,
            size_bytes = payload.len(),
            "event {} is too large for the bus and is published without its values, as {others} before it were that were not told \
            of; others are only counted for a minute",
            event.event_id
        );
    }
    let event = event.truncated();
    let payload = serde_json::to_vec(&event)?;
    if fits(&payload) { Ok(payload) } else { serde_json::to_vec(&event.bare()) }
}

/// The message that tells everybody to read again.
pub fn encode_resync(cursor: Cursor, id: String) -> Message {
    Message {
        subject: Subject::Resync,
        id,
        cursor,
        payload: Bytes::from_static(br#"{"eventType":"RESYNC_REQUIRED"}"#),
    }
}
