//! Turns at the database. The pool is shared by all tenants: a user, and a tenant, may have only so many statements
//! running at once, so that whoever keeps it busy keeps it from himself first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use crate::failure::Failure;
use crate::token::Identity;

/// Longest wait for a turn: as long as anybody waits for a connection.
const WAIT: Duration = Duration::from_secs(5);
/// When it makes sense to ask again: statements that hang are ended within seconds.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The turns of everybody.
#[derive(Clone)]
pub struct Turns {
    users: Arc<Queues>,
    tenants: Arc<Queues>,
}

/// A turn, given back when dropped.
pub struct Turn {
    _user: Place,
    _tenant: Place,
}

impl Turns {
    /// Turns at a pool of so many connections: half of it for a tenant, half of that for a user.
    #[must_use]
    pub fn new(connections: u16) -> Self {
        let connections = usize::from(connections);
        Self { users: Queues::new(connections / 4), tenants: Queues::new(connections / 2) }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    ///
    /// When the user's or the tenant's statements keep running for too long.
    pub async fn take(&self, who: &Identity) -> Result<Turn, Failure> {
        let places = async {
            let user = self.users.wait(who.user).await;
            let tenant = self.tenants.wait(who.tenant).await;
            Turn { _user: user, _tenant: tenant }
        };
        timeout(WAIT, places).await.map_err(|_| {
            metrics::counter!("gateway_turns_refused_total").increment(1);
            Failure::rate_limited(ASK_AGAIN)
        })
    }
}

/// One queue for everybody who is there.
struct Queues {
    each: usize,
    open: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
}

/// A place in a queue, and from some moment on at its head.
struct Place {
    queues: Arc<Queues>,
    key: Uuid,
    queue: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Queues {
    fn new(each: usize) -> Arc<Self> {
        Arc::new(Self { each: each.max(1), open: Mutex::default() })
    }

    async fn wait(self: &Arc<Self>, key: Uuid) -> Place {
        let mut place = self.enter(key);
        if let Some(queue) = place.queue.clone() {
            // Nobody closes a queue.
            place.permit = queue.acquire_owned().await.ok();
        }
        place
    }

    fn enter(self: &Arc<Self>, key: Uuid) -> Place {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = open.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.each)));
        Place { queues: Arc::clone(self), key, queue: Some(Arc::clone(queue)), permit: None }
    }
}

impl Drop for Place {
    /// The last to leave takes the queue away; without this the table would keep everyone ever seen.
    fn drop(&mut self) {
        let mut open = self.queues.open.lock().unwrap_or_else(PoisonError::into_inner);
        drop((self.permit.take(), self.queue.take()));
        if open.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
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
        for queues in [&turns.users, &turns.tenants] {
            assert!(queues.open.lock().unwrap().is_empty());
        }
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
