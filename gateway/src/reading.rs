//! How fast what a user sends is read, whatever is in it. His messages come one after the other, from all of his sockets; small ones, which are cheap and
//! may end something, pass by.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// KiB of messages for each operation that a user may start.
const EACH: u32 = 4;
/// Bytes of a message that waits for nobody and counts for nothing: a token fits in.
const SMALL: usize = 9 << 10;
/// No message waits for longer.
const LONGEST: Duration = Duration::from_secs(30);

/// What is read of everybody: the generic cell rate algorithm (ITU-T I.371), in which what comes too early waits in the order in which it came. The
/// library that keeps the budget of operations has no such order: small messages pass large ones by there, for as long as they come.
pub struct Reading {
    kib: Duration,
    burst: Duration,
    /// When all is paid for that somebody has sent.
    paid: Mutex<HashMap<Uuid, Instant>>,
}

impl Reading {
    /// Of users who may start so many operations a second, and so many at once after a quiet time.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let kib = Duration::from_secs(1) / per_second.get().saturating_mul(EACH);
        let burst = kib.saturating_mul(burst.get().saturating_mul(EACH));
        Self { kib, burst, paid: Mutex::default() }
    }

    /// A message of so many bytes has come: when it is its turn.
    pub fn turn(&self, user: Uuid, bytes: usize, now: Instant) -> Instant {
        if bytes < SMALL {
            return now;
        }
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
        let mut paid = self.paid();
        let at = paid.entry(user).or_insert(now);
        let debt = at.saturating_duration_since(now);
        *at = now + debt.saturating_add(self.kib.saturating_mul(kib)).min(self.burst.saturating_add(LONGEST));
        now + debt.saturating_sub(self.burst)
    }

    /// Forgets who owes nothing.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.paid().retain(|_, at| *at > now);
    }

    fn paid(&self) -> MutexGuard<'_, HashMap<Uuid, Instant>> {
        // Nothing panics while it is held.
        self.paid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_sends_much_is_read_when_it_is_paid() {
        // Four KiB a second, and forty at once.
        let reading = Reading::new(NonZeroU32::MIN, NonZeroU32::new(10).unwrap());
        let (ann, bob, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        let wait = |who, kib: usize| reading.turn(who, kib << 10, now) - now;
        assert_eq!([wait(ann, 12), wait(ann, 28), wait(ann, 12)], [Duration::ZERO; 3]);
        assert_eq!([wait(ann, 20), wait(ann, 12)], [3, 8].map(Duration::from_secs), "one after the other");
        assert_eq!([wait(ann, 8), wait(bob, 1000)], [Duration::ZERO; 2], "small, or another's");
        assert_eq!([wait(bob, 12), wait(bob, 12)], [LONGEST; 2]);
        reading.forget_idle();
        assert_eq!(reading.paid().len(), 2);
        let later = now + Duration::from_mins(1);
        assert_eq!(reading.turn(bob, 12 << 10, later), later);
    }
}
