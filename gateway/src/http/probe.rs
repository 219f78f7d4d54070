//! Asking the database for its health, once for everybody who wants to know.
//!
//! Whoever reaches the port may ask, and the question takes a connection that the relay needs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// A probe must be quicker than its caller's patience.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// For so long an answer is news.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer; who needs the next one waits for whoever is asking.
#[derive(Debug)]
pub struct Probe {
    last: Mutex<Answer>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Instant,
    is_yes: bool,
}

impl Default for Probe {
    /// Whoever answers has asked the database before.
    fn default() -> Self {
        let last = Mutex::new(Answer { at: Instant::now(), is_yes: true });
        Self { last, asking: tokio::sync::Mutex::default() }
    }
}

impl Probe {
    /// Whether the answer is yes, as far as is known for a second.
    pub async fn finds(&self, ask: impl AsyncFnOnce() -> bool) -> bool {
        if let Some(answer) = self.news() {
            return answer;
        }
        let _asking = self.asking.lock().await;
        if let Some(answer) = self.news() {
            return answer;
        }
        let is_yes = timeout(PROBE_TIMEOUT, ask()).await.unwrap_or(false);
        *self.last() = Answer { at: Instant::now(), is_yes };
        is_yes
    }

    /// The last answer, however old.
    #[must_use]
    pub fn found(&self) -> bool {
        self.last().is_yes
    }

    /// Whether it is time to ask again, and nobody does.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.news().is_none() && self.asking.try_lock().is_ok()
    }

    fn news(&self) -> Option<bool> {
        let Answer { at, is_yes } = *self.last();
        (at.elapsed() < FRESH).then_some(is_yes)
    }

    fn last(&self) -> MutexGuard<'_, Answer> {
        // Nothing panics while it is held.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_the_database_is_asked_once_a_second() {
        let (probe, asked) = (Probe::default(), AtomicUsize::new(0));
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            true
        };
        for second in 1..=3 {
            advance(FRESH).await;
            let answers = join_all((0..100).map(|_| probe.finds(ask))).await;
            assert!(answers.iter().all(|answer| *answer));
            assert_eq!(asked.load(Ordering::Relaxed), second);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_keeps_nobody_for_longer_than_one_probe() {
        let probe = Probe::default();
        advance(FRESH).await;
        let begun = Instant::now();
        let answers = join_all((0..100).map(|_| probe.finds(async || pending().await))).await;
        assert!(answers.iter().all(|answer| !answer));
        assert_eq!(begun.elapsed(), PROBE_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_answer_is_there_at_once_while_the_database_hangs() {
        let (probe, begun) = (Probe::default(), Instant::now());
        assert!(probe.found() && !probe.is_due());
        advance(FRESH).await;
        assert!(probe.is_due());
        tokio::join!(probe.finds(async || pending().await), async {
            assert!(probe.found() && !probe.is_due());
            assert_eq!(begun.elapsed(), FRESH);
        });
        assert!(!probe.found());
    }
}
