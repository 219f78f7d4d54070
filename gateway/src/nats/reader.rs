//! The hub's reader: one ordered consumer on the whole stream.
//!
//! The hub drops what it has had, so the only mistake possible here is to begin too late. Whenever a consumer is made,
//! the place to begin is proved against what the stream holds now: the server may have been restarted, may have lost
//! its tail, or may be another one whose relay has filled it from the beginning.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use async_nats::jetstream::stream::Stream;
use futures_util::StreamExt;
use quote_collab_core::subject::QUOTE_EVENTS;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::bus::NatsBus;
use super::connection::{NatsConnection, REQUEST_TIMEOUT};
use super::headers;
use super::stream::unreachable;
use crate::backoff::Backoff;
use crate::cursor::Cursor;
use crate::hub::Hub;
use crate::ports::{Arrival, BusError, ChangeBus, Tail, TailMessage};

/// The last message handed to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    sequence: u64,
    cursor: Cursor,
}

/// Reads the stream for the hub.
pub struct StreamReader {
    connection: NatsConnection,
    bus: NatsBus,
    hub: Arc<Hub>,
    seen: Option<Seen>,
}

impl StreamReader {
    /// A reader for a hub whose head was taken from this end of the stream, if it could be reached then.
    #[must_use]
    pub fn new(connection: NatsConnection, bus: NatsBus, hub: Arc<Hub>, tail: Option<&Tail>) -> Self {
        let seen =
            tail.and_then(|tail| Some(Seen { sequence: tail.sequence, cursor: tail.last.as_ref()?.cursor }));
        Self { connection, bus, hub, seen }
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
            let ended = self.read(&mut backoff).await;
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

    /// Reads until the connection changes: a consumer does not outlive a restart of the server, and waiting for it to be
    /// missed would take as long as its heartbeat.
    async fn read(&mut self, backoff: &mut Backoff) -> Result<(), BusError> {
        let mut state = self.connection.state();
        state.mark_unchanged();
        let stream = self.bus.stream().await?;
        let start_sequence = self.start(&stream).await?;
        let config = OrderedConfig {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            filter_subject: QUOTE_EVENTS.to_owned(),
            ..OrderedConfig::default()
        };
        let consumer = timeout(REQUEST_TIMEOUT, stream.create_consumer(config));
        let consumer =
            consumer.await.map_err(|error| unreachable(&error))?.map_err(|error| unreachable(&error))?;
        let mut messages = consumer.messages().await.map_err(|error| unreachable(&error))?;
        self.connection.set_streaming(true);
        tracing::info!("reading the stream from message {start_sequence}");
        loop {
            tokio::select! {
                _ = state.changed() => return Ok(()),
                message = messages.next() => match message {
                    Some(Ok(message)) => {
                        backoff.reset();
                        self.take(&message)?;
                    }
                    Some(Err(error)) => return Err(unreachable(&error)),
                    None => return Ok(()),
                },
            }
        }
    }

    fn take(&mut self, message: &async_nats::jetstream::Message) -> Result<(), BusError> {
        let sequence = message.info().map_err(|error| unreachable(&error))?.stream_sequence;
        let read = message.headers.as_ref().map(headers::read);
        let (Some(Ok((_, cursor, lineage))), Ok(subject)) = (read, message.subject.parse()) else {
            metrics::counter!("gateway_hub_refused_total").increment(1);
            tracing::error!(
                "message {sequence} of the stream was not published by a relay and is not delivered"
            );
            return Ok(());
        };
        self.bus.has_seen(&lineage);
        self.hub.receive(&Arrival { subject, cursor, lineage, payload: message.payload.clone() });
        self.seen = Some(Seen { sequence, cursor });
        Ok(())
    }

    /// The number of the first message that may be new.
    async fn start(&self, stream: &Stream) -> Result<u64, BusError> {
        let state = &stream.cached_info().state;
        let mut held = Held {
            first: state.first_sequence,
            last: state.last_sequence,
            is_empty: state.messages == 0,
            seen_is_there: false,
            tail_is_seen: false,
        };
        if let Some(Seen { sequence, cursor }) = self.seen {
            held.seen_is_there = sequence <= held.last && place_at(stream, sequence).await == Some(cursor);
        }
        if !held.seen_is_there {
            let tail = self.bus.tail().await?;
            if self.seen.is_none() {
                self.hub.learn_fork(tail.fork);
            }
            let seen =
                |last: &TailMessage| last.cursor <= self.hub.head() && last.lineage == self.hub.lineage();
            held.tail_is_seen = !held.is_empty && tail.last.as_ref().is_none_or(seen);
        }
        let beginning = beginning(self.seen, held);
        if beginning.missed {
            tracing::error!("messages of the stream expired before they were read: subscribers read again");
            self.hub.resync_all();
        }
        Ok(beginning.sequence)
    }
}

/// What the stream holds now.
#[derive(Clone, Copy, Debug)]
struct Held {
    first: u64,
    last: u64,
    is_empty: bool,
    /// The message seen last is still there, under its number.
    seen_is_there: bool,
    /// The hub has had the last message already.
    tail_is_seen: bool,
}

/// Where to begin, and whether something was missed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beginning {
    sequence: u64,
    missed: bool,
}

