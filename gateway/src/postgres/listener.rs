//! The connection that listens. A notification says "look again" and carries no facts: a lost one costs a tick, and
//! after every (re)connection everybody looks once.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use quote_collab_core::channel;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_util::sync::CancellationToken;

use super::connection::{CONNECT_TIMEOUT, connection_config};
use super::context::NEVER_IDLE;
use super::error::DatabaseError;
use crate::backoff::Backoff;
use crate::secret::Secret;

/// Why to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeUp {
    /// PostgreSQL said so.
    Notification,
    /// Time has passed.
    Tick,
    /// The connection is new: something may have been missed.
    Reconnect,
}

impl WakeUp {
    /// Name of the reason, for a metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Tick => "tick",
            Self::Reconnect => "reconnect",
        }
    }
}

/// A reader's end of the wake-ups. It holds at most one: looking again once is enough for any number of them.
#[derive(Debug)]
pub struct WakeUps {
    receiver: mpsc::Receiver<WakeUp>,
}

/// The readers of the wake-ups.
#[derive(Debug)]
pub struct Channels {
    /// Something committed.
    pub events: WakeUps,
    /// Somebody joined, left or moved.
    pub presence: WakeUps,
    /// The connection is new; the database behind it may be another.
    pub connected: WakeUps,
}

struct Bells {
    events: mpsc::Sender<WakeUp>,
    presence: mpsc::Sender<WakeUp>,
    connected: mpsc::Sender<WakeUp>,
}

impl WakeUps {
    fn new() -> (mpsc::Sender<WakeUp>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, Self { receiver })
    }

    /// A reader that gets ticks only.
    #[cfg(test)]
    pub(crate) fn silent() -> Self {
        Self::new().1
    }

    /// Waits for a wake-up, at most so long.
    pub async fn next(&mut self, tick: Duration) -> WakeUp {
        match timeout(tick, self.receiver.recv()).await {
            Ok(Some(wake_up)) => wake_up,
            // Without a listener there are still ticks.
            Ok(None) => {
                sleep(tick).await;
                WakeUp::Tick
            }
            Err(_) => WakeUp::Tick,
        }
    }
}

impl Bells {
    /// A full queue already holds a wake-up; that is all the reader needs.
    fn ring(&self, channel: &str) {
        let bell = match channel {
            channel::EVENTS => &self.events,
            channel::PRESENCE => &self.presence,
            _ => return,
        };
        let _ = bell.try_send(WakeUp::Notification);
    }

    fn ring_all(&self) {
        for bell in [&self.events, &self.presence, &self.connected] {
            let _ = bell.try_send(WakeUp::Reconnect);
        }
    }
}

/// Prepares listening: the readers, and the work that has to run until `stop`.
///
/// # Errors
///
/// When the address cannot be read.
pub fn listen(
    url: &Secret,
    stop: CancellationToken,
) -> Result<(Channels, impl Future<Output = ()> + Send + use<>), DatabaseError> {
    let config = connection_config(url, "quote_gateway_listener")?;
    let (events, event_readers) = WakeUps::new();
    let (presence, presence_readers) = WakeUps::new();
    let (connected, connection_readers) = WakeUps::new();
    let bells = Bells { events, presence, connected };
    let channels =
        Channels { events: event_readers, presence: presence_readers, connected: connection_readers };
    Ok((channels, async move {
        stop.run_until_cancelled(keep_listening(&config, &bells)).await;
    }))
}

async fn keep_listening(config: &Config, bells: &Bells) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let begun = Instant::now();
        if let Err(error) = listen_once(config, bells).await {
            tracing::warn!(%error, "listening ended; ticks go on");
        }
        backoff.reset_if_lasting(begun.elapsed());
        metrics::counter!("gateway_listener_reconnects_total").increment(1);
        sleep(backoff.delay()).await;
    }
}

async fn listen_once(config: &Config, bells: &Bells) -> Result<(), DatabaseError> {
    let connecting = timeout(CONNECT_TIMEOUT, config.connect(NoTls));
    let (client, mut connection) = connecting.await.map_err(|_| DatabaseError::TimedOut)??;
    let messages = stream::poll_fn(move |context| connection.poll_message(context));
    let mut messages = std::pin::pin!(messages);
    {
        // The connection makes progress only while its messages are read.
        let listen = format!("select {NEVER_IDLE}; listen {}; listen {}", channel::EVENTS, channel::PRESENCE);
        let listening = timeout(CONNECT_TIMEOUT, client.batch_execute(&listen));
        let mut listening = std::pin::pin!(listening);
        loop {
            tokio::select! {
                done = &mut listening => break done.map_err(|_| DatabaseError::TimedOut)??,
                message = messages.next() => ring(bells, message)?,
            }
        }
    }
    tracing::info!("listening for {} and {}", channel::EVENTS, channel::PRESENCE);
    bells.ring_all();
    loop {
        ring(bells, messages.next().await)?;
    }
}

fn ring(
    bells: &Bells,
    message: Option<Result<AsyncMessage, tokio_postgres::Error>>,
) -> Result<(), DatabaseError> {
    match message {
        Some(Ok(AsyncMessage::Notification(notification))) => bells.ring(notification.channel()),
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(error.into()),
        None => return Err(DatabaseError::Unreachable("the connection was closed".to_owned())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wake_ups_coalesce_and_ticks_replace_them() {
        let (sender, mut reader) = WakeUps::new();
        let other = WakeUps::new();
        let bells = Bells { events: sender, presence: other.0.clone(), connected: other.0 };
        bells.ring(channel::EVENTS);
        bells.ring(channel::EVENTS);
        bells.ring("unknown");
        let tick = Duration::from_millis(250);
        assert_eq!(reader.next(tick).await, WakeUp::Notification);
        assert_eq!(reader.next(tick).await, WakeUp::Tick);
        bells.ring_all();
        assert_eq!(reader.next(tick).await, WakeUp::Reconnect);
        drop(bells);
        assert_eq!(reader.next(tick).await, WakeUp::Tick);
    }
}
