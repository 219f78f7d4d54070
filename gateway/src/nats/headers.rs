//! The headers of a message in the stream: its place and its history.
//!
//! They are headers and not payload because they belong to the delivery, not to the event: a reader that only wants
//! events need not know them.

use async_nats::{HeaderMap, header};

use crate::cursor::{Cursor, Lineage};
use crate::ports::{BusError, Message};

const BATCH: &str = "Quote-Batch";
const POSITION: &str = "Quote-Position";
const CLUSTER: &str = "Quote-Cluster";
const TIMELINE: &str = "Quote-Timeline";
const FORK: &str = "Quote-Fork";

/// Headers of a message that may be stored only behind message number `sequence`.
pub fn write(message: &Message, lineage: &Lineage, sequence: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, message.id.as_str());
    headers.insert(BATCH, message.cursor.batch.to_string());
    headers.insert(POSITION, message.cursor.position.to_string());
    headers.insert(CLUSTER, lineage.cluster.as_str());
    headers.insert(TIMELINE, lineage.timeline.to_string());
    headers.insert(FORK, lineage.fork.to_string());
    headers.insert(header::NATS_EXPECTED_LAST_SEQUENCE, sequence.to_string());
    headers
}

/// Identity, place and history of a stored message.
pub fn read(headers: &HeaderMap) -> Result<(String, Cursor, Lineage), BusError> {
    let text = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    let cursor = Cursor {
        batch: number(text(BATCH)).ok_or(BusError::Foreign("it has no batch"))?,
        position: number(text(POSITION)).ok_or(BusError::Foreign("it has no position"))?,
    };
    let lineage = Lineage {
        cluster: text(CLUSTER).ok_or(BusError::Foreign("it has no cluster"))?.to_owned(),
        timeline: number(text(TIMELINE)).ok_or(BusError::Foreign("it has no timeline"))?,
        // A release that knew no forks has written none.
        fork: number(text(FORK)).unwrap_or_default(),
    };
    let id = text("Nats-Msg-Id").ok_or(BusError::Foreign("it has no id"))?.to_owned();
    Ok((id, cursor, lineage))
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quote_collab_core::subject::Subject;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let lineage = Lineage { cluster: "7300000000000000001".to_owned(), timeline: 3, fork: 40 };
        let cursor = Cursor { batch: 17, position: i64::MAX };
        let message = Message { subject: Subject::Resync, id: "x".to_owned(), cursor, payload: Bytes::new() };
        let headers = write(&message, &lineage, 41);
        assert_eq!(read(&headers).unwrap(), ("x".to_owned(), cursor, lineage));
        assert_eq!(headers.get("Nats-Expected-Last-Sequence").unwrap().as_str(), "41");
        let error = read(&HeaderMap::new()).unwrap_err();
        assert_eq!(error.to_string(), "the bus holds a message that no relay published: it has no batch");
    }
}
