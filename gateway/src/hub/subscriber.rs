//! One subscriber's queue, seen from both ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;
use tokio::sync::mpsc;

use super::{Event, Hub, QUEUE, QUEUE_BYTES};

/// What a subscriber gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// An event, and its bytes.
    Event(Arc<Event>, usize),
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

/// What waits in all queues of one socket, which takes them one after the other.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Socket>);

#[derive(Debug, Default)]
struct Socket {
    bytes: AtomicUsize,
    /// What came last: the hub hands an event to one queue after the other.
    last: Mutex<Weak<Queued>>,
}

/// An event that waits in one or several queues of a socket, which share it.
#[derive(Debug)]
struct Queued {
    event: Arc<Event>,
    bytes: usize,
    socket: Waiting,
}

impl Waiting {
    /// The event as it waits here; none when there is no room for its bytes.
    fn queue(&self, event: &Arc<Event>, bytes: usize) -> Option<Arc<Queued>> {
        // Nothing panics while it is held.
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queued) = last.upgrade().filter(|queued| Arc::ptr_eq(&queued.event, event)) {
            return Some(queued);
        }
        // Only the hub adds, and its lock is held: meanwhile it can but become less.
        let waiting = self.0.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES {
            return None;
        }
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        let queued = Arc::new(Queued { event: Arc::clone(event), bytes, socket: self.clone() });
        *last = Arc::downgrade(&queued);
        Some(queued)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.socket.0.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The hub's end.
#[derive(Debug)]
pub struct Subscriber {
    pub id: u64,
    pub entity: Entity,
    sender: mpsc::Sender<Arc<Queued>>,
    socket: Waiting,
    end: Arc<OnceLock<End>>,
}

/// The reader's end of the queue.
#[derive(Debug)]
pub struct Queue {
    receiver: mpsc::Receiver<Arc<Queued>>,
    end: Arc<OnceLock<End>>,
}

/// The reader's end. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    address: QuoteAddress,
    id: u64,
    queue: Queue,
    told: bool,
}

impl Subscriber {
    pub fn new(id: u64, entity: Entity, socket: Waiting) -> (Self, Queue) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let end = Arc::<OnceLock<End>>::default();
        (Self { id, entity, sender, socket, end: Arc::clone(&end) }, Queue { receiver, end })
    }

    /// Puts an event of so many bytes into the queue; false when the subscriber is to be forgotten.
    pub fn offer(&self, event: &Arc<Event>, bytes: usize) -> bool {
        let Some(queued) = self.socket.queue(event, bytes) else { return self.lags() };
        match self.sender.try_send(queued) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => self.lags(),
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    fn lags(&self) -> bool {
        let _ = self.end.set(End::Lagged);
        false
    }

    pub fn end(self, end: End) {
        let _ = self.end.set(end);
    }
}

impl Subscription {
    pub(super) const fn new(hub: Arc<Hub>, address: QuoteAddress, id: u64, queue: Queue) -> Self {
        Self { hub, address, id, queue, told: false }
    }

    /// The next delivery; none after the last. What was queued before the end comes first.
    pub async fn next(&mut self) -> Option<Delivery> {
        let Queue { receiver, end } = &mut self.queue;
        if let Some(queued) = receiver.recv().await {
            return Some(Delivery::Event(Arc::clone(&queued.event), queued.bytes));
        }
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        end.get().map(|end| match end {
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
