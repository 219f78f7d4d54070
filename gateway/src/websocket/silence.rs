//! How long a client may say nothing.

use std::time::Duration;

use tokio::time::Instant;

/// A client that has been silent for so long, or has taken nothing for so long, is gone.
const SILENCE: Duration = Duration::from_secs(30);
/// Bytes that a client takes in a second at least.
const SLOWEST: usize = 32 << 10;
/// What the system may still have of what was sent: a ping waits behind it.
const ON_ITS_WAY: usize = 4 << 20;

/// The patience with one client.
#[derive(Debug)]
pub struct Silence {
    ends: Instant,
}

impl Silence {
    /// It begins.
    #[must_use]
    pub fn at(now: Instant) -> Self {
        Self { ends: now + SILENCE }
    }

    /// When the client is gone, if nothing happens.
    #[must_use]
    pub const fn ends(&self) -> Instant {
        self.ends
    }

    /// The client has said something.
    pub fn heard(&mut self, now: Instant) {
        self.ends = self.ends.max(now + SILENCE);
    }

    /// The client has taken so much, which is a sign of life, too. It has the last of it later.
    pub fn taken(&mut self, now: Instant, bytes: usize) {
        let last = now + SILENCE + time_for(ON_ITS_WAY);
        self.ends = (self.ends.max(now + SILENCE) + time_for(bytes)).min(last);
    }
}

/// How long a message may take.
#[must_use]
pub fn patience_for(bytes: usize) -> Duration {
    SILENCE + time_for(bytes)
}

fn time_for(bytes: usize) -> Duration {
    Duration::from_secs((bytes / SLOWEST) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_or_says_something_is_there() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut silence = Silence::at(begun);
        assert_eq!(silence.ends(), after(30));
        silence.heard(after(10));
        assert_eq!(silence.ends(), after(40));
        // A message that took longer than silence may.
        silence.taken(after(100), 100);
        assert_eq!(silence.ends(), after(130));
        silence.taken(after(100), 1 << 20);
        assert_eq!(silence.ends(), after(130 + 32));
        silence.heard(after(110));
        assert_eq!(silence.ends(), after(162));
        silence.taken(after(120), 100 << 20);
        assert_eq!(silence.ends(), after(150 + 128));
        assert_eq!(patience_for(1 << 20), Duration::from_secs(62));
    }
}
