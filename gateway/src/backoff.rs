//! Waiting before trying again: longer each time, and never in step with the other gateways.

use std::time::Duration;

use rand::Rng;

/// What has lasted for less than this has not worked: a server that takes a connection and ends it at once is no better
/// than one that refuses it. It is more than the time in which a connection may fail to be made.
const LASTING: Duration = Duration::from_secs(15);

/// A retry delay that doubles up to a limit. Half of each delay is random, so that a hundred gateways that lost the
/// same server do not come back in the same millisecond.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `first` and never waits longer than `limit`.
    #[must_use]
    pub const fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, next: first }
    }

    /// The next delay.
    pub fn delay(&mut self) -> Duration {
        self.delay_within(self.limit)
    }

    /// The next delay, of at most so long this time, whatever the limit of others is.
    pub fn delay_within(&mut self, limit: Duration) -> Duration {
        let base = self.next.min(limit);
        self.next = base.saturating_mul(2).min(limit);
        base.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// What was tried has worked: begin with short delays again.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }

    /// What was tried has worked for so long.
    pub fn reset_if_lasting(&mut self, worked: Duration) {
        if worked >= LASTING {
            self.reset();
        }
    }
}

/// A period with a tenth of jitter to either side, for work that every gateway does on its own.
#[must_use]
pub fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..=1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_limit_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1_000, 1_000] {
            let delay = backoff.delay();
            assert!(
                delay <= Duration::from_millis(full) && delay >= Duration::from_millis(full / 2),
                "{delay:?}"
            );
        }
        backoff.reset();
        assert!(backoff.delay() <= Duration::from_millis(100));
    }

    #[test]
    fn what_ends_at_once_each_time_is_tried_less_and_less_often() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for _ in 0..4 {
            backoff.reset_if_lasting(Duration::from_millis(20));
            backoff.delay();
        }
        assert!(backoff.delay() >= Duration::from_millis(500));
        backoff.reset_if_lasting(LASTING);
        assert!(backoff.delay() <= Duration::from_millis(100));
    }

    #[test]
    fn a_delay_may_have_a_limit_of_its_own() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        for _ in 0..5 {
            backoff.delay();
        }
        assert!(backoff.delay() > Duration::from_secs(15));
        assert!(backoff.delay_within(Duration::from_secs(3)) <= Duration::from_secs(3));
        assert!(backoff.delay() <= Duration::from_secs(3));
    }
}
