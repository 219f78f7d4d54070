//! The relay: copies committed batches from the log to the bus, each event once and in order.
//!
//! Its position lives in the bus. A term of leadership begins by reading the bus's last message and goes on behind it;
//! any error ends the term, and the next one begins the same way. So there is no state to repair. The lease only keeps
//! idle relays from doing the same work: safety is the sequence number that each publication names, which makes the
//! bus refuse a relay that does not know its end.

mod encode;
mod resume;
mod state;
mod term;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::{Backoff, jittered};
use crate::ports::{BusError, ChangeBus, ChangeLog};
use crate::postgres::{DatabaseError, WakeUps};

pub use state::{Reason, RelayState, Report, Role};
use term::Term;

/// Life of the lease. A relay that was killed is missed until it has ended and the next one has asked for it.
const LEASE_LIFE: Duration = Duration::from_secs(5);
/// It is renewed so early that two renewals may fail.
const LEASE_RENEWAL: Duration = Duration::from_millis(1_600);
/// How often a relay without the lease asks for it.
const LEASE_PERIOD: Duration = Duration::from_secs(1);
/// Longest pause between two terms that fail: what is away comes back by itself, and events wait for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// Longest pause where somebody has to make room first, which takes minutes.
const LONGEST_PAUSE_FOR_ROOM: Duration = Duration::from_secs(30);
/// A lost wake-up costs at most this.
const TICK: Duration = Duration::from_millis(250);
/// Longest wait for each of the two last words of a relay that stops: where it stands, and that the lease is free. Both
/// can do without.
const GOODBYE: Duration = Duration::from_secs(2);

/// Copies the log to the bus.
pub struct Relay<L, B> {
    /// What to copy.
    pub log: L,
    /// Where to.
    pub bus: Arc<B>,
    /// When to look.
    pub wake_ups: WakeUps,
    /// Whether this relay is the one that copies.
    pub leading: watch::Sender<bool>,
    /// How it is doing.
    pub state: Arc<RelayState>,
}

/// Why a term ended.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] DatabaseError),
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// Another relay has the lease.
    #[error("another relay has taken the lease")]
    Deposed,
    /// The database has failed over.
    #[error("the database has begun another history")]
    OtherLineage,
    /// An event could not be written as JSON.
    #[error("an event could not be written as json: {0}")]
    Json(#[from] serde_json::Error),
}

impl RelayError {
    /// Name of the kind, for a metric.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Bus(BusError::Fenced) => "fenced",
            Self::Bus(BusError::Torn) => "torn",
            Self::Bus(_) => "bus",
            Self::Deposed => "deposed",
            Self::OtherLineage => "lineage",
            Self::Json(_) => "json",
        }
    }

    /// The kind as operators are told it.
    fn reason(&self) -> Reason {
        match self {
            Self::Log(error) if error.is_read_only() => Reason::DatabaseReadOnly,
            Self::Log(error) if error.is_session_timeout() => Reason::DatabaseSessionTimeout,
            Self::Log(error) if error.is_transient() => Reason::DatabaseUnavailable,
            Self::Log(DatabaseError::Refused { .. } | DatabaseError::AboveRowSecurity) => {
                Reason::DatabaseRefused
            }
            Self::Log(_) => Reason::DatabaseUnexpected,
            Self::Bus(BusError::Unreachable(_)) => Reason::BusUnavailable,
            Self::Bus(BusError::Full(_)) => Reason::BusFull,
            Self::Bus(BusError::TooLarge) => Reason::MessageTooLarge,
            Self::Bus(BusError::Foreign(_) | BusError::Torn) => Reason::ForeignMessage,
            Self::Bus(BusError::Fenced) | Self::Deposed => Reason::Fenced,
            Self::OtherLineage => Reason::Lineage,
            Self::Json(_) => Reason::Encoding,
        }
    }

    fn is_deposition(&self) -> bool {
        matches!(self, Self::Deposed)
    }

    /// Whether the log has it from where it was found.
    const fn is_told(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_told())
    }

    /// How long the next term waits at most.
    const fn longest_pause(&self) -> Duration {
        match self {
            Self::Bus(BusError::Full(_)) => LONGEST_PAUSE_FOR_ROOM,
            _ => LONGEST_PAUSE,
        }
    }
}

