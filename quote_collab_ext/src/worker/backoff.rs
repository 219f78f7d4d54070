//! Waits between attempts: doubling, with jitter, bounded.

use std::time::Duration;

/// The next wait after a failure.
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// From `first`, doubling up to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// How long to wait now: between half and all of what is due.
    pub fn next(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.last);
        let jitter = u32::from(uuid::Uuid::new_v4().into_bytes()[0]);
        due / 2 + due / 2 * jitter / 255
    }

    /// It worked: begins again with the first wait.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}
