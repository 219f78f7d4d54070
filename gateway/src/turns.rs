//! Turns at the database: shares of the pool's connections, for which a statement waits.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::postgres::{CLIENT_CHECK, DatabaseError};
use crate::shares::{ASK_AGAIN, Share, Shares};
use crate::token::Identity;
use crate::unsent::Expected;

/// So long a statement that was given up runs on at most.
const GIVEN_UP: Duration = CLIENT_CHECK.saturating_add(Duration::from_millis(50));

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

/// A turn at the database for what will bring about so much, given back when dropped.
pub struct Turn {
    share: Option<Share>,
    is_running: bool,
    _expected: Expected,
}

impl Turn {
    /// A turn at which nothing runs yet.
    #[must_use]
    pub const fn new(share: Share, expected: Expected) -> Self {
        Self { share: Some(share), is_running: false, _expected: expected }
    }

    /// Runs a statement.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub async fn run<T>(
        &mut self,
        statement: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        self.is_running = true;
        let answer = statement.await;
        self.is_running = matches!(answer, Err(DatabaseError::TimedOut));
        answer
    }
}

impl Drop for Turn {
    /// A statement that nobody waits for any more runs on in the database for a while. Whoever asks and gives up again and again
    /// would have many of them there at once, each on a connection of its own.
    fn drop(&mut self) {
        if self.is_running
            && let Ok(runtime) = Handle::try_current()
        {
            let share = self.share.take();
            runtime.spawn(async move {
                sleep(GIVEN_UP).await;
                drop(share);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Code;
    use crate::unsent::Unsent;

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

    #[tokio::test(start_paused = true)]
    async fn a_turn_lasts_as_long_as_a_statement_that_was_given_up() {
        let (turns, ann) = (Turns::new(4), Identity::numbered(1, 1));
        let unsent = Unsent::default();
        let turn = async || Turn::new(turns.take(&ann).await.unwrap(), unsent.go_on(0));
        let waits = async |error: Option<DatabaseError>| {
            let mut turn = turn().await;
            match error {
                None => {
                    let statement = turn.run(std::future::pending::<Result<(), _>>());
                    assert!(tokio::time::timeout(Duration::ZERO, statement).await.is_err());
                }
                Some(error) => drop(turn.run(async { Err::<(), _>(error) }).await),
            }
            drop(turn);
            let given_back = tokio::time::Instant::now();
            drop(turns.take(&ann).await.unwrap());
            given_back.elapsed() >= GIVEN_UP
        };
        assert!(waits(None).await && waits(Some(DatabaseError::TimedOut)).await);
        assert!(!waits(Some(DatabaseError::TooLarge)).await, "it has answered");
        assert!(turns.0.is_unused());
    }
}
