//! One subscriber's queue, seen from both ends.

use std::sync::{Arc, OnceLock};

use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;
use tokio::sync::mpsc;

use super::{Event, Hub, QUEUE};

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// An event.
    Event(Arc<Event>),
    /// It was too slow: come back with the last cursor. Nothing follows.
    Lagged,
    /// Its cursors mean nothing any more: read again. Nothing follows.
    Resync,
}

/// Why a subscription ended from our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Lagged,
    Resync,
}

/// The hub's end.
#[derive(Debug)]
pub struct Subscriber {
    pub id: u64,
    pub entity: Entity,
    sender: mpsc::Sender<Arc<Event>>,
    end: Arc<OnceLock<End>>,
}

/// The reader's end. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    address: QuoteAddress,
    id: u64,
    receiver: mpsc::Receiver<Arc<Event>>,
    end: Arc<OnceLock<End>>,
    told: bool,
}

type Parts = (Subscriber, mpsc::Receiver<Arc<Event>>, Arc<OnceLock<End>>);

impl Subscriber {
    pub fn new(id: u64, entity: Entity) -> Parts {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let end = Arc::new(OnceLock::new());
        (Self { id, entity, sender, end: Arc::clone(&end) }, receiver, end)
    }

    /// Puts an event into the queue; false when the subscriber is to be forgotten.
    pub fn offer(&self, event: &Arc<Event>) -> bool {
        match self.sender.try_send(Arc::clone(event)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                let _ = self.end.set(End::Lagged);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    pub fn end(self, end: End) {
        let _ = self.end.set(end);
    }
}

impl Subscription {
    pub(super) fn new(
        hub: Arc<Hub>,
        address: QuoteAddress,
        id: u64,
        receiver: mpsc::Receiver<Arc<Event>>,
        end: Arc<OnceLock<End>>,
    ) -> Self {
        Self { hub, address, id, receiver, end, told: false }
    }

    /// The next delivery; none after the last. What was queued before the end comes first.
    pub async fn next(&mut self) -> Option<Delivery> {
        if let Some(event) = self.receiver.recv().await {
            return Some(Delivery::Event(event));
        }
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.end.get().map(|end| match end {
            End::Lagged => Delivery::Lagged,
            End::Resync => Delivery::Resync,
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.unsubscribe(self.address, self.id);
    }
}
