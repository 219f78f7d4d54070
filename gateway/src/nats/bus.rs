//! `JetStream` as the relay's bus.

use std::error::Error as _;
use std::future::IntoFuture;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{GetStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, State, Stream};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use quote_collab_core::subject::{PRESENCE_EVENTS, QUOTE_EVENTS, Subject};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::connection::{NatsConnection, REQUEST_TIMEOUT};
use super::headers;
use super::stream::{by_number, ensure_stream, largest_message, unreachable};
use crate::config::NatsConfig;
use crate::cursor::Lineage;
use crate::ports::{Accepted, BusError, ChangeBus, Message, Tail, TailMessage};

/// Longest wait for the acknowledgements of one publication. Nothing is guessed after it: the relay reads the end of
/// the stream again.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);

/// So many messages at the end may be of somebody else, or deleted.
const LOOKED_BACK: u64 = 10_000;
/// So many of them are asked for at once, since whoever leads has not much time.
const AT_ONCE: usize = 128;
/// And so long it takes at most: less than a lease lives.
const LOOKING_BACK: Duration = Duration::from_secs(2);

/// What a server without room says: its own limit or that of the account is reached, or the stream is full and may drop nothing, or its
/// disk takes nothing.
const NO_ROOM: [ErrorCode; 5] = [
    ErrorCode::INSUFFICIENT_RESOURCES,
    ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
    ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ErrorCode::MEMORY_RESOURCES_EXCEEDED,
    ErrorCode::STREAM_STORE_FAILED,
];

/// NATS as the bus.
#[derive(Clone)]
pub struct NatsBus {
    connection: NatsConnection,
    config: NatsConfig,
    checked: Arc<OnceCell<()>>,
    /// Largest message of the stream, when it is smaller than the server's.
    stream_limit: Arc<AtomicUsize>,
    /// The last message that is known to have been in the stream, for when it has been emptied.
    remembered: Arc<Mutex<Option<TailMessage>>>,
    /// An event is missing that nobody was told of yet.
    is_torn: Arc<AtomicBool>,
}

impl NatsBus {
    /// A bus over this connection.
    #[must_use]
    pub fn new(connection: NatsConnection, config: NatsConfig) -> Self {
        let stream_limit = Arc::new(AtomicUsize::new(usize::MAX));
        Self {
            connection,
            config,
            checked: Arc::default(),
            stream_limit,
            remembered: Arc::default(),
            is_torn: Arc::default(),
        }
    }

    /// The connection, if there is one: without it the client would keep what it is told for later.
    fn connected(&self) -> Result<&NatsConnection, BusError> {
        let connection = &self.connection;
        connection
            .is_connected()
            .then_some(connection)
            .ok_or_else(|| BusError::Unreachable("not connected".to_owned()))
    }

    /// The stream as it is now. Its configuration is looked at once per process.
    pub(super) async fn stream(&self) -> Result<Stream, BusError> {
        let connection = self.connected()?;
        let asking = async {
            let context = connection.context();
            if self.checked.get().is_some() {
                match context.get_stream(super::stream::STREAM).await {
                    Ok(stream) => return Ok(stream),
                    // Nobody answered: asking again here would only find out later that somebody does.
                    Err(error) if !matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => {
                        return Err(unreachable(&error));
                    }
                    Err(_) => {}
                }
            }
            let stream = ensure_stream(context, &self.config).await?;
            let _ = self.checked.set(());
            Ok(stream)
        };
        let stream = timeout(2 * REQUEST_TIMEOUT, asking).await.map_err(|error| unreachable(&error))??;
        let limit = largest_message(&stream.cached_info().config).unwrap_or(usize::MAX);
        self.stream_limit.store(limit, Ordering::Relaxed);
        Ok(stream)
    }
}

impl NatsBus {
    /// This message is in the stream. Of one history the one that lies furthest on is remembered.
    pub(super) fn remember(&self, message: &TailMessage) {
        let mut remembered = self.remembered();
        let is_older =
            |known: &TailMessage| known.lineage == message.lineage && known.cursor > message.cursor;
        if !remembered.as_ref().is_some_and(is_older) {
            *remembered = Some(message.clone());
        }
    }

