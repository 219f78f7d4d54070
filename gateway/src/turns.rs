//! Turns at the database: shares of the pool's connections, for which a statement waits.

use crate::failure::Failure;
use crate::shares::{ASK_AGAIN, Share, Shares};
use crate::token::Identity;

/// The turns of everybody.
#[derive(Clone)]
pub struct Turns(Shares);

impl Turns {
    /// Turns at a pool of so many connections.
    #[must_use]
    pub fn new(connections: u16) -> Self {
        Self(Shares::new(usize::from(connections)))
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// When the user's or the tenant's statements keep running for too long.
    pub async fn take(&self, who: &Identity) -> Result<Share, Failure> {
        self.0.wait(who).await.ok_or_else(|| {
            metrics::counter!("gateway_turns_refused_total").increment(1);
            Failure::rate_limited(ASK_AGAIN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;

    #[tokio::test(start_paused = true)]
    async fn whoever_has_his_share_waits_and_keeps_nobody_else_waiting() {
        let turns = Turns::new(8);
        let (ann, bob, eve, carol) = (
            Identity::numbered(1, 1),
            Identity::numbered(2, 1),
            Identity::numbered(3, 1),
            Identity::numbered(4, 2),
        );
        let held = [
            turns.take(&ann).await.unwrap(),
            turns.take(&ann).await.unwrap(),
            turns.take(&bob).await.unwrap(),
            turns.take(&bob).await.unwrap(),
        ];
        for late in [&ann, &eve] {
            let failure = turns.take(late).await.err().unwrap();
            assert_eq!((failure.code, failure.retry_after), (Code::RateLimited, Some(ASK_AGAIN)));
        }
        let other = turns.take(&carol).await.unwrap();
        let (next, ()) = tokio::join!(turns.take(&eve), async { drop(held) });
        drop((next.unwrap(), other));
        assert!(turns.0.is_unused());
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_pool_has_a_turn_for_everybody() {
        let turns = Turns::new(1);
        let turn = turns.take(&Identity::numbered(1, 1)).await.unwrap();
        assert!(turns.take(&Identity::numbered(2, 2)).await.is_ok());
        assert!(turns.take(&Identity::numbered(1, 1)).await.is_err());
        drop(turn);
    }
}
