//! Asking the database for its health, once for everybody who wants to know.
//!
//! Whoever reaches the port may ask, and the question takes a connection that the relay needs.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// A probe must be quicker than its caller's patience.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// For so long an answer is news.
const FRESH: Duration = Duration::from_secs(1);

/// The last answer; who looks at it waits for whoever is asking.
#[derive(Debug, Default)]
pub struct Probe {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    /// Whether the answer is yes, as far as is known for a second.
    pub async fn finds(&self, ask: impl AsyncFnOnce() -> bool) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, answer)) = *last
            && at.elapsed() < FRESH
        {
            return answer;
        }
        let answer = timeout(PROBE_TIMEOUT, ask()).await.unwrap_or(false);
        *last = Some((Instant::now(), answer));
        answer
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
            let answers = join_all((0..100).map(|_| probe.finds(ask))).await;
            assert!(answers.iter().all(|answer| *answer));
            assert_eq!(asked.load(Ordering::Relaxed), second);
            advance(FRESH).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_hangs_keeps_nobody_for_longer_than_one_probe() {
        let (probe, begun) = (Probe::default(), Instant::now());
        let answers = join_all((0..100).map(|_| probe.finds(async || pending().await))).await;
        assert!(answers.iter().all(|answer| !answer));
        assert_eq!(begun.elapsed(), PROBE_TIMEOUT);
    }
}