    fn remembered(&self) -> MutexGuard<'_, Option<TailMessage>> {
        // What is put there is whole.
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of a stream without messages. A process that never saw any cannot know about forks: then every cursor
    /// is of before.
    fn emptied(&self, sequence: u64) -> Tail {
        let remembered = self.remembered().clone();
        let fork = remembered.as_ref().map_or(sequence, |message| message.lineage.fork);
        Tail { sequence, last: None, fork, remembered, is_torn: false }
    }
}

impl ChangeBus for NatsBus {
    async fn tail(&self) -> Result<Tail, BusError> {
        let stream = self.stream().await?;
        let state = &stream.cached_info().state;
        if state.messages == 0 {
            return Ok(self.emptied(state.last_sequence));
        }
        let mut found = match stream.get_last_raw_message_by_subject(QUOTE_EVENTS).await {
            Ok(message) => of_relay(&message).map(|last| (message.sequence, last)),
            // Servers before 2.10 say so where the last message was deleted.
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
            Err(error) => return Err(unreachable(&error)),
        };
        if found.is_none() {
            found = timeout(LOOKING_BACK, last_of_relay(&stream, state))
                .await
                .map_err(|_| BusError::Foreign("looking for the last that one published takes too long"))??;
        }
        let Some((found_at, last)) = found else { return Ok(self.emptied(state.last_sequence)) };
        // Deleting the last message leaves its number used: the next publication must name that number.
        let sequence = state.last_sequence.max(found_at);
        let fork = last.lineage.fork;
        self.remember(&last);
        let is_torn = self.is_torn.load(Ordering::Relaxed);
        Ok(Tail { sequence, last: Some(last), fork, remembered: None, is_torn })
    }

    /// All messages are sent before the first acknowledgement is awaited. Each names the number of the one before it, so that no other relay
    /// gets in between. Who names none does: his message takes the number of one of ours, which is refused, and the one behind that is not.
    /// Acknowledgements do not survive the connection: when it breaks, there is nothing to wait for.
    async fn publish(
        &self,
        messages: &[Message],
        lineage: &Lineage,
        sequence: u64,
    ) -> Result<Accepted, BusError> {
        let connection = self.connected()?;
        // Servers before 2.10 read an expected number of 0 as none: the very first message goes alone, guarded by its
        // id, and the others have a number to name.
        let pipelined = if sequence == 0 { &messages[..messages.len().min(1)] } else { messages };
        let context = connection.context();
        let publishing = async {
            let mut pending = Vec::with_capacity(pipelined.len());
            for (message, before) in pipelined.iter().zip(sequence..) {
                let publication = PublishMessage::build()
                    .headers(headers::write(message, lineage, before))
                    .payload(message.payload.clone());
                pending.push(
                    context.send_publish(message.subject.to_string(), publication).await?.into_future(),
                );
            }
            Ok::<_, PublishError>(join_all(pending).await)
        };
        let answers = tokio::select! {
            answers = timeout(ACK_TIMEOUT, publishing) => answers.map_err(|error| unreachable(&error))?,
            () = connection.lost() => return Err(BusError::Unreachable("connection lost".to_owned())),
        };
        let accepted =
            accepted(&answers.map_err(|error| refused(&error))?, sequence).inspect_err(|error| {
                if matches!(error, BusError::Torn) {
                    self.is_torn.store(true, Ordering::Relaxed);
                }
            })?;
        if messages[..accepted.count].iter().any(|message| message.subject == Subject::Resync) {
            self.is_torn.store(false, Ordering::Relaxed);
        }
        if let Some(last) = accepted.count.checked_sub(1).and_then(|last| messages.get(last)) {
            self.remember(&TailMessage {
                id: last.id.clone(),
                is_resync: last.subject == Subject::Resync,
                cursor: last.cursor,
                lineage: lineage.clone(),
            });
        }
        Ok(accepted)
    }

    async fn announce(&self, subject: Subject, payload: Bytes) -> Result<(), BusError> {
        let connection = self.connected()?;
        let publishing = connection.client().publish(subject.to_string(), payload);
        let published = timeout(REQUEST_TIMEOUT, publishing).await.map_err(|error| unreachable(&error))?;
        published.map_err(|error| unreachable(&error))
    }

    /// The client subscribes again by itself whenever it connects.
    async fn announcements(&self) -> Result<BoxStream<'static, Bytes>, BusError> {
        let subscribed = self.connection.client().subscribe(PRESENCE_EVENTS).await;
        Ok(subscribed.map_err(|error| unreachable(&error))?.map(|message| message.payload).boxed())
    }

    fn largest_payload(&self) -> usize {
        self.connection.client().max_payload().min(self.stream_limit.load(Ordering::Relaxed))
    }
}

