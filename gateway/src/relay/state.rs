//! How the relay is doing, for operators: it ends and begins terms by itself, so only what lasts is a failure.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::seldom::Seldom;

/// Terms that fail for so long are no fail-over any more: a lease ends after 5 seconds, and a server restarts in less.
const FAILING_AFTER: Duration = Duration::from_secs(15);
/// Whoever holds the lease for so long has renewed it, and so is copying.
const CONVINCING: Duration = Duration::from_secs(10);
/// Two forks that follow each other so closely are two databases that publish into one stream.
const SHARED_WITHIN: Duration = Duration::from_mins(10);
/// More than the longest wait of the relay, which is a statement's.
const STALLED_AFTER: Duration = Duration::from_secs(90);

/// What a relay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has not got a term to begin, or none that worked.
    Starting,
    /// It copies.
    Leading,
    /// Another one has the lease.
    Standby,
}

/// Why a relay's terms fail: a kind, never a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The database does not answer.
    DatabaseUnavailable,
    /// It is a standby, or was told to take no writes.
    DatabaseReadOnly,
    /// It said no to something else, or does not hold the gateway's role to its rows.
    DatabaseRefused,
    /// A time-out of the server ends the gateway's sessions.
    DatabaseSessionTimeout,
    /// Its answer has another shape than agreed.
    DatabaseUnexpected,
    /// It keeps changing its history.
    Lineage,
    /// The bus does not answer, or has no stream.
    BusUnavailable,
    /// The bus has no room.
    BusFull,
    /// The bus does not take even an event without its values.
    MessageTooLarge,
    /// The bus holds what no relay published.
    ForeignMessage,
    /// Another database publishes into the stream.
    StreamShared,
    /// Somebody else publishes.
    Fenced,
    /// An event cannot be written.
    Encoding,
    /// The relay's task does not go on.
    Stalled,
}

/// How the relay is doing at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it does.
    pub role: Role,
    /// Why it has failed for longer than a fail-over takes, and for how long.
    pub failing: Option<(Reason, Duration)>,
    /// Everything that was committed so long ago is published, as far as this relay is to see to it.
    pub lag: Duration,
    /// A term last worked so long ago, here or elsewhere.
    pub success_age: Duration,
}

/// What the relay notes down.
#[derive(Debug)]
pub struct RelayState {
    notes: Mutex<Notes>,
    /// Why terms ended, as the log was told.
    pub(super) ends: Seldom,
    /// That events are too large for the bus, as the log was told.
    pub(super) truncations: Seldom,
}

#[derive(Debug)]
struct Notes {
    role: Role,
    /// The last sign of life.
    seen: Instant,
    /// Everything committed before is published.
    level: Instant,
    /// The last success.
    worked: Instant,
    failing: Option<(Reason, Instant)>,
    standby_since: Option<Instant>,
    /// When the first and the last were announced of forks that follow each other closely.
    forked: Option<(Instant, Instant)>,
}

impl Default for RelayState {
    fn default() -> Self {
        let now = Instant::now();
        let role = Role::Starting;
        let (failing, standby_since, forked) = (None, None, None);
        let notes = Notes { role, seen: now, level: now, worked: now, failing, standby_since, forked };
        Self { notes: Mutex::new(notes), ends: Seldom::default(), truncations: Seldom::default() }
    }
}

impl RelayState {
    /// Another relay has the lease.
    pub(super) fn stands_by(&self) {
        let (now, mut notes) = (Instant::now(), self.notes());
        let since = *notes.standby_since.get_or_insert(now);
        (notes.role, notes.seen) = (Role::Standby, now);
        if notes.failing.is_none() || now - since >= CONVINCING {
            (notes.failing, notes.level, notes.worked) = (None, now, now);
        }
    }

    /// A term has begun.
    pub(super) fn leads(&self) {
        let mut notes = self.notes();
        (notes.role, notes.seen, notes.standby_since) = (Role::Leading, Instant::now(), None);
    }

    /// Something was published, or there is nothing to publish.
    pub(super) fn works(&self) {
        let (now, mut notes) = (Instant::now(), self.notes());
        (notes.seen, notes.worked, notes.failing) = (now, now, None);
    }

    /// Whether the last term failed and nothing has worked since.
    pub(super) fn is_failing(&self) -> bool {
        self.notes().failing.is_some()
    }

    /// Everything is published that was committed before this moment.
    pub(super) fn is_level(&self, at: Instant) {
        self.works();
        self.notes().level = at;
    }

    /// The stream went on with another history than that of the database.
    pub(super) fn forks(&self) {
        let (now, mut notes) = (Instant::now(), self.notes());
        let first =
            notes.forked.filter(|(_, last)| now - *last < SHARED_WITHIN).map_or(now, |(first, _)| first);
        notes.forked = Some((first, now));
    }

    /// Whether another database publishes into the stream, and since when.
    pub(super) fn shared_since(&self) -> Option<Instant> {
        let (first, last) = self.notes().forked?;
        (first < last && last.elapsed() < SHARED_WITHIN).then_some(first)
    }

