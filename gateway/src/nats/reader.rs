//! The hub's reader: a consumer of its own on the whole stream.
//!
//! The hub drops what it has had, so the only mistake possible here is to pass over a message. Whenever a consumer is
//! made, the place to begin is proved against what the stream holds now: the server may have been restarted, may have
//! lost its tail, or may be another one whose relay has filled it from the beginning. A consumer therefore never
//! outlives the stream it was made on, and no message is handed on whose number is not the next one: what cannot be
//! proved to follow makes everybody read again.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Info, Stream};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use quote_collab_core::subject::Subject;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::beginning::{Beginning, Held, Progress, Proof, Seen, beginning};
use super::bus::NatsBus;
use super::connection::{NatsConnection, REQUEST_TIMEOUT};
use super::headers;
use super::stream::{by_number, unreachable};
use crate::backoff::{Backoff, jittered};
use crate::cursor::{Cursor, Lineage};
use crate::hub::Hub;
use crate::ports::{Arrival, BusError, ChangeBus, ChangeLog, Tail, TailMessage};
use crate::postgres::DatabaseError;

/// A stream that has been silent for so long is looked at: it may have been emptied, or be another one.
const SILENCE: Duration = Duration::from_secs(1);
/// What the stream has is here so much later at most: in a cluster other servers than the one that answers send it.
const ON_THE_WAY: Duration = Duration::from_millis(500);
/// How long a database that is another than a message says is believed.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// How often messages that are not delivered are told of in the log; a metric counts each.
const TOLD_AGAIN: Duration = Duration::from_mins(1);
/// So many messages are asked for by their numbers before a consumer is made for those behind them.
const FETCHED: u64 = 256;
/// So many of these at once.
const AT_ONCE: usize = 8;
/// No more are asked for once they have so many bytes.
const FETCHED_BYTES: usize = 4 << 20;

/// Reads the stream for the hub.
pub struct StreamReader<L> {
    connection: NatsConnection,
    bus: NatsBus,
    log: L,
    hub: Arc<Hub>,
    /// The database whose events these are, as it called itself when it was asked, and when it last was.
    database: (String, Option<Instant>),
    /// Messages of another database came since the last of this one: perhaps this gateway has not heard yet that its database moved.
    others: bool,
    /// When a message that is not delivered was last told of.
    told: Option<Instant>,
    /// The message that the hub's head is the place of, as far as one is known.
    head: Option<TailMessage>,
    progress: Progress,
    /// The number that comes next.
    next: u64,
    proof: Proof,
}

/// A message of the stream, whichever way it came.
#[derive(Clone, Copy)]
struct Stored<'a> {
    sequence: u64,
    subject: &'a str,
    headers: Option<&'a HeaderMap>,
    payload: &'a Bytes,
}

impl<'a> Stored<'a> {
    /// As a consumer brings it.
    fn read(message: &'a async_nats::jetstream::Message) -> Result<Self, BusError> {
        let sequence = message.info().map_err(|error| unreachable(&error))?.stream_sequence;
        let headers = message.headers.as_ref();
        Ok(Self { sequence, subject: &message.subject, headers, payload: &message.payload })
    }
}

impl<'a> From<&'a StreamMessage> for Stored<'a> {
    fn from(StreamMessage { sequence, subject, headers, payload, .. }: &'a StreamMessage) -> Self {
        Self { sequence: *sequence, subject, headers: Some(headers), payload }
    }
}

/// Why reading ended.
#[derive(Debug, thiserror::Error)]
enum ReaderError {
    /// The stream.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The database, which had to say which history it has.
    #[error(transparent)]
    Log(#[from] DatabaseError),
}

impl<L: ChangeLog> StreamReader<L> {
    /// A reader for a hub whose head was taken from this end of the stream, if it could be reached then.
    #[must_use]
    pub fn new(connection: NatsConnection, bus: NatsBus, log: L, hub: Arc<Hub>, tail: Option<&Tail>) -> Self {
        let seen =
            tail.and_then(|tail| Some(Seen { sequence: tail.sequence, cursor: tail.last.as_ref()?.cursor }));
        let progress = Progress { seen, read: tail.map(|tail| tail.sequence), made: None };
        let head = tail.and_then(|tail| tail.last.clone());
        let database = (hub.lineage().cluster, None);
        let (others, told, next, proof) = (false, None, 0, Proof::Nothing);
        Self { connection, bus, log, hub, database, others, told, head, progress, next, proof }
    }

    /// Reads until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.clone().run_until_cancelled(self.keep_reading()).await;
    }

