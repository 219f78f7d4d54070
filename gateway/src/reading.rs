//! How fast what a user sends is read. Unlike the budget of operations this one gives credit: what has come is dealt with at once, and its socket is read
//! again when all is paid for that the user sent before, on whatever sockets. So a large message waits no longer than small ones do.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// KiB of messages for each operation that a user may start; each message counts for one more.
const EACH: u32 = 4;
/// A socket is left unread for no longer.
const LONGEST: Duration = Duration::from_secs(30);

/// What is read of everybody: the generic cell rate algorithm (ITU-T I.371) with unbounded credit.
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

    /// A message of so many bytes has come: when its socket is read again.
    pub fn charge(&self, user: Uuid, bytes: usize, now: Instant) -> Instant {
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        let mut paid = self.paid();
        let at = paid.entry(user).or_insert(now);
        *at = now.max(*at) + self.kib.saturating_mul(kib);
        let debt = at.duration_since(now).saturating_sub(self.burst);
        now + debt.min(LONGEST)
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
        // A KiB each quarter of a second, and eight at once.
        let reading = Reading::new(NonZeroU32::MIN, NonZeroU32::new(2).unwrap());
        let (ann, bob, now) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        let waits = |who, bytes| reading.charge(who, bytes, now) - now;
        assert_eq!([waits(ann, 100), waits(ann, 6 << 10)], [Duration::ZERO; 2]);
        assert_eq!(waits(ann, 100), Duration::from_millis(250));
        assert_eq!(waits(ann, 3 << 10), Duration::from_millis(1250), "each waits for what came before");
        assert_eq!(waits(bob, 100), Duration::ZERO);
        assert_eq!(waits(ann, 1 << 20), LONGEST);
        reading.forget_idle();
        assert_eq!(reading.paid().len(), 2);
        let later = now + Duration::from_mins(10);
        assert_eq!(reading.charge(ann, 100, later), later);
    }
}
