//! Shares of what all tenants have in common: a user, and a tenant, may have only so much of it at once, so that whoever takes much keeps it
//! from himself first.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use uuid::Uuid;

use crate::token::Identity;

/// Longest wait for a piece: as long as anybody waits for a connection to the database.
const WAIT: Duration = Duration::from_secs(5);
/// When it makes sense to ask again for one that was refused: statements that hang are ended within seconds.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The shares of everybody.
#[derive(Clone)]
pub struct Shares {
    own: Option<Arc<Queues>>,
    users: Arc<Queues>,
    tenants: Arc<Queues>,
}

/// One piece of somebody's share, given back when dropped.
pub struct Share {
    _user: Place,
    _tenant: Option<Place>,
}

impl Shares {
    /// Shares of so many: half of them for a tenant, half of that for a user.
    #[must_use]
    pub fn new(all: usize) -> Self {
        Self { own: None, users: Queues::new(all / 4), tenants: Queues::new(all / 2) }
    }

    /// The same, but that a user has so many of his share whatever the others of his tenant have.
    #[must_use]
    pub fn with_own(all: usize, own: usize) -> Self {
        let users = Queues::new((all / 4).saturating_sub(own));
        Self { own: Some(Queues::new(own)), users, tenants: Queues::new(all / 2) }
    }

    /// Waits for a piece, for the user's own first; none when the user or the tenant keeps having as many as there may be.
    pub async fn wait(&self, who: &Identity) -> Option<Share> {
        let own = async {
            match &self.own {
                Some(own) => {
                    own.wait(who.user, 1).await.map(|user| Share { _user: user, _tenant: None }).collect()
                }
                None => pending().await,
            }
        };
        let share = async {
            tokio::select! {
                biased;
                share = own => share,
                share = self.common(who, 1) => share,
            }
        };
        timeout(WAIT, share).await.ok().and_then(|mut share: Vec<Share>| share.pop())
    }

    /// Waits for so many pieces at once, or for all that there may be: whoever waits for more of them one after the other keeps others, who do
    /// the same, from theirs. None when the user or the tenant keeps having too many.
    pub async fn wait_for(&self, who: &Identity, count: usize, patience: Duration) -> Option<Vec<Share>> {
        let count = count.clamp(1, self.users.each.min(self.tenants.each));
        timeout(patience, self.common(who, count)).await.ok()
    }

    async fn common(&self, who: &Identity, count: usize) -> Vec<Share> {
        let users = self.users.wait(who.user, count).await;
        let tenants = self.tenants.wait(who.tenant, count).await;
        users.zip(tenants).map(|(user, tenant)| Share { _user: user, _tenant: Some(tenant) }).collect()
    }

    /// A piece; none when the user or the tenant has as many as there may be.
    #[must_use]
    pub fn take(&self, who: &Identity) -> Option<Share> {
        if let Some(own) = self.own.as_ref().and_then(|own| own.take(who.user)) {
            return Some(Share { _user: own, _tenant: None });
        }
        let user = self.users.take(who.user)?;
        let tenant = self.tenants.take(who.tenant)?;
        Some(Share { _user: user, _tenant: Some(tenant) })
    }

    /// Whether nobody has anything, and nothing is kept of anybody.
    #[cfg(test)]
    #[must_use]
    pub fn is_unused(&self) -> bool {
        let all = [Some(&self.users), Some(&self.tenants), self.own.as_ref()];
        all.into_iter().flatten().all(|queues| queues.open().is_empty())
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

    /// Places that come to the head together.
    async fn wait(self: &Arc<Self>, key: Uuid, count: usize) -> impl Iterator<Item = Place> + use<> {
        let mut first = self.enter(key);
        if let Some(queue) = first.queue.clone() {
            // Nobody closes a queue.
            first.permit = queue.acquire_many_owned(u32::try_from(count).unwrap_or(u32::MAX)).await.ok();
        }
        let rest: Vec<Place> = (1..count).map(|_| self.enter(key).with(first.permit.as_mut())).collect();
        std::iter::once(first).chain(rest)
    }

    fn take(self: &Arc<Self>, key: Uuid) -> Option<Place> {
        let mut place = self.enter(key);
        place.permit = place.queue.clone()?.try_acquire_owned().ok();
        place.permit.is_some().then_some(place)
    }

    fn enter(self: &Arc<Self>, key: Uuid) -> Place {
        let mut open = self.open();
        let queue = open.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.each)));
        Place { queues: Arc::clone(self), key, queue: Some(Arc::clone(queue)), permit: None }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Semaphore>>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// With one of several that came together.
    fn with(mut self, several: Option<&mut OwnedSemaphorePermit>) -> Self {
        self.permit = several.and_then(|several| several.split(1));
        self
    }
}

impl Drop for Place {
    /// The last to leave takes the queue away; without this the table would keep everyone ever seen.
    fn drop(&mut self) {
        let mut open = self.queues.open();
        drop((self.permit.take(), self.queue.take()));
        if open.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_his_share_gets_no_more_and_leaves_the_rest_to_others() {
        let shares = Shares::new(8);
        let (ann, bob, eve, carol) = (
            Identity::numbered(1, 1),
            Identity::numbered(2, 1),
            Identity::numbered(3, 1),
            Identity::numbered(4, 2),
        );
        let mut held = vec![shares.take(&ann).unwrap(), shares.take(&ann).unwrap()];
        assert!(shares.take(&ann).is_none(), "a quarter for a user");
        held.extend([shares.take(&bob).unwrap(), shares.take(&bob).unwrap()]);
        assert!(shares.take(&eve).is_none(), "half for a tenant");
        let other = shares.take(&carol).unwrap();
        drop(held.pop());
        held.push(shares.take(&eve).unwrap());
        assert!(shares.take(&bob).is_none());
        drop((held, other));
        assert!(shares.is_unused());
    }

    #[test]
    fn the_fewest_have_a_share_for_everybody() {
        let shares = Shares::new(1);
        let share = shares.take(&Identity::numbered(1, 1));
        assert!(share.is_some() && shares.take(&Identity::numbered(2, 2)).is_some());
        assert!(shares.take(&Identity::numbered(1, 1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_a_users_own_is_his_whatever_his_tenant_has() {
        let shares = Shares::with_own(8, 1);
        let everybody = [1, 2, 3, 4, 5].map(|user| Identity::numbered(user, 1));
        let [.., late] = &everybody;
        let held: Vec<_> =
            everybody[..4].iter().flat_map(|who| [shares.take(who), shares.take(who)]).collect();
        assert!(held.iter().all(Option::is_some) && shares.take(&everybody[0]).is_none());
        let own = shares.take(late).unwrap();
        assert!(shares.wait(late).await.is_none(), "the tenant has its half");
        let (next, ()) = tokio::join!(shares.wait(late), async { drop(own) });
        assert!(next.is_some());
        drop((held, next));
        assert!(shares.is_unused());
    }
}
