//! A change as the message that is published.

use bytes::Bytes;
use quote_collab_core::change::Change;
use quote_collab_core::payload::EventPayload;
use quote_collab_core::subject::{QuoteAddress, Subject};

use crate::cursor::Cursor;
use crate::ports::Message;

/// Room that headers take of a message's size.
const HEADERS: usize = 1024;

/// Encodes a change. One that the bus cannot carry is told without its values: readers learn what changed and find
/// the values in the history, and everything behind it keeps flowing.
pub fn encode(change: &Change, batch: i64, largest: usize) -> Result<Message, serde_json::Error> {
    let event = EventPayload::of(change);
    let mut payload = serde_json::to_vec(&event)?;
    if payload.len() + HEADERS > largest {
        metrics::counter!("gateway_relay_truncated_total").increment(1);
        tracing::warn!(
            event.id = %change.event_id,
            size_bytes = payload.len(),
            "event {} is too large for the bus and is published without its values",
            change.event_id
        );
        payload = serde_json::to_vec(&event.truncated())?;
    }
    Ok(Message {
        subject: Subject::QuoteEvent(QuoteAddress { tenant: change.tenant_id, quote: change.quote_id }),
        id: change.event_id.to_string(),
        cursor: Cursor { batch, position: change.position },
        payload: Bytes::from(payload),
    })
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
