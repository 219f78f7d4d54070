//! The connection to NATS, and whether there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event};
use rand::Rng;
use tokio::sync::watch;

use super::address::Address;
use crate::config::NatsConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer of the server. What is asked of a cluster without a leader is never answered, so that whoever waits for long
/// finds out late that there is one again.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// A silent server is noticed after about two of these.
const PING_PERIOD: Duration = Duration::from_secs(5);
const LONGEST_RECONNECT_DELAY: u64 = 2_000;
/// More than a chunk of the relay: the relay itself bounds what is unacknowledged.
const MOST_UNACKNOWLEDGED: usize = 4_096;

/// Why NATS did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum NatsError {
    /// The address or the credentials cannot be used at all.
    #[error("nats cannot be used: {0}")]
    Unusable(String),
    /// No connection, or no answer in time.
    #[error("nats cannot be reached: {0}")]
    Unreachable(String),
}

/// Handle to NATS.
#[derive(Clone)]
pub struct NatsConnection {
    client: Client,
    context: jetstream::Context,
    state: watch::Receiver<LinkState>,
    streaming: Arc<AtomicBool>,
}

/// Whether there is a connection, and the how-manieth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// There is one now.
    pub connected: bool,
    /// Connections made so far.
    pub generation: u64,
}

impl NatsConnection {
    /// Begins to connect, and goes on for ever in the background.
    ///
    /// # Errors
    ///
    /// When the address cannot be read.
    pub async fn open(config: &NatsConfig, url: &str) -> Result<Self, NatsError> {
        let (sender, state) = watch::channel(LinkState::default());
        let options = ConnectOptions::new()
            .name("quote_gateway")
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .ping_interval(PING_PERIOD)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(move |event| {
                note(&sender, &event);
                std::future::ready(())
            });
        let address = Address::parse(url)?;
        let client = address
            .introduce(config, options)
            .connect(address.servers)
            .await
            .map_err(|error| NatsError::Unusable(error.kind().to_string()))?;
        let context = ContextBuilder::new()
            .timeout(REQUEST_TIMEOUT)
            .ack_timeout(REQUEST_TIMEOUT)
            .max_ack_inflight(MOST_UNACKNOWLEDGED)
            .build(client.clone());
        Ok(Self { client, context, state, streaming: Arc::default() })
    }

    /// The core client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The `JetStream` client.
    #[must_use]
    pub const fn context(&self) -> &jetstream::Context {
        &self.context
    }

    /// Changes of the connection.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.borrow().connected
    }

    /// Whether the stream is being read: a server without `JetStream` can be connected and yet deliver nothing.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.is_connected() && self.streaming.load(Ordering::Relaxed)
    }

    /// The stream is being read from now on, or not any more.
    pub(super) fn set_streaming(&self, streaming: bool) {
        self.streaming.store(streaming, Ordering::Relaxed);
    }

    /// Waits for a connection, at most so long.
    pub async fn wait_connected(&self, longest: Duration) -> bool {
        let mut state = self.state.clone();
        tokio::time::timeout(longest, state.wait_for(|state| state.connected))
            .await
            .is_ok_and(|state| state.is_ok())
    }

    /// Completes when the connection of now is no more.
    pub async fn lost(&self) {
        let mut state = self.state.clone();
        let generation = state.borrow_and_update().generation;
        let _ = state.wait_for(|state| !state.connected || state.generation != generation).await;
    }

    /// Sends what is still in the buffer, then closes.
    pub async fn close(&self) {
        let _ = tokio::time::timeout(REQUEST_TIMEOUT, self.client.drain()).await;
    }
}

fn note(sender: &watch::Sender<LinkState>, event: &Event) {
    match event {
        Event::Connected => {
            tracing::info!("connected to nats");
            metrics::counter!("gateway_nats_connections_total").increment(1);
            sender.send_modify(|state| {
                *state = LinkState { connected: true, generation: state.generation + 1 }
            });
        }
        Event::Disconnected | Event::Closed => {
            tracing::warn!("disconnected from nats");
            sender.send_modify(|state| state.connected = false);
        }
        Event::ServerError(_) | Event::ClientError(_) | Event::SlowConsumer(_) => {
            tracing::warn!("nats: {event}");
        }
        Event::LameDuckMode | Event::Draining => tracing::info!("nats: {event}"),
    }
    metrics::gauge!("gateway_nats_connected").set(if sender.borrow().connected { 1.0 } else { 0.0 });
}

fn reconnect_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.min(8)).unwrap_or(8);
    let full = 10_u64.saturating_mul(1 << exponent).min(LONGEST_RECONNECT_DELAY);
    Duration::from_millis(rand::rng().random_range(full / 2..=full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_bounded() {
        for attempts in [0, 1, 5, 100, usize::MAX] {
            assert!(reconnect_delay(attempts) <= Duration::from_millis(LONGEST_RECONNECT_DELAY));
        }
    }
}
