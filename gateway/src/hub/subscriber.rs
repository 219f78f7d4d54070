//! One subscriber's queue, seen from both ends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;
use tokio::sync::mpsc;

use super::{Event, Hub, QUEUE, QUEUE_BYTES};

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

/// An event that waits, and its bytes.
type Queued = (Arc<Event>, usize);

/// The hub's end.
#[derive(Debug)]
pub struct Subscriber {
    pub id: u64,
    pub entity: Entity,
    sender: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
}

/// The reader's end of the queue.
#[derive(Debug)]
pub struct Queue {
    receiver: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
}

/// What both ends know.
#[derive(Debug, Default)]
struct Shared {
    /// Bytes of the events that wait.
    bytes: AtomicUsize,
    end: OnceLock<End>,
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
    pub fn new(id: u64, entity: Entity) -> (Self, Queue) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let shared = Arc::<Shared>::default();
        (Self { id, entity, sender, shared: Arc::clone(&shared) }, Queue { receiver, shared })
    }

    /// Puts an event of so many bytes into the queue; false when the subscriber is to be forgotten.
    pub fn offer(&self, event: &Arc<Event>, bytes: usize) -> bool {
        // Only this end adds, and the hub's lock is held: meanwhile it can but become less.
        let waiting = self.shared.bytes.load(Ordering::Relaxed);
        if waiting > 0 && waiting + bytes > QUEUE_BYTES {
            return self.lags();
        }
        self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        match self.sender.try_send((Arc::clone(event), bytes)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => self.lags(),
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    fn lags(&self) -> bool {
        let _ = self.shared.end.set(End::Lagged);
        false
    }

    pub fn end(self, end: End) {
        let _ = self.shared.end.set(end);
    }
}

impl Subscription {
    pub(super) const fn new(hub: Arc<Hub>, address: QuoteAddress, id: u64, queue: Queue) -> Self {
        Self { hub, address, id, queue, told: false }
    }

    /// The next delivery; none after the last. What was queued before the end comes first.
    pub async fn next(&mut self) -> Option<Delivery> {
        let Queue { receiver, shared } = &mut self.queue;
        if let Some((event, bytes)) = receiver.recv().await {
            shared.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Some(Delivery::Event(event));
        }
        if std::mem::replace(&mut self.told, true) {
            return None;
        }
        shared.end.get().map(|end| match end {
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
