//! Turns at the database: shares of the pool's connections, for which a statement waits.

use std::time::Duration;

use tokio::time::timeout;

use crate::failure::Failure;
use crate::shares::{Share, Shares};
use crate::token::Identity;

/// Longest wait for a turn: as long as anybody waits for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// When it makes sense to ask again: statements that hang are ended within seconds.
const ASK_AGAIN: Duration = Duration::from_secs(1);

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
        timeout(WAIT, self.0.wait(who)).await.map_err(|_| {
            metrics::counter!("gateway_turns_refused_total").increment(1);
            Failure::rate_limited(ASK_AGAIN)
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::failure::Code;

    fn identity(user: u128, tenant: u128) -> Identity {
        let (user, tenant) = (Uuid::from_u128(user), Uuid::from_u128(tenant));
        Identity { user, username: None, tenant, email: None, expires_at: u64::MAX }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_his_share_waits_and_keeps_nobody_else_waiting() {
        let turns = Turns::new(8);
        let (ann, bob, eve, carol) = (identity(1, 1), identity(2, 1), identity(3, 1), identity(4, 2));
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
        let turn = turns.take(&identity(1, 1)).await.unwrap();
        assert!(turns.take(&identity(2, 2)).await.is_ok());
        assert!(turns.take(&identity(1, 1)).await.is_err());
        drop(turn);
    }
}
