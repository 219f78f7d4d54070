//! What relay, reader and presence need from the world, in their own words: a log to read and a bus to publish to.
//!
//! PostgreSQL is the only log; the bus is NATS `JetStream`, or this process itself for a gateway that runs alone.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use quote_collab_core::change::Change;
use quote_collab_core::payload::EventPayload;
use quote_collab_core::subject::Subject;
use uuid::Uuid;

use crate::cursor::{Cursor, Lineage};
use crate::portion::Portion;
use crate::postgres::DatabaseError;

/// Proof of the lease: it grows each time the lease changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub i64);

/// What asking for a new batch gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// A batch of this number is committed and may be read. Its first events come with it when it is the one that was
    /// expected.
    Batch(i64, Option<Page>),
    /// Nothing new.
    Nothing,
    /// The database answering now is not the one the lease was taken in, or it has been put back: it does not have the
    /// batches that were open before. Nothing was opened.
    OtherLineage,
    /// Another relay has taken the lease. Nothing was opened.
    LeaseLost,
}

/// A change as the log has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// What happened.
    pub change: Change,
    /// It is written as agreed. What is not is told without its values.
    pub is_whole: bool,
}

/// What one read may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// So many events.
    pub events: u16,
    /// So many bytes.
    pub bytes: usize,
    /// The first event comes whatever its size.
    pub first_at_any_rate: bool,
}

/// Events of one read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In order.
    pub events: Vec<Logged>,
    /// About so many bytes.
    pub bytes: usize,
    /// Behind this position there may be more; none at the end of the batch.
    pub rest: Option<i64>,
}

/// The lazy copy of the bus's end, for a stream that has been emptied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last event published.
    pub cursor: Cursor,
    /// Its sequence number in the stream.
    pub sequence: u64,
}

/// The committed events, in the order in which they are to be told.
pub trait ChangeLog: Send + Sync + 'static {
    /// Which history this is.
    fn lineage(&self) -> impl Future<Output = Result<Lineage, DatabaseError>> + Send;
    /// Takes or renews the lease; none while another relay has it.
    fn lease(
        &self,
        holder: Uuid,
        life: Duration,
    ) -> impl Future<Output = Result<Option<Epoch>, DatabaseError>> + Send;
    /// Closes what is new and visible into a batch, durably, and reads the first events of it, if its number is the one
    /// that is expected. A log that has no batch before that one has been put back.
    fn open_batch(
        &self,
        epoch: Epoch,
        lineage: &Lineage,
        expected: i64,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<Opened, DatabaseError>> + Send;
    /// Number of the oldest batch kept, 0 when there is none.
    fn first_batch(&self) -> impl Future<Output = Result<i64, DatabaseError>> + Send;
    /// Number of the newest batch, 0 when there is none.
    fn last_batch(&self) -> impl Future<Output = Result<i64, DatabaseError>> + Send;
    /// The next events of the cursor's batch behind its position.
    fn read(
        &self,
        after: Cursor,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<Page, DatabaseError>> + Send;
    /// Whether the log has this event at its place: none when it has nothing there any more. An announcement has the place
    /// of the event before it and an identity of its own: it says nothing about the log.
    fn knows(
        &self,
        message: &TailMessage,
    ) -> impl Future<Output = Result<Option<bool>, DatabaseError>> + Send {
        async move {
            if message.is_resync {
                return Ok(None);
            }
            let limit = Portion::first(1, 0).at_any_rate(1);
            let there = self.read(message.cursor.before(), limit).await?;
            Ok(there.events.first().map(|event| event.change.event_id.to_string() == message.id))
        }
    }
    /// The lazy copy.
    fn checkpoint(&self) -> impl Future<Output = Result<Checkpoint, DatabaseError>> + Send;
    /// Renews the lazy copy.
    fn save_checkpoint(
        &self,
        epoch: Epoch,
        checkpoint: Checkpoint,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;
}

impl Logged {
    /// The event it is told as.
    #[must_use]
    pub fn payload(self) -> EventPayload {
        EventPayload::of(self.change)
    }
}

/// An event on its way to the bus.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where to.
    pub subject: Subject,
    /// Identity, by which the bus refuses to take it twice.
    pub id: String,
    /// Its place in the feed.
    pub cursor: Cursor,
    /// The JSON.
    pub payload: Bytes,
}

/// An event as it comes from the bus.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where from.
    pub subject: Subject,
    /// Its place in the feed.
    pub cursor: Cursor,
    /// The history it belongs to.
    pub lineage: Lineage,
    /// The JSON.
    pub payload: Bytes,
}

/// The end of what the bus has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Number of the last message that ever was; the next publication names it.
    pub sequence: u64,
    /// The last message that is still there.
    pub last: Option<TailMessage>,
    /// The last fork, as far as the bus knows.
    pub fork: u64,
    /// Where nothing is there any more: the last message that this process knows was.
    pub remembered: Option<TailMessage>,
    /// Somebody else published in the middle of a publication of this process: behind his message stands what follows an event that is missing.
    pub is_torn: bool,
}

/// The last message of the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailMessage {
    /// Identity of the event.
    pub id: String,
    /// Whether it is no event but the announcement that everybody reads again.
    pub is_resync: bool,
    /// Its place in the feed.
    pub cursor: Cursor,
    /// The history it belongs to.
    pub lineage: Lineage,
}

/// How far a publication came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// So many messages, from the first on, are in the bus for good.
    pub count: usize,
    /// Number of the last message of the bus.
    pub sequence: u64,
}

/// Why the bus did not take a message.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Not connected, no answer in time, no stream.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(String),
    /// The bus carries less than it said when the message was made.
    #[error("the bus refuses a message of this size")]
    TooLarge,
    /// There is no room for a message.
    #[error("the bus has no room: {0}")]
    Full(String),
    /// Another relay has published since the tail was read.
    #[error("another relay has published")]
    Fenced,
    /// Somebody who is no relay has published in the middle of a publication, and an event is missing.
    #[error("somebody else has published in the middle of a publication")]
    Torn,
    /// The bus holds something that is not ours.
    #[error("the bus holds a message that no relay published: {0}")]
    Foreign(&'static str),
}

/// Where events go.
pub trait ChangeBus: Send + Sync + 'static {
    /// The end of what the bus has.
    fn tail(&self) -> impl Future<Output = Result<Tail, BusError>> + Send;
    /// Appends messages, all or the first few, if the bus still ends at `sequence`.
    fn publish(
        &self,
        messages: &[Message],
        lineage: &Lineage,
        sequence: u64,
    ) -> impl Future<Output = Result<Accepted, BusError>> + Send;
    /// Tells something once to whoever listens now; nobody keeps it.
    fn announce(&self, subject: Subject, payload: Bytes)
    -> impl Future<Output = Result<(), BusError>> + Send;
    /// What anybody tells so from now on, this gateway included.
    fn announcements(&self) -> impl Future<Output = Result<BoxStream<'static, Bytes>, BusError>> + Send;
    /// Largest message, headers included, as far as is known; each look at the end learns it anew.
    fn largest_payload(&self) -> usize;
}
