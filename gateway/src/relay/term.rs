//! One term of leadership.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;
use uuid::Uuid;

use super::encode::{encode, encode_resync};
use super::resume::{Resync, resume};
use super::{LEASE_LIFE, LEASE_RENEWAL, RelayError, RelayState};
use crate::cursor::{Cursor, Lineage};
use crate::portion::Portion;
use crate::ports::{BusError, ChangeBus, ChangeLog, Checkpoint, Epoch, Logged, Message, Opened, Page};
use crate::telemetry::gauge;

/// Events of one read. Reading a large batch in few large pieces is what lets a relay catch up after a long outage.
const READ_EVENTS: u16 = 4_000;
/// Bytes of all reads at once.
const READ_BYTES: usize = 4 << 20;
/// Events of one publication, sent before the first acknowledgement is awaited.
const PUBLICATION: usize = 500;
/// Batches of one round beyond the first.
const BATCHES_AHEAD: i64 = 7;
/// So many of them are read at once: large ones must not wait for connections of the gateway's own until their time is up.
const READ_AT_ONCE: usize = 3;
/// How often the lazy copy is renewed at most.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(2);

/// What a relay knows while it leads.
pub struct Term<'a, L, B> {
    log: &'a L,
    bus: &'a B,
    state: &'a RelayState,
    holder: Uuid,
    epoch: Epoch,
    lineage: Lineage,
    cursor: Cursor,
    sequence: u64,
    renewed: Instant,
    noted: (u64, Instant),
}

/// What one round of reads brought.
#[derive(Default)]
struct Read {
    messages: Vec<Message>,
    /// About so many bytes, whatever the messages have left of them.
    bytes: usize,
    /// Where to read on.
    next: Option<Cursor>,
}

impl<'a, L: ChangeLog, B: ChangeBus> Term<'a, L, B> {
    /// Takes the lease, if it is free, finds out where to go on, and tells readers first if they must read again.
    pub async fn begin(
        log: &'a L,
        bus: &'a B,
        state: &'a RelayState,
        holder: Uuid,
    ) -> Result<Option<Self>, RelayError> {
        let renewed = Instant::now();
        let Some(epoch) = log.lease(holder, LEASE_LIFE).await? else { return Ok(None) };
        let lineage = log.lineage().await?;
        let start = resume(log, bus, &lineage).await?;
        let lineage = Lineage { fork: start.fork, ..lineage };
        let mut term = Self {
            log,
            bus,
            state,
            holder,
            epoch,
            lineage,
            cursor: start.cursor,
            sequence: start.sequence,
            renewed,
            noted: (start.sequence, renewed),
        };
        if let Some(reason) = start.resync {
            term.announce_resync(reason).await?;
        }
        // After a failure it is to be seen whether this one does better.
        if state.is_failing() {
            tracing::debug!(epoch = epoch.0, "trying as epoch {}", epoch.0);
        } else {
            tracing::info!(epoch = epoch.0, "relaying as epoch {}", epoch.0);
        }
        Ok(Some(term))
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
        if reason == Resync::Fork {
            self.state.forks();
        }
        let Lineage { cluster, timeline, .. } = &self.lineage;
        let id = format!("resync-{cluster}-{timeline}-{}-{}", self.cursor.batch, self.sequence);
        self.publish(&[encode_resync(self.cursor, id)]).await
    }

    /// Opens a batch, if there is anything new, and copies it. What commits from here on has a wake-up of its own.
    pub async fn copy_new(&mut self) -> Result<(), RelayError> {
        self.renew().await?;
        let asked = Instant::now();
        // Whatever was open before has been copied to its end.
        let next = Cursor { batch: self.cursor.batch + 1, position: 0 };
        let limit = Portion::first(READ_EVENTS, READ_BYTES).at_any_rate(1);
        let opened = self.log.open_batch(self.epoch, &self.lineage, next.batch, limit).await?;
        took("gateway_relay_open_seconds", asked);
        match opened {
            Opened::Batch(number, first) => {
                self.cursor = next;
                batches_waiting(number - next.batch + 1);
                let rest = match first {
                    Some(page) => self.copy_page(page).await?,
                    None => Some(next),
                };
                if let Some(rest) = rest {
                    self.cursor = rest;
                    self.copy_up_to(number).await?;
                }
                batches_waiting(0);
            }
            Opened::Nothing => {}
            Opened::OtherLineage => return Err(RelayError::OtherLineage),
            Opened::LeaseLost => return Err(RelayError::Deposed),
        }
        self.state.is_level(asked);
        self.note(CHECKPOINT_PERIOD).await
    }

