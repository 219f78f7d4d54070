//! Looks at the sessions when there is a reason to.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use quote_collab_core::payload::PresencePayload;
use quote_collab_core::subject::{QuoteAddress, Subject};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::told::Told;
use crate::backoff::{Backoff, jittered};
use crate::ports::ChangeBus;
use crate::postgres::{Database, PresenceSnapshot, WakeUps};
use crate::telemetry::gauge;

/// While somebody is there, a lost wake-up costs at most this.
const BUSY_TICK: Duration = Duration::from_secs(1);
/// While nobody is there, only a first join can be missed.
const IDLE_TICK: Duration = Duration::from_secs(5);
/// A hundred moving cursors are looked at twenty times a second, not a hundred times.
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
/// Looked at a little after the moment at which somebody becomes stale, to find it so.
const STALE_MARGIN: Duration = Duration::from_millis(30);

/// A gateway that leads so soon after its start has had nobody to tell of people before it: it tells of everybody.
const NEWCOMER: Duration = Duration::from_secs(10);

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
    pub async fn run(self, stop: CancellationToken) {
        let started = Instant::now();
        let watching = async {
            let heard = self.bus.announcements().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what other gateways tell of people is not heard");
                stream::pending().boxed()
            });
            Watching { watch: self, heard, told: Told::default(), started, led: false }.keep_looking().await;
        };
        stop.run_until_cancelled(watching).await;
    }
}

struct Watching<B> {
    watch: PresenceWatch<B>,
    heard: BoxStream<'static, Bytes>,
    told: Told,
    started: Instant,
    led: bool,
}

impl<B: ChangeBus> Watching<B> {
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
                    error.warn("sessions not read");
                    backoff.delay()
                }
            };
            self.wait(looked + wait).await;
            sleep_until(looked + SHORTEST_PERIOD).await;
        }
    }

    /// Waits for a reason to look, and hears what others tell meanwhile.
    async fn wait(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            tokio::select! {
                reason = self.watch.wake_ups.next(left) => {
                    metrics::counter!("gateway_presence_wakeups_total", "reason" => reason.as_str()).increment(1);
                    return;
                }
                Ok(()) = self.watch.leading.changed() => return,
                Some(payload) = self.heard.next() => self.hear(&payload),
            }
        }
    }

    /// One look; returns when to look again at the latest.
    async fn look(&mut self) -> Result<Duration, crate::postgres::DatabaseError> {
        let snapshot = self.watch.database.presence().await?;
        gauge("gateway_presence_sessions", snapshot.sessions.len());
        self.watch.board.update(&snapshot);
        self.tell(&snapshot).await;
        let next_stale = snapshot.next_stale;
        let tick = jittered(if next_stale.is_some() { BUSY_TICK } else { IDLE_TICK });
        Ok(next_stale.map_or(tick, |stale| tick.min(stale + STALE_MARGIN)))
    }

    /// Tells others what they were not told yet, if that is this gateway's business.
    async fn tell(&mut self, snapshot: &PresenceSnapshot) {
        self.told.begin(snapshot);
        while let Some(Some(payload)) = self.heard.next().now_or_never() {
            self.hear(&payload);
        }
        let leads = *self.watch.leading.borrow();
        if leads && !self.led && self.started.elapsed() < NEWCOMER {
            self.told.forget();
        }
        self.led = leads;
        if leads {
            for event in self.told.untold(snapshot) {
                if !announce(&*self.watch.bus, &event).await {
                    break;
                }
                self.told.tell(&event, snapshot);
            }
        } else {
            self.told.lapse(snapshot, Instant::now());
        }
    }

    /// A leader knows what it has told.
    fn hear(&mut self, payload: &[u8]) {
        if !self.led
            && let Ok(event) = serde_json::from_slice(payload)
        {
            self.told.hear(&event);
        }
    }
}

/// Whether it could be sent; nobody keeps it for those who do not listen.
async fn announce<B: ChangeBus>(bus: &B, event: &PresencePayload) -> bool {
    let address = QuoteAddress { tenant: event.tenant_id, quote: event.quote_id };
    let Ok(payload) = serde_json::to_vec(event) else { return true };
    let announced = bus.announce(Subject::PresenceEvent(address), Bytes::from(payload)).await;
    if let Err(error) = &announced {
        metrics::counter!("gateway_presence_unannounced_total").increment(1);
        tracing::debug!(%error, "presence not announced yet");
    }
    announced.is_ok()
}
