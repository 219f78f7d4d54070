//! One term of leadership.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::encode::{encode, encode_resync};
use super::resume::{Resync, resume};
use super::{LEASE_LIFE, LEASE_RENEWAL, RelayError};
use crate::cursor::{Cursor, Lineage};
use crate::ports::{BusError, ChangeBus, ChangeLog, Checkpoint, Epoch, Message, Opened};

/// Events of one publication, sent before the first acknowledgement is awaited.
const PUBLICATION: usize = 500;
/// Events of one read. Reading a large batch in few large pieces is what lets a relay catch up after a long outage.
const LARGEST_READ: u16 = 4_000;
/// A first read is small, because nobody knows yet how large the events are.
const FIRST_READ: u16 = 250;
/// Batches read at once beyond the first.
const BATCHES_AHEAD: i64 = 7;
/// A read of more bytes than this makes the next one smaller.
const READ_BYTES: usize = 4 << 20;
/// How often the lazy copy is renewed at most.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(2);

/// What a relay knows while it leads.
pub struct Term<'a, L, B> {
    log: &'a L,
    bus: &'a B,
    holder: Uuid,
    epoch: Epoch,
    lineage: Lineage,
    cursor: Cursor,
    sequence: u64,
    limit: u16,
    renewed: Instant,
    noted: (u64, Instant),
}

impl<'a, L: ChangeLog, B: ChangeBus> Term<'a, L, B> {
    /// Finds out where to go on, and tells readers first if they must read again.
    pub async fn begin(log: &'a L, bus: &'a B, holder: Uuid, epoch: Epoch) -> Result<Self, RelayError> {
        let renewed = Instant::now();
        let lineage = log.lineage().await?;
        let start = resume(log, bus, &lineage).await?;
        let mut term = Self {
            log,
            bus,
            holder,
            epoch,
            lineage,
            cursor: start.cursor,
            sequence: start.sequence,
            limit: FIRST_READ,
            renewed,
            noted: (start.sequence, renewed),
        };
        if let Some(reason) = start.resync {
            term.announce_resync(reason).await?;
        }
        Ok(term)
    }

    /// The announcement stands in the stream itself, under the new history, so the next term finds it there. No batch
    /// is opened before it: until then the log's last batch tells where the histories part.
    async fn announce_resync(&mut self, reason: Resync) -> Result<(), RelayError> {
        metrics::counter!("gateway_relay_resyncs_total").increment(1);
        tracing::error!(
            ?reason,
            relay.batch = self.cursor.batch,
            "the stream and the database do not have the same history ({reason:?}): every reader is told to read again"
        );
        let Lineage { cluster, timeline } = &self.lineage;
        let id = format!("resync-{cluster}-{timeline}-{}-{}", self.cursor.batch, self.sequence);
        self.publish(&[encode_resync(self.cursor, id)]).await
    }

    /// Opens a batch and copies it; false when there was nothing new.
    pub async fn copy_new(&mut self, stop: &CancellationToken) -> Result<bool, RelayError> {
        self.renew().await?;
        let asked = Instant::now();
        let opened = self.log.open_batch(self.epoch, &self.lineage).await?;
        took("gateway_relay_open_seconds", asked);
        match opened {
            Opened::Batch(number) => {
                // Whatever was open before has been copied to its end.
                self.cursor = Cursor { batch: self.cursor.batch + 1, position: 0 };
                self.copy_up_to(number, stop).await?;
                self.note(CHECKPOINT_PERIOD).await?;
                Ok(true)
            }
            Opened::Nothing => {
                self.note(CHECKPOINT_PERIOD).await?;
                Ok(false)
            }
            Opened::OtherLineage => Err(RelayError::OtherLineage),
        }
    }

    /// Copies the rest of the cursor's batch and all batches up to this one.
    pub async fn copy_up_to(&mut self, newest: i64, stop: &CancellationToken) -> Result<(), RelayError> {
        while !stop.is_cancelled() {
            self.renew().await?;
            let asked = Instant::now();
            let (messages, next) = self.read_ahead(newest).await?;
            took("gateway_relay_read_seconds", asked);
            self.adapt(&messages);
            for publication in messages.chunks(PUBLICATION) {
                self.publish(publication).await?;
                self.renew().await?;
            }
            match next {
                Some(next) => self.cursor = next,
                None => break,
            }
        }
        Ok(())
    }

    /// The next events up to `newest`, and where to read on. Several batches are read at once: a stream that is filled
    /// again needs thousands of them, and most are small.
    async fn read_ahead(&self, newest: i64) -> Result<(Vec<Message>, Option<Cursor>), RelayError> {
        let (log, limit, largest) = (self.log, self.limit, self.bus.largest_payload());
        let first = self.cursor.batch;
        let last = newest.clamp(first, first + BATCHES_AHEAD);
        let beginnings = (first + 1..=last).map(|batch| Cursor { batch, position: 0 });
        let reads =
            std::iter::once(self.cursor).chain(beginnings).map(async |after| log.read(after, limit).await);
        let mut messages = Vec::new();
        for (batch, page) in (first..=last).zip(try_join_all(reads).await?) {
            for event in page.events {
                messages.push(encode(event, batch, largest)?);
            }
            if let Some(position) = page.rest {
                return Ok((messages, Some(Cursor { batch, position })));
            }
        }
        Ok((messages, (last < newest).then_some(Cursor { batch: last + 1, position: 0 })))
    }

    /// Keeps what one read brings into memory near a few megabytes.
    fn adapt(&mut self, messages: &[Message]) {
        let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
        let full = messages.len() >= usize::from(self.limit);
        if bytes > READ_BYTES {
            self.limit = (self.limit / 2).max(1);
        } else if full && bytes < READ_BYTES / 8 {
            self.limit = self.limit.saturating_mul(4).min(LARGEST_READ);
        }
    }

    async fn publish(&mut self, messages: &[Message]) -> Result<(), RelayError> {
        let asked = Instant::now();
        let mut rest = messages;
        while !rest.is_empty() {
            let accepted = self.bus.publish(rest, &self.lineage, self.sequence).await?;
            let last =
                accepted.count.checked_sub(1).and_then(|last| rest.get(last)).ok_or(BusError::Fenced)?;
            self.cursor = last.cursor;
            self.sequence = accepted.sequence;
            rest = &rest[accepted.count..];
        }
        took("gateway_relay_publish_seconds", asked);
        metrics::counter!("gateway_relay_published_total").increment(messages.len() as u64);
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), RelayError> {
        if self.renewed.elapsed() < LEASE_RENEWAL {
            return Ok(());
        }
        let asked = Instant::now();
        if self.log.lease(self.holder, LEASE_LIFE).await? != Some(self.epoch) {
            return Err(RelayError::Deposed);
        }
        self.renewed = asked;
        Ok(())
    }

    async fn note(&mut self, period: Duration) -> Result<(), RelayError> {
        let (sequence, at) = self.noted;
        if self.sequence > sequence && at.elapsed() >= period {
            let checkpoint = Checkpoint { cursor: self.cursor, sequence: self.sequence };
            self.log.save_checkpoint(self.epoch, checkpoint).await?;
            self.noted = (self.sequence, Instant::now());
        }
        Ok(())
    }

    /// Ends the term in order.
    pub async fn finish(mut self) -> Result<(), RelayError> {
        self.note(Duration::ZERO).await
    }
}

fn took(name: &'static str, since: Instant) {
    metrics::histogram!(name).record(since.elapsed());
}
