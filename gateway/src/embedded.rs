//! A bus inside this process, for a gateway without NATS: what the relay publishes goes straight to the hub.
//!
//! It keeps the same promise as the stream for as long as the process lives. What it forgets at a restart, subscribers
//! fetch from PostgreSQL with their cursor.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use quote_collab_core::subject::Subject;

use crate::cursor::{Cursor, Lineage};
use crate::hub::Hub;
use crate::ports::{Accepted, Arrival, BusError, ChangeBus, Message, Tail, TailMessage};

/// An event of this size is told without its values, as a server of NATS with a generous limit would have it.
const LARGEST_PAYLOAD: usize = 8 << 20;

/// The bus.
pub struct EmbeddedBus {
    hub: Arc<Hub>,
    tail: Mutex<Tail>,
}

impl EmbeddedBus {
    /// A bus that begins behind this place.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, cursor: Cursor, lineage: Lineage) -> Self {
        // Like an announcement, the beginning has a place but is no event that the log could know.
        let fork = lineage.fork;
        let beginning = TailMessage { id: String::new(), is_resync: true, cursor, lineage };
        let tail = Tail { sequence: 1, last: Some(beginning), fork, remembered: None, is_torn: false };
        Self { hub, tail: Mutex::new(tail) }
    }
}

impl ChangeBus for EmbeddedBus {
    async fn tail(&self) -> Result<Tail, BusError> {
        Ok(self.tail.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn publish(
        &self,
        messages: &[Message],
        lineage: &Lineage,
        sequence: u64,
    ) -> Result<Accepted, BusError> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.sequence != sequence {
            return Err(BusError::Fenced);
        }
        for Message { subject, id, cursor, payload } in messages {
            let (subject, cursor, lineage, fork) = (*subject, *cursor, lineage.clone(), lineage.fork);
            self.hub.receive(&Arrival {
                subject,
                cursor,
                lineage: lineage.clone(),
                payload: payload.clone(),
            });
            let is_resync = subject == Subject::Resync;
            tail.last = Some(TailMessage { id: id.clone(), is_resync, cursor, lineage });
            tail.sequence += 1;
            tail.fork = fork;
        }
        Ok(Accepted { count: messages.len(), sequence: tail.sequence })
    }

    /// Nobody outside listens; subscribers get presence from the board.
    async fn announce(&self, _subject: Subject, _payload: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    async fn announcements(&self) -> Result<BoxStream<'static, Bytes>, BusError> {
        Ok(stream::pending().boxed())
    }

    fn largest_payload(&self) -> usize {
        LARGEST_PAYLOAD
    }
}
