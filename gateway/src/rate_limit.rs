//! How many operations a user may start.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// A budget per user that refills steadily.
pub struct OperationBudget {
    limiter: DefaultKeyedRateLimiter<Uuid>,
    clock: DefaultClock,
}

impl OperationBudget {
    /// So many operations a second, and so many at once after a quiet time.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one operation from the user's budget.
    ///
    /// # Errors
    ///
    /// How long to wait when the budget is empty.
    pub fn take(&self, user: Uuid) -> Result<(), Duration> {
        self.limiter.check_key(&user).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets users whose budget is full again; without this the table would keep everyone ever seen.
    pub fn forget_idle(&self) {
        self.limiter.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_does_not_spend_the_budget_of_another() {
        let budget = OperationBudget::new(NonZeroU32::MIN, NonZeroU32::new(3).unwrap());
        let (ann, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!((0..3).all(|_| budget.take(ann).is_ok()));
        let wait = budget.take(ann).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(budget.take(bob).is_ok());
    }
}