/// How far the acknowledgements reach without a hole. A message the stream has already, by its id, counts as accepted
/// but took no number, so those behind it named a wrong one and are sent again.
fn accepted(answers: &[Result<PublishAck, PublishError>], sequence: u64) -> Result<Accepted, BusError> {
    let mut reached = Accepted { count: 0, sequence };
    for (place, answer) in answers.iter().enumerate() {
        match answer {
            Ok(ack) if ack.duplicate => {
                metrics::counter!("gateway_relay_duplicates_total").increment(1);
                reached.count += 1;
                return Ok(reached);
            }
            Ok(ack) => reached = Accepted { count: reached.count + 1, sequence: ack.sequence },
            Err(_) if answers[place..].iter().flatten().any(|ack| !ack.duplicate) => {
                return Err(BusError::Torn);
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(reached)
}

/// A message as a relay published it; none for what is of somebody else.
fn of_relay(message: &StreamMessage) -> Option<TailMessage> {
    let (id, cursor, lineage) = headers::read(&message.headers).ok()?;
    let is_resync = message.subject.parse() == Ok(Subject::Resync);
    Some(TailMessage { id, is_resync, cursor, lineage })
}

/// The last message that a relay published, and its number, where others published behind it or messages were deleted; none where the stream
/// has no such message at all.
async fn last_of_relay(stream: &Stream, state: &State) -> Result<Option<(u64, TailMessage)>, BusError> {
    let first = state.first_sequence.max(state.last_sequence.saturating_sub(LOOKED_BACK - 1));
    let mut messages = std::pin::pin!(by_number(stream, (first..=state.last_sequence).rev(), AT_ONCE));
    while let Some(message) = messages.try_next().await? {
        let Some((sequence, last)) =
            message.and_then(|message| Some((message.sequence, of_relay(&message)?)))
        else {
            continue;
        };
        tracing::warn!("the last message of the stream that a relay published is number {sequence}");
        return Ok(Some((sequence, last)));
    }
    if first == state.first_sequence {
        return Ok(None);
    }
    Err(BusError::Foreign("none of the last ones has a batch and a place"))
}

fn refused(error: &PublishError) -> BusError {
    match error.kind() {
        PublishErrorKind::WrongLastSequence => BusError::Fenced,
        PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge,
        _ if code(error) == Some(ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM) => BusError::TooLarge,
        _ if code(error).is_some_and(|code| NO_ROOM.contains(&code)) => BusError::Full(error.to_string()),
        _ => unreachable(error),
    }
}

/// What the stream said no with.
fn code(error: &PublishError) -> Option<ErrorCode> {
    let refused = error.source()?.downcast_ref::<async_nats::jetstream::Error>()?;
    Some(refused.error_code())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = Result<PublishAck, PublishError>;
    const STORED: fn(u64) -> Answer = |sequence| Ok(PublishAck { sequence, ..PublishAck::default() });
    const KNOWN: fn(u64) -> Answer =
        |sequence| Ok(PublishAck { sequence, duplicate: true, ..PublishAck::default() });
    const WRONG: fn() -> Answer = || Err(PublishError::new(PublishErrorKind::WrongLastSequence));

    #[test]
    fn acknowledgements_count_up_to_the_first_hole() {
        let reached = accepted(&[STORED(8), STORED(9)], 7).unwrap();
        assert_eq!(reached, Accepted { count: 2, sequence: 9 });
        let reached = accepted(&[STORED(8), KNOWN(3), WRONG()], 7).unwrap();
        assert_eq!(reached, Accepted { count: 2, sequence: 8 });
        assert!(matches!(accepted(&[STORED(8), WRONG()], 7), Err(BusError::Fenced)));
        assert!(matches!(accepted(&[WRONG()], 7), Err(BusError::Fenced)));
    }

    #[test]
    fn a_message_that_is_stored_behind_a_refused_one_is_noticed() {
        assert!(matches!(accepted(&[STORED(8), WRONG(), STORED(10)], 7), Err(BusError::Torn)));
        assert!(matches!(accepted(&[WRONG(), WRONG(), STORED(10)], 7), Err(BusError::Torn)));
        assert!(matches!(accepted(&[STORED(8), WRONG(), KNOWN(3)], 7), Err(BusError::Fenced)));
    }
}
