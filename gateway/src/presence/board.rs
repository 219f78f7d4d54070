//! The last look at the sessions, and who waits for a change of which quote.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use quote_collab_core::subject::QuoteAddress;
use tokio::sync::watch;

use super::diff::same_people;
use crate::postgres::{PresenceSnapshot, Session};

/// Everybody on one quote, oldest session first.
pub type People = Arc<Vec<Session>>;

/// Shows each quote's people to its subscribers.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    looked: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    people: HashMap<QuoteAddress, People>,
    watchers: HashMap<QuoteAddress, watch::Sender<People>>,
}

impl Default for Board {
    fn default() -> Self {
        Self { inner: Mutex::default(), looked: watch::Sender::new(false) }
    }
}

impl Board {
    /// The list of a quote now and whenever it changes. A reader that is slow misses lists, never the last one.
    pub fn watch(&self, address: QuoteAddress) -> watch::Receiver<People> {
        let mut inner = self.inner();
        let now = inner.people.get(&address).cloned().unwrap_or_default();
        inner.watchers.entry(address).or_insert_with(|| watch::Sender::new(now)).subscribe()
    }

    /// Waits until somebody has looked at all, at most so long.
    pub async fn looked(&self, longest: Duration) -> bool {
        let mut looked = self.looked.subscribe();
        tokio::time::timeout(longest, looked.wait_for(|looked| *looked))
            .await
            .is_ok_and(|looked| looked.is_ok())
    }

    /// Takes a new look and tells watchers whose list changed.
    pub fn update(&self, snapshot: &PresenceSnapshot) {
        let mut people: HashMap<QuoteAddress, Vec<Session>> = HashMap::new();
        for session in &snapshot.sessions {
            let address = QuoteAddress { tenant: session.tenant_id, quote: session.quote_id };
            people.entry(address).or_default().push(session.clone());
        }
        let mut inner = self.inner();
        inner.people = people.into_iter().map(|(address, people)| (address, Arc::new(people))).collect();
        inner.tell();
        drop(inner);
        self.looked.send_replace(true);
    }

    /// Forgets quotes that nobody watches any more.
    pub fn forget_idle(&self) {
        self.inner().watchers.retain(|_, watcher| watcher.receiver_count() > 0);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&self) {
        for (address, watcher) in &self.watchers {
            let now = self.people.get(address).cloned().unwrap_or_default();
            watcher.send_if_modified(|shown| {
                let changed = !same_people(shown, &now);
                // The silent update keeps `lastSeen` fresh for the next subscriber.
                *shown = now;
                changed
            });
        }
    }
}