impl<L: ChangeLog, B: ChangeBus> Relay<L, B> {
    /// Copies until `stop`, then gives the lease back.
    pub async fn run(mut self, stop: CancellationToken) {
        let holder = Uuid::new_v4();
        let mut backoff = Backoff::new(Duration::from_millis(50), LONGEST_PAUSE);
        while !stop.is_cancelled() {
            let ended = self.lead(holder, &stop, &mut backoff).await;
            self.leading.send_replace(false);
            metrics::gauge!("gateway_relay_leading").set(0.0);
            // What this relay has cut and not published waits until the next term; what another relays is that one's to tell.
            if ended.as_ref().map_or_else(RelayError::is_deposition, |()| true) {
                metrics::gauge!("gateway_relay_batches_waiting").set(0.0);
            }
            let pause = match ended {
                Ok(()) => jittered(LEASE_PERIOD),
                Err(error) => {
                    self.report(&error);
                    self.note(holder, &error).await;
                    // Whose stream it is they would else tell each other as fast as they can.
                    let turn = self.state.shared_since().map_or(Duration::ZERO, |_| jittered(LEASE_PERIOD));
                    backoff.delay_within(error.longest_pause()).max(turn)
                }
            };
            stop.run_until_cancelled(sleep(pause)).await;
        }
        self.give_back(holder).await;
    }

    /// A term that ends as the one before it did is only counted.
    fn report(&self, error: &RelayError) {
        metrics::counter!("gateway_relay_errors_total", "kind" => error.kind()).increment(1);
        if error.is_told() {
            return;
        }
        let Some(others) = self.state.ends.tell(&error.to_string()) else { return };
        if error.is_deposition() {
            tracing::info!(others, "relay term ended: {error}");
        } else {
            tracing::warn!(others, "relay term ended: {error}; further ones are only counted for a minute");
        }
    }

    /// A relay that keeps failing lets the others try: perhaps only this one does not reach the bus.
    async fn note(&self, holder: Uuid, error: &RelayError) {
        if error.is_deposition() {
            self.state.stands_by();
        } else if self.state.fails(error.reason()) >= LEASE_LIFE && !matches!(error, RelayError::Log(_)) {
            self.give_back(holder).await;
        }
    }

    /// A lease that ends now lets the next relay begin at once.
    async fn give_back(&self, holder: Uuid) {
        if !matches!(timeout(GOODBYE, self.log.lease(holder, Duration::ZERO)).await, Ok(Ok(_))) {
            tracing::debug!("lease not given back; it ends by itself");
        }
    }

    /// One term, if the lease is free: until something fails or `stop`. At `stop` it is left wherever it is, which is no
    /// different from a relay that is killed there.
    async fn lead(
        &mut self,
        holder: Uuid,
        stop: &CancellationToken,
        backoff: &mut Backoff,
    ) -> Result<(), RelayError> {
        let beginning = Term::begin(&self.log, &*self.bus, &self.state, holder);
        let Some(begun) = stop.run_until_cancelled(beginning).await else { return Ok(()) };
        let Some(mut term) = begun? else {
            self.state.stands_by();
            return Ok(());
        };
        self.state.leads();
        self.leading.send_replace(true);
        metrics::gauge!("gateway_relay_leading").set(1.0);
        let copying = async {
            let newest = self.log.last_batch().await?;
            term.copy_up_to(newest).await?;
            loop {
                term.copy_new().await?;
                backoff.reset();
                let reason = self.wake_ups.next(TICK).await;
                metrics::counter!("gateway_relay_wakeups_total", "reason" => reason.as_str()).increment(1);
            }
        };
        if let Some(failed) = stop.run_until_cancelled(copying).await {
            return failed;
        }
        timeout(GOODBYE, term.finish()).await.unwrap_or(Ok(()))
    }
}