    async fn keep_reading(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            if !self.connection.wait_connected(Duration::from_mins(1)).await {
                continue;
            }
            let begun = Instant::now();
            let ended = self.read(&mut backoff).await;
            backoff.reset_if_lasting(begun.elapsed());
            self.connection.set_streaming(false);
            match ended {
                Ok(()) => tracing::debug!("reading the stream again"),
                Err(error) => {
                    metrics::counter!("gateway_hub_reader_errors_total").increment(1);
                    tracing::warn!("reading the stream ended: {error}");
                }
            }
            sleep(backoff.delay()).await;
        }
    }

    /// Reads until the connection, the consumer or the stream is another: a consumer does not outlive a restart of the
    /// server, and waiting for it to be missed would take as long as its heartbeat.
    async fn read(&mut self, backoff: &mut Backoff) -> Result<(), ReaderError> {
        let mut state = self.connection.state();
        state.mark_unchanged();
        let stream = self.bus.stream().await?;
        let Beginning { sequence, proof, .. } = self.begin(&stream).await?;
        let made = made_at(stream.cached_info());
        let fetched = fetch(&stream, sequence).await?;
        // Messages and consumers are of the stream that was looked at, or of one that has taken its place since.
        if !fetched.is_empty() && made_at(&info(&stream).await?) != made {
            return Ok(());
        }
        self.progress.begins(made, sequence, proof);
        (self.next, self.proof) = (sequence, proof);
        for message in fetched {
            self.take(Stored::from(&message)).await?;
        }
        let mut messages = consume(&stream, self.next).await?;
        if made_at(&info(&stream).await?) != made {
            return Ok(());
        }
        self.connection.set_streaming(true);
        tracing::info!("reading the stream from message {}", self.next);
        loop {
            let message = tokio::select! {
                biased;
                _ = state.changed() => return Ok(()),
                message = messages.next() => message,
                () = sleep(jittered(SILENCE)) => {
                    if self.others {
                        self.ask_which_database().await;
                    }
                    let info = info(&stream).await?;
                    if self.is_level_with(&info) {
                        continue;
                    }
                    match timeout(ON_THE_WAY, messages.next()).await {
                        Ok(message) => message,
                        Err(_) => return Ok(()),
                    }
                }
            };
            match message {
                Some(Ok(message)) => {
                    self.take(Stored::read(&message)?).await?;
                    backoff.reset();
                }
                Some(Err(error)) => return Err(unreachable(&error).into()),
                None => return Ok(()),
            }
        }
    }

    /// Hands a message to the hub. When others may have stood before it that the hub has not had, everybody reads again
    /// from here on.
    async fn take(&mut self, message: Stored<'_>) -> Result<(), ReaderError> {
        let sequence = message.sequence;
        if sequence != self.next {
            self.proof = Proof::Nothing;
        }
        let read = message.headers.map(headers::read);
        let (Some(Ok((id, cursor, lineage))), Ok(subject)) = (read, message.subject.parse()) else {
            self.refuse(sequence, "was not published by a relay");
            return Ok(());
        };
        if !self.is_ours(&lineage).await {
            self.refuse(sequence, "is of another database");
            self.others = true;
            return Ok(());
        }
        self.others = false;
        let arrival = Arrival { subject, cursor, lineage, payload: message.payload.clone() };
        if self.hub.doubts(&arrival) {
            self.compare(&arrival.lineage).await?;
        }
        if !self.proof.holds(self.hub.head(), cursor) && self.hub.misses_before(&arrival) {
            tell_missed();
        }
        self.hub.receive(&arrival);
        if self.hub.head() == cursor {
            let is_resync = subject == Subject::Resync;
            let head = TailMessage { id, is_resync, cursor, lineage: arrival.lineage };
            self.bus.remember(&head);
            self.head = Some(head);
        }
        (self.next, self.proof) = (sequence + 1, Proof::Follows);
        self.progress.passes(sequence, self.proof);
        self.progress.seen = Some(Seen { sequence, cursor });
        Ok(())
    }

    /// It may have taken the number of an event that was refused then, and what is behind that one was not.
    fn refuse(&mut self, sequence: u64, reason: &'static str) {
        metrics::counter!("gateway_hub_refused_total").increment(1);
        if self.told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
            self.told = Some(Instant::now());
            tracing::error!(
                "message {sequence} of the stream {reason} and is not delivered; others are only counted for a minute"
            );
        }
        (self.next, self.proof) = (sequence + 1, Proof::Nothing);
    }

    /// Whether a message is of the database that is served here, and not of one whose relay publishes into the same stream.
    async fn is_ours(&mut self, lineage: &Lineage) -> bool {
        if !lineage.is_of(&self.database.0) {
            self.ask_which_database().await;
        }
        lineage.is_of(&self.database.0)
    }

    /// Behind the address there may be another database since, which is asked at most once in a while. What was refused before
    /// may have been its events: everybody reads again. One that does not answer soon is the one that it was.
    async fn ask_which_database(&mut self) {
        if self.database.1.is_some_and(|at| at.elapsed() < ASKED_AGAIN) {
            return;
        }
        let answer = timeout(REQUEST_TIMEOUT, self.log.lineage()).await;
        self.database.1 = Some(Instant::now());
        let Ok(Ok(Lineage { cluster: found, .. })) = answer else { return };
        if found != self.database.0 && self.others {
            tell_missed();
            self.hub.resync_all();
        }
        self.database.0 = found;
    }

    /// The database has begun another history, which nobody announced: perhaps whoever relays has never seen the one
    /// before. Only if it has the hub's head does the stream go on behind it.
    async fn compare(&self, lineage: &Lineage) -> Result<(), ReaderError> {
        let (end, head) = (Cursor::end_of(self.log.last_batch().await?), self.hub.head());
        let known = match self.head.as_ref().filter(|message| message.cursor.batch == head.batch) {
            Some(message) => self.log.knows(message).await?,
            None => None,
        };
        if head <= end && known == Some(true) {
            self.hub.confirm(lineage);
        } else {
            tracing::error!("the database does not have all that was told: subscribers read again");
            self.hub.begin_at(end, lineage);
        }
        Ok(())
    }

    /// Where the first message is that may be new.
    async fn begin(&self, stream: &Stream) -> Result<Beginning, BusError> {
        let Info { state, .. } = stream.cached_info();
        let is_empty = state.messages == 0;
        let mut held = Held {
            first: if is_empty { state.last_sequence + 1 } else { state.first_sequence },
            last: state.last_sequence,
            is_same: self.progress.made.is_none_or(|made| made == made_at(stream.cached_info())),
            seen_is_there: false,
            tail_is_seen: false,
        };
        if let Some(Seen { sequence, cursor }) = self.progress.seen {
            held.seen_is_there = sequence <= held.last && place_at(stream, sequence).await == Some(cursor);
        }
        if !held.seen_is_there {
            let tail = self.bus.tail().await?;
            if self.progress.seen.is_none() {
                self.hub.learn_fork(tail.fork);
            }
            let seen =
                |last: &TailMessage| last.cursor <= self.hub.head() && last.lineage == self.hub.lineage();
            held.tail_is_seen = !is_empty && tail.last.as_ref().is_none_or(seen);
        }
        let beginning = beginning(self.progress, held);
        if beginning.missed {
            tell_missed();
            self.hub.resync_all();
        }
        Ok(beginning)
    }

    /// Whether the stream is the one that is read, and its end is here. Its consumer tells neither that the stream lost
    /// something, nor that the server of a cluster that kept the consumer is gone.
    fn is_level_with(&self, info: &Info) -> bool {
        let state = &info.state;
        let is_level = state.first_sequence <= self.next && state.last_sequence + 1 == self.next;
        self.progress.made == Some(made_at(info)) && is_level
    }
}

