//! The stream: made if absent, never altered.

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::StreamExt as _;
use quote_collab_core::subject::QUOTE_EVENTS;

use crate::config::NatsConfig;
use crate::ports::BusError;

/// Name of the stream.
pub const STREAM: &str = "QUOTE_EVENTS";

/// The stream, made from the configuration if there is none. One that exists belongs to the operator: where it differs
/// in a way that could cost events, a warning says so.
pub async fn ensure_stream(context: &Context, config: &NatsConfig) -> Result<Stream, BusError> {
    match context.get_stream(STREAM).await {
        Ok(stream) => {
            warn_of_differences(&stream.cached_info().config);
            return Ok(stream);
        }
        Err(error) => {
            let GetStreamErrorKind::JetStream(refused) = error.kind() else {
                return Err(unreachable(&error));
            };
            if refused.error_code() != ErrorCode::STREAM_NOT_FOUND {
                return Err(unreachable(&error));
            }
        }
    }
    let stream = context.create_stream(wanted(config)).await.map_err(|error| unreachable(&error))?;
    tracing::info!("made stream {STREAM}");
    Ok(stream)
}

/// An error of the client, as ours.
pub fn unreachable(error: &impl ToString) -> BusError {
    BusError::Unreachable(error.to_string())
}

/// The messages under these numbers, in their order; none in the place of one that is gone. So many are asked for at once.
pub fn by_number(
    stream: &Stream,
    numbers: impl Iterator<Item = u64>,
    at_once: usize,
) -> impl futures_util::Stream<Item = Result<Option<StreamMessage>, BusError>> {
    let asked = numbers.map(|number| stream.get_raw_message(number));
    futures_util::stream::iter(asked).buffered(at_once).map(|answer| match answer {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unreachable(&error)),
    })
}

/// The largest message that a stream takes, when it has a limit of its own.
pub fn largest_message(config: &Config) -> Option<usize> {
    usize::try_from(config.max_message_size).ok().filter(|largest| *largest > 0)
}

fn wanted(config: &NatsConfig) -> Config {
    Config {
        name: STREAM.to_owned(),
        subjects: vec![QUOTE_EVENTS.to_owned()],
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_age: config.nats_stream_max_age,
        max_bytes: config.nats_stream_max_bytes.unwrap_or(-1),
        num_replicas: config.nats_stream_replicas,
        ..Config::default()
    }
}

fn warn_of_differences(found: &Config) {
    let differences = [
        (found.subjects != [QUOTE_EVENTS], "its subjects are not quote.event.>"),
        (
            found.storage != StorageType::File,
            "it is not on disk: a restart of nats makes the relay publish again",
        ),
        (
            found.retention != RetentionPolicy::Limits,
            "its messages end when they are read: other gateways miss them",
        ),
        (
            found.discard != DiscardPolicy::Old,
            "it refuses new messages when it is full: events then wait in postgresql",
        ),
        (
            largest_message(found).is_some(),
            "it has a limit of its own for messages: larger events are published without their values",
        ),
        (found.no_ack, "it acknowledges nothing: the relay cannot know what is stored"),
    ];
    for (_, difference) in differences.into_iter().filter(|(differs, _)| *differs) {
        tracing::warn!("stream {STREAM} was made by somebody else and is left as it is: {difference}");
    }
}
