//! What the reader sees while waiting.

use std::fmt::Display;
use std::time::Instant;

/// A clock that starts with the command; each step is printed with the seconds since then.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
}

impl Progress {
    /// Starts the clock.
    #[must_use]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Says what happens now.
    pub fn step(&self, what: impl Display) {
        println!("[{:6.1} s] {what}", self.seconds());
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
