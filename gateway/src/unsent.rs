//! What one socket has ready and its client has not taken. Beyond a bound of it the socket asks the database nothing new.

use std::sync::Arc;

use tokio::sync::watch;

use crate::hub::Waiting;

/// So much may be ready before the next operation, or the next page of events, waits.
const MOST: usize = 4 << 20;

/// The bytes that wait for one client. An HTTP request has one of its own.
#[derive(Clone, Default)]
pub struct Unsent {
    ready: Arc<watch::Sender<usize>>,
    waiting: Waiting,
}

impl Unsent {
    /// Waits until something new that will bring about so much may begin: for as long as the client may take, which the socket bounds.
    pub async fn low(&self, bytes: usize) {
        // The sender is ours, so nobody closes it.
        let _ = self.ready.subscribe().wait_for(|all| may_begin(*all, bytes)).await;
    }

    /// Begins something that will bring about so much, if it may.
    #[must_use]
    pub fn begin(&self, bytes: usize) -> Option<Expected> {
        let begun = self.ready.send_if_modified(|all| {
            let may = may_begin(*all, bytes);
            if may {
                *all = all.saturating_add(bytes);
            }
            may
        });
        begun.then(|| self.expected(bytes))
    }

    /// Goes on with what has begun and will bring about so much.
    #[must_use]
    pub fn go_on(&self, bytes: usize) -> Expected {
        self.add(bytes);
        self.expected(bytes)
    }

    /// Events that happen, which have been made ready for nobody yet: they keep nothing waiting.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    fn expected(&self, bytes: usize) -> Expected {
        Expected { unsent: self.clone(), bytes }
    }

    /// So much more is ready.
    pub fn add(&self, bytes: usize) {
        self.ready.send_modify(|all| *all = all.saturating_add(bytes));
    }

    /// So much is taken, or given up.
    pub fn remove(&self, bytes: usize) {
        self.ready.send_modify(|all| *all = all.saturating_sub(bytes));
    }
}

/// Whatever comes first may.
const fn may_begin(all: usize, bytes: usize) -> bool {
    all == 0 || all.saturating_add(bytes) <= MOST
}

/// What is on its way from the database: until its size is known, about as much as it may be.
pub struct Expected {
    unsent: Unsent,
    bytes: usize,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.unsent.remove(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_lets_something_new_begin() {
        let unsent = Unsent::default();
        unsent.add(MOST - 1);
        unsent.low(1).await;
        assert!(unsent.begin(2).is_none());
        let expected = unsent.begin(1).unwrap();
        assert!(unsent.begin(1).is_none() && unsent.low(1).now_or_never().is_none());
        drop(unsent.go_on(1));
        let ((), ()) = tokio::join!(unsent.low(1), async { drop(expected) });
        unsent.remove(MOST);
        assert!(unsent.begin(2 * MOST).is_some());
    }
}