    /// A term has failed. Returns for how long they have.
    pub(super) fn fails(&self, reason: Reason) -> Duration {
        let (now, mut notes) = (Instant::now(), self.notes());
        let since = notes.failing.map_or(now, |(_, since)| since);
        notes.failing = Some((reason, since));
        (notes.role, notes.seen, notes.standby_since) = (Role::Starting, now, None);
        now - since
    }

    /// How it is doing now.
    #[must_use]
    pub fn report(&self) -> Report {
        let shared = self.shared_since().map(|since| (Reason::StreamShared, since.elapsed()));
        let (now, notes) = (Instant::now(), self.notes());
        let unseen = now - notes.seen;
        // What is calm now has failed until it became so; whether it stays calm is to be seen.
        let failed_until = notes.standby_since.unwrap_or(now);
        let failing = notes.failing.map(|(reason, since)| (reason, failed_until - since));
        let failing = failing.filter(|(_, time)| *time >= FAILING_AFTER);
        let stalled = (unseen >= STALLED_AFTER).then_some((Reason::Stalled, unseen));
        let (lag, success_age) = (now - notes.level, now - notes.worked);
        Report { role: notes.role, failing: failing.or(stalled).or(shared), lag, success_age }
    }

    /// Shows the report as metrics.
    pub fn show(&self) {
        let Report { failing, lag, success_age, .. } = self.report();
        metrics::gauge!("gateway_relay_failing").set(if failing.is_some() { 1.0 } else { 0.0 });
        metrics::gauge!("gateway_relay_lag_seconds").set(lag.as_secs_f64());
        metrics::gauge!("gateway_relay_success_age_seconds").set(success_age.as_secs_f64());
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Role {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Leading => "leading",
            Self::Standby => "standby",
        }
    }
}

impl Reason {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DatabaseUnavailable => "database_unavailable",
            Self::DatabaseReadOnly => "database_read_only",
            Self::DatabaseRefused => "database_refused",
            Self::DatabaseSessionTimeout => "database_session_timeout",
            Self::DatabaseUnexpected => "database_unexpected",
            Self::Lineage => "lineage",
            Self::BusUnavailable => "bus_unavailable",
            Self::BusFull => "bus_full",
            Self::MessageTooLarge => "message_too_large",
            Self::ForeignMessage => "foreign_message",
            Self::StreamShared => "stream_shared",
            Self::Fenced => "fenced",
            Self::Encoding => "encoding",
            Self::Stalled => "stalled",
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_failover_is_no_failure_and_what_lasts_is() {
        let state = RelayState::default();
        state.leads();
        state.is_level(Instant::now());
        for _ in 0..14 {
            state.fails(Reason::BusUnavailable);
            advance(SECOND).await;
        }
        assert_eq!(state.report().failing, None);
        assert_eq!(state.fails(Reason::ForeignMessage), 14 * SECOND);
        advance(SECOND).await;
        let report = state.report();
        assert_eq!(report.failing, Some((Reason::ForeignMessage, 15 * SECOND)));
        assert_eq!((report.role, report.lag, report.success_age), (Role::Starting, 15 * SECOND, 15 * SECOND));
        state.leads();
        assert!(state.report().failing.is_some(), "a term that begins has not worked yet");
        state.works();
        assert_eq!((state.report().failing, state.report().lag), (None, 15 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn another_relay_must_hold_the_lease_for_a_while_to_be_believed() {
        let state = RelayState::default();
        for _ in 0..40 {
            state.fails(Reason::BusUnavailable);
            advance(SECOND).await;
            for _ in 0..6 {
                state.stands_by();
                advance(SECOND).await;
            }
        }
        assert!(state.report().failing.is_some());
        for _ in 0..=10 {
            state.stands_by();
            advance(SECOND).await;
        }
        let report = state.report();
        assert_eq!((report.role, report.failing, report.lag), (Role::Standby, None, SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_relay_that_stands_by_after_a_short_outage_never_failed() {
        let state = RelayState::default();
        for _ in 0..6 {
            state.fails(Reason::DatabaseUnavailable);
            advance(SECOND).await;
        }
        for _ in 0..30 {
            state.stands_by();
            assert_eq!(state.report().failing, None);
            advance(SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fork_is_a_failover_and_two_are_two_databases() {
        let state = RelayState::default();
        state.leads();
        for (minutes, expected) in [(0, None), (11, None), (9, Some(Reason::StreamShared))] {
            advance(minutes * 60 * SECOND).await;
            state.forks();
            state.is_level(Instant::now());
            assert_eq!(state.report().failing.map(|(reason, _)| reason), expected);
        }
        advance(10 * 60 * SECOND).await;
        state.is_level(Instant::now());
        assert_eq!(state.report().failing, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_go_on_is_noticed() {
        let state = RelayState::default();
        state.stands_by();
        advance(89 * SECOND).await;
        assert_eq!(state.report().failing, None);
        advance(SECOND).await;
        assert_eq!(state.report().failing, Some((Reason::Stalled, 90 * SECOND)));
    }
}