    /// Copies events of the cursor's batch; where to read on.
    async fn copy_page(&mut self, page: Page) -> Result<Option<Cursor>, RelayError> {
        let batch = self.cursor.batch;
        self.publish(&self.messages(batch, page.events)?).await?;
        Ok(page.rest.map(|position| Cursor { batch, position }))
    }

    /// Events of a batch as they are published.
    fn messages(&self, batch: i64, events: Vec<Logged>) -> Result<Vec<Message>, RelayError> {
        let largest = self.bus.largest_payload();
        events.into_iter().map(|event| Ok(encode(event, batch, largest, &self.state.truncations)?)).collect()
    }

    /// Copies the rest of the cursor's batch and all batches up to this one.
    pub async fn copy_up_to(&mut self, newest: i64) -> Result<(), RelayError> {
        let mut portion = Portion::first(READ_EVENTS, READ_BYTES);
        loop {
            self.renew().await?;
            let asked = Instant::now();
            let Read { messages, bytes, next } = self.read_ahead(newest, portion).await?;
            took("gateway_relay_read_seconds", asked);
            portion.adapt(messages.len(), bytes);
            // Of a batch that was begun only what is read tells whether it has an end that waits.
            let first = messages.first().map(|message| message.cursor.batch).or(next.map(|next| next.batch));
            batches_waiting(first.map_or(0, |first| newest - first + 1));
            for publication in messages.chunks(PUBLICATION) {
                self.publish(publication).await?;
                self.renew().await?;
            }
            match next {
                Some(next) => self.cursor = next,
                None => break,
            }
        }
        batches_waiting(0);
        Ok(())
    }

    /// The next events up to `newest`. Several batches are read at once: a stream that is filled again needs thousands
    /// of them, and most are small. One that has to be read in pieces is read alone.
    async fn read_ahead(&self, newest: i64, portion: Portion) -> Result<Read, RelayError> {
        let (log, first) = (self.log, self.cursor.batch);
        let ahead = if self.cursor.position == 0 { BATCHES_AHEAD } else { 0 };
        let last = newest.clamp(first, first + ahead);
        let cursors: Vec<_> = std::iter::once(self.cursor)
            .chain((first + 1..=last).map(|batch| Cursor { batch, position: 0 }))
            .collect();
        let limit = |index| {
            if index == 0 { portion.at_any_rate(cursors.len()) } else { portion.at_best(cursors.len()) }
        };
        let reads =
            cursors.iter().enumerate().map(async |(index, after)| log.read(*after, limit(index)).await);
        let reads: Vec<_> = reads.collect();
        let pages: Vec<Page> = stream::iter(reads).buffered(READ_AT_ONCE).try_collect().await?;
        let mut read = Read::default();
        for (Cursor { batch, .. }, page) in cursors.iter().zip(pages) {
            read.bytes += page.bytes;
            read.messages.extend(self.messages(*batch, page.events)?);
            if let Some(position) = page.rest {
                return Ok(Read { next: Some(Cursor { batch: *batch, position }), ..read });
            }
        }
        Ok(Read { next: (last < newest).then_some(Cursor { batch: last + 1, position: 0 }), ..read })
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
        if !messages.is_empty() {
            self.state.works();
        }
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

fn batches_waiting(count: i64) {
    gauge("gateway_relay_batches_waiting", usize::try_from(count).unwrap_or_default());
}

fn took(name: &'static str, since: Instant) {
    metrics::histogram!(name).record(since.elapsed());
}
