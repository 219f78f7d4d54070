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
use crate::ports::{Arrival, BusError, ChangeBus, Tail};

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
            match self.read(&mut backoff).await {
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
        self.hub.receive(&Arrival { subject, cursor, lineage, payload: message.payload.clone() });
        self.seen = Some(Seen { sequence, cursor });
        Ok(())
    }

    /// The number of the first message that may be new.
    async fn start(&self, stream: &Stream) -> Result<u64, BusError> {
        let state = &stream.cached_info().state;
        let end = state.last_sequence + 1;
        if state.messages == 0 {
            return Ok(end);
        }
        if let Some(Seen { sequence, cursor }) = self.seen {
            if sequence < state.first_sequence && sequence < state.last_sequence {
                return Ok(self.after_expiry(sequence, state.first_sequence));
            }
            if sequence <= state.last_sequence && place_at(stream, sequence).await == Some(cursor) {
                return Ok(sequence + 1);
            }
        }
        let tail = self.bus.tail().await?;
        match tail.last {
            Some(last) if last.cursor <= self.hub.head() && last.lineage == self.hub.lineage() => Ok(end),
            Some(_) => Ok(state.first_sequence),
            None => Ok(end),
        }
    }

    /// What was seen last is no longer kept. If what followed it is gone too, subscribers must be told.
    fn after_expiry(&self, seen: u64, first: u64) -> u64 {
        if first > seen + 1 {
            tracing::error!(
                "messages {} to {} of the stream expired unread: subscribers read again",
                seen + 1,
                first - 1
            );
            self.hub.resync_all();
        }
        first
    }
}

/// The place a stored message says it has.
async fn place_at(stream: &Stream, sequence: u64) -> Option<Cursor> {
    let message = timeout(REQUEST_TIMEOUT, stream.get_raw_message(sequence)).await.ok()?.ok()?;
    headers::read(&message.headers).ok().map(|(_, cursor, _)| cursor)
}
