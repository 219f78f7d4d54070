//! Looks at the sessions when there is a reason to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quote_collab_core::payload::PresencePayload;
use quote_collab_core::subject::{QuoteAddress, Subject};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::backoff::{Backoff, jittered};
use crate::ports::ChangeBus;
use crate::postgres::{Database, WakeUps};
use crate::telemetry::gauge;

/// While somebody is there, a lost wake-up costs at most this.
const BUSY_TICK: Duration = Duration::from_secs(1);
/// While nobody is there, only a first join can be missed.
const IDLE_TICK: Duration = Duration::from_secs(5);
/// A hundred moving cursors are looked at twenty times a second, not a hundred times.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
/// Looked at a little after the moment at which somebody becomes stale, to find it so.
const STALE_MARGIN: Duration = Duration::from_millis(30);

/// Keeps the board current.
pub struct PresenceWatch<B> {
    /// Where the sessions are.
    pub database: Database,
    /// Who shows them.
    pub board: Arc<Board>,
    /// When to look.
    pub wake_ups: WakeUps,
    /// Where events of people go.
    pub bus: Arc<B>,
    /// Whether this gateway is the one that tells them to others.
    pub leading: watch::Receiver<bool>,
}

impl<B: ChangeBus> PresenceWatch<B> {
    /// Looks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keep_looking()).await;
    }

    async fn keep_looking(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
        loop {
            let looked = Instant::now();
            let wait = match self.look().await {
                Ok(wait) => {
                    backoff.reset();
                    wait
                }
                Err(error) => {
                    tracing::warn!(%error, "sessions not read");
                    backoff.delay()
                }
            };
            let reason = self.wake_ups.next(wait).await;
            metrics::counter!("gateway_presence_wakeups_total", "reason" => reason.as_str()).increment(1);
            sleep_until(looked + SHORTEST_PERIOD).await;
        }
    }

    /// One look; returns when to look again at the latest.
    async fn look(&self) -> Result<Duration, crate::postgres::DatabaseError> {
        let snapshot = self.database.presence().await?;
        let next_stale = snapshot.next_stale;
        gauge("gateway_presence_sessions", snapshot.sessions.len());
        let events = self.board.update(snapshot);
        if *self.leading.borrow() {
            for event in &events {
                self.announce(event).await;
            }
        }
        let tick = jittered(if next_stale.is_some() { BUSY_TICK } else { IDLE_TICK });
        Ok(next_stale.map_or(tick, |stale| tick.min(stale + STALE_MARGIN)))
    }

    /// Presence is told once and kept by nobody: a failure is counted, not repeated.
    async fn announce(&self, event: &PresencePayload) {
        let address = QuoteAddress { tenant: event.tenant_id, quote: event.quote_id };
        let Ok(payload) = serde_json::to_vec(event) else { return };
        if let Err(error) = self.bus.announce(Subject::PresenceEvent(address), Bytes::from(payload)).await {
            metrics::counter!("gateway_presence_unannounced_total").increment(1);
            tracing::debug!(%error, "presence not announced");
        }
    }
}
