//! Shares of the sockets. All tenants have them in common: a user, and a tenant, may have only so many of them, so that
//! whoever opens many keeps them from himself first.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::token::Identity;

/// The shares of everybody who is there.
#[derive(Clone)]
pub struct Shares {
    users: Arc<Counts>,
    tenants: Arc<Counts>,
}

/// One socket of somebody, given back when dropped.
pub struct Share {
    _user: Counted,
    _tenant: Counted,
}

impl Shares {
    /// Shares of so many sockets: half of them for a tenant, half of that for a user.
    #[must_use]
    pub fn new(sockets: usize) -> Self {
        Self { users: Counts::new(sockets / 4), tenants: Counts::new(sockets / 2) }
    }

    /// A socket for somebody; none when the user or the tenant has as many as there may be.
    #[must_use]
    pub fn take(&self, who: &Identity) -> Option<Share> {
        let user = self.users.count(who.user)?;
        let tenant = self.tenants.count(who.tenant)?;
        Some(Share { _user: user, _tenant: tenant })
    }
}

/// How many each has.
struct Counts {
    most: usize,
    open: Mutex<HashMap<Uuid, usize>>,
}

/// One that is counted.
struct Counted {
    counts: Arc<Counts>,
    key: Uuid,
}

impl Counts {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), open: Mutex::default() })
    }

    fn count(self: &Arc<Self>, key: Uuid) -> Option<Counted> {
        let mut open = self.open();
        let count = open.entry(key).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted { counts: Arc::clone(self), key })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        // Nothing panics while it is held.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    /// The last to leave takes the count away; without this the table would keep everyone ever seen.
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.counts.open().entry(self.key) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: u128, tenant: u128) -> Identity {
        let (user, tenant) = (Uuid::from_u128(user), Uuid::from_u128(tenant));
        Identity { user, username: None, tenant, email: None, expires_at: u64::MAX }
    }

    #[test]
    fn whoever_has_his_share_gets_no_more_and_leaves_the_rest_to_others() {
        let shares = Shares::new(8);
        let (ann, bob, eve, carol) = (identity(1, 1), identity(2, 1), identity(3, 1), identity(4, 2));
        let mut held = vec![shares.take(&ann).unwrap(), shares.take(&ann).unwrap()];
        assert!(shares.take(&ann).is_none(), "a quarter for a user");
        held.extend([shares.take(&bob).unwrap(), shares.take(&bob).unwrap()]);
        assert!(shares.take(&eve).is_none(), "half for a tenant");
        let other = shares.take(&carol).unwrap();
        drop(held.pop());
        held.push(shares.take(&eve).unwrap());
        assert!(shares.take(&bob).is_none());
        drop((held, other));
        for counts in [&shares.users, &shares.tenants] {
            assert!(counts.open().is_empty());
        }
    }

    #[test]
    fn the_fewest_sockets_have_a_share_for_everybody() {
        let shares = Shares::new(1);
        let share = shares.take(&identity(1, 1));
        assert!(share.is_some() && shares.take(&identity(2, 2)).is_some());
        assert!(shares.take(&identity(1, 1)).is_none());
    }
}