/// The decision, without I/O. In doubt everything is read again: the hub drops what it has had.
fn beginning(seen: Option<Seen>, held: Held) -> Beginning {
    let at = |sequence| Beginning { sequence, missed: false };
    match seen {
        Some(seen) if held.seen_is_there => at(seen.sequence + 1),
        // Expired messages leave a gap behind the one seen last; a stream that is filled again begins at 1.
        Some(seen) if seen.sequence < held.first => {
            Beginning { sequence: held.first, missed: held.first > seen.sequence + 1 && !held.tail_is_seen }
        }
        _ if held.is_empty || held.tail_is_seen => at(held.last + 1),
        _ => at(held.first),
    }
}

/// The place a stored message says it has.
async fn place_at(stream: &Stream, sequence: u64) -> Option<Cursor> {
    let message = timeout(REQUEST_TIMEOUT, stream.get_raw_message(sequence)).await.ok()?.ok()?;
    headers::read(&message.headers).ok().map(|(_, cursor, _)| cursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Held =
        Held { first: 1, last: 100, is_empty: false, seen_is_there: false, tail_is_seen: false };

    fn check(seen: impl Into<Option<u64>>, held: Held, sequence: u64, missed: bool) {
        let seen = seen.into().map(|sequence| Seen { sequence, cursor: Cursor::default() });
        assert_eq!(beginning(seen, held), Beginning { sequence, missed }, "{seen:?} {held:?}");
    }

    #[test]
    fn an_undisturbed_stream_is_read_on() {
        check(80, Held { seen_is_there: true, ..HELD }, 81, false);
        check(100, Held { seen_is_there: true, tail_is_seen: true, ..HELD }, 101, false);
    }

    #[test]
    fn a_stream_that_lost_its_tail_is_read_from_its_end() {
        check(120, Held { tail_is_seen: true, ..HELD }, 101, false);
        check(120, Held { last: 0, first: 0, is_empty: true, ..HELD }, 1, false);
    }

    #[test]
    fn a_stream_that_was_filled_again_is_read_from_its_beginning() {
        check(80, HELD, 1, false);
        check(120, HELD, 1, false);
    }

    #[test]
    fn expired_messages_that_were_not_read_are_told() {
        check(80, Held { first: 81, ..HELD }, 81, false);
        check(80, Held { first: 90, ..HELD }, 90, true);
        check(80, Held { first: 101, is_empty: true, tail_is_seen: true, ..HELD }, 101, false);
        check(80, Held { first: 101, is_empty: true, ..HELD }, 101, true);
    }

    #[test]
    fn a_reader_that_has_seen_nothing_trusts_the_hub() {
        check(None, Held { tail_is_seen: true, ..HELD }, 101, false);
        check(None, HELD, 1, false);
        check(None, Held { last: 0, first: 0, is_empty: true, ..HELD }, 1, false);
    }
}
