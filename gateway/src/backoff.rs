//! Waiting before trying again: longer each time, and never in step with the other gateways.

use std::time::Duration;

use rand::Rng;

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
        let base = self.next;
        self.next = base.saturating_mul(2).min(self.limit);
        base.mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    /// What was tried has worked: begin with short delays again.
    pub const fn reset(&mut self) {
        self.next = self.first;
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
}