fn tell_missed() {
    metrics::counter!("gateway_hub_missed_total").increment(1);
    tracing::error!("messages of the stream may have gone unread: subscribers read again");
}

/// The first messages from this number on, up to one that is gone. A cluster that lost the server which leads it makes no
/// consumer until it has another leader, and its streams go on meanwhile.
async fn fetch(stream: &Stream, sequence: u64) -> Result<Vec<StreamMessage>, BusError> {
    let last = stream.cached_info().state.last_sequence.min(sequence.saturating_add(FETCHED - 1));
    let mut messages = std::pin::pin!(by_number(stream, sequence..=last, AT_ONCE));
    let (mut fetched, mut bytes) = (Vec::new(), 0);
    while bytes < FETCHED_BYTES
        && let Some(Some(message)) = messages.try_next().await?
    {
        bytes += message.payload.len();
        fetched.push(message);
    }
    Ok(fetched)
}

/// A consumer without acknowledgements, which the server forgets when nobody asks it any more. Everything is asked for:
/// a number that is left out tells that something is missing.
async fn consume(stream: &Stream, start_sequence: u64) -> Result<pull::Stream, BusError> {
    let config = pull::OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ..pull::OrderedConfig::default()
    };
    let consuming = async {
        let consumer = stream.create_consumer(pull::Config::from(config)).await;
        consumer.map_err(|error| unreachable(&error))?.messages().await.map_err(|error| unreachable(&error))
    };
    timeout(REQUEST_TIMEOUT, consuming).await.map_err(|error| unreachable(&error))?
}

async fn info(stream: &Stream) -> Result<Info, BusError> {
    let info = timeout(REQUEST_TIMEOUT, stream.get_info()).await.map_err(|error| unreachable(&error))?;
    info.map_err(|error| unreachable(&error))
}

/// When the stream was made, which tells it from another one of its name.
fn made_at(info: &Info) -> i128 {
    info.created.unix_timestamp_nanos()
}

/// The place a stored message says it has.
async fn place_at(stream: &Stream, sequence: u64) -> Option<Cursor> {
    let message = timeout(REQUEST_TIMEOUT, stream.get_raw_message(sequence)).await.ok()?.ok()?;
    headers::read(&message.headers).ok().map(|(_, cursor, _)| cursor)
}
