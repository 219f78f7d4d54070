//! How many operations a user may start.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// A budget per user that refills steadily.
pub struct OperationBudget {
    limiter: DefaultKeyedRateLimiter<Uuid>,
    burst: NonZeroU32,
    /// In which a budget gets one more.
    refill: Duration,
    clock: DefaultClock,
}

impl OperationBudget {
    /// So many operations a second, and so many at once after a quiet time.
    #[must_use]
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)),
            burst,
            refill: Duration::from_secs(1) / per_second.get(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes so many operations from the user's budget, or nothing, after so many that the same request has taken. What costs more than a
    /// full budget in all takes all of it.
    ///
    /// # Errors
    ///
    /// How long to wait when the budget does not reach, until it does for all that the request takes.
    pub fn take(&self, user: Uuid, cost: u32, taken: u32) -> Result<(), Duration> {
        let rest = self.burst.get().saturating_sub(taken);
        let Some(cost) = NonZeroU32::new(cost.min(rest)) else { return Ok(()) };
        match self.limiter.check_key_n(&user, cost) {
            Ok(Err(until)) => {
                Err(until.wait_time_from(self.clock.now()) + self.refill * taken.min(self.burst.get()))
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
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
        assert!((0..3).all(|_| budget.take(ann, 1, 0).is_ok()));
        let wait = budget.take(ann, 1, 0).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(budget.take(bob, 1, 0).is_ok());
    }

    #[test]
    fn what_costs_more_takes_more_and_at_most_all() {
        let budget = OperationBudget::new(NonZeroU32::MIN, NonZeroU32::new(10).unwrap());
        let (ann, bob, eve) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        assert!(budget.take(ann, 8, 0).is_ok());
        assert!(budget.take(ann, 8, 0).is_err());
        assert!(budget.take(ann, 2, 0).is_ok());
        assert!(budget.take(bob, 900, 0).is_ok());
        assert!(budget.take(bob, 1, 0).is_err());
        assert!(budget.take(bob, 0, 0).is_ok());
        assert!(budget.take(eve, 4, 0).is_ok());
        assert!(budget.take(eve, 40, 4).is_ok(), "in all it takes what there is");
        assert!(budget.take(eve, 1, 0).is_err());
        let kim = Uuid::from_u128(4);
        assert!((budget.take(kim, 1, 0), budget.take(kim, 6, 0)) == (Ok(()), Ok(())));
        let wait = budget.take(kim, 5, 6).unwrap_err();
        assert!(wait > Duration::from_secs(6), "both are there by then: {wait:?}");
    }
}
