//! The hub: one stream of events in, many subscribers out, no database and no network.
//!
//! It keeps a head, the place of the last event it has let through, and drops whatever is not behind it; so it does
//! not matter how often the stream is read again. A subscriber is registered and told the head in one step: up to the
//! head it reads the database, behind the head it gets everything. Each has a bounded queue. One that lets it run full
//! is told so and must come back with its cursor; nobody waits for it.

mod subscriber;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quote_collab_core::change::Entity;
use quote_collab_core::payload::EventPayload;
use quote_collab_core::subject::{QuoteAddress, Subject};

use crate::cursor::{ClientCursor, Cursor, Lineage};
use crate::ports::Arrival;

pub use subscriber::{Delivery, Subscription, Waiting};
use subscriber::{End, Subscriber};

/// Events that wait for one subscriber.
pub const QUEUE: usize = 1_024;
/// Bytes of those that wait for all subscribers of one socket, save that a single event may have any size.
pub const QUEUE_BYTES: usize = 8 << 20;

/// An event as subscribers share it.
#[derive(Debug, PartialEq)]
pub struct Event {
    /// Its place, for the client to come back with.
    pub cursor: ClientCursor,
    /// What happened.
    pub payload: EventPayload,
}

/// Fans events out.
#[derive(Debug)]
pub struct Hub {
    rooms: Mutex<Rooms>,
}

#[derive(Debug)]
struct Rooms {
    head: Cursor,
    /// The history that the head lies in.
    head_of: Lineage,
    /// The history that cursors given out now belong to.
    lineage: Lineage,
    subscribers: HashMap<QuoteAddress, Vec<Subscriber>>,
    next_id: u64,
}

impl Hub {
    /// A hub that has let everything through up to this place.
    #[must_use]
    pub fn new(head: Cursor, lineage: Lineage) -> Arc<Self> {
        let (head_of, subscribers) = (lineage.clone(), HashMap::new());
        Arc::new(Self { rooms: Mutex::new(Rooms { head, head_of, lineage, subscribers, next_id: 0 }) })
    }

    /// The place of the last event let through.
    #[must_use]
    pub fn head(&self) -> Cursor {
        self.rooms().head
    }

    /// The history that cursors given out now belong to.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.rooms().lineage.clone()
    }

    /// The database says which history it has, and how far it goes: cursors of another one are no longer good. When the
    /// hub is ahead of it everybody reads again. Returns whether they do.
    pub fn adopt(&self, lineage: Lineage, end: Cursor) -> bool {
        let mut rooms = self.rooms();
        let is_ahead = rooms.head > end;
        if is_ahead {
            rooms.begin_at(end, &lineage);
        } else {
            rooms.lineage = lineage;
        }
        is_ahead
    }

    /// Whether this arrival is of a database whose history need not have the head in it: then places cannot be compared
    /// before [`Hub::confirm`] or [`Hub::begin_at`]. An announcement says by itself where the histories part.
    pub fn doubts(&self, arrival: &Arrival) -> bool {
        arrival.subject != Subject::Resync && arrival.lineage.may_follow(&self.rooms().head_of)
    }

    /// The head lies in this history, too.
    pub fn confirm(&self, lineage: &Lineage) {
        self.rooms().head_of = lineage.clone();
    }

    /// The head does not lie in this history: everybody reads again, and what lies up to here is no news.
    pub fn begin_at(&self, head: Cursor, lineage: &Lineage) {
        self.rooms().begin_at(head, lineage);
    }

    /// The bus, which could not be reached before, says in which fork it is: cursors of another one are no longer good.
    pub fn learn_fork(&self, fork: u64) {
        let mut rooms = self.rooms();
        if rooms.lineage.fork != fork {
            (rooms.lineage.fork, rooms.head_of.fork) = (fork, fork);
            rooms.end_all(End::Resync);
        }
    }

    /// Registers a subscriber, on whose socket events wait, and tells it the head.
    #[must_use]
    pub fn subscribe(
        self: &Arc<Self>,
        address: QuoteAddress,
        entity: Entity,
        waiting: Waiting,
    ) -> (Subscription, Cursor) {
        let mut rooms = self.rooms();
        let id = rooms.next_id;
        rooms.next_id += 1;
        let (subscriber, queue) = Subscriber::new(id, entity, waiting);
        rooms.subscribers.entry(address).or_default().push(subscriber);
        metrics::gauge!("gateway_subscriptions").increment(1.0);
        (Subscription::new(Arc::clone(self), address, id, queue), rooms.head)
    }

    fn unsubscribe(&self, address: QuoteAddress, id: u64) {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.subscribers.get_mut(&address) {
            room.retain(|subscriber| subscriber.id != id);
            if room.is_empty() {
                rooms.subscribers.remove(&address);
            }
        }
        drop(rooms);
        metrics::gauge!("gateway_subscriptions").decrement(1.0);
    }

    /// Takes what the bus delivers.
    pub fn receive(&self, arrival: &Arrival) {
        match arrival.subject {
            Subject::QuoteEvent(address) => self.deliver(address, arrival),
            Subject::Resync => self.restart(arrival),
            Subject::PresenceEvent(_) => {}
        }
    }

    /// The payload is only read when somebody is there for it, and outside the lock.
    fn deliver(&self, address: QuoteAddress, arrival: &Arrival) {
        {
            let mut rooms = self.rooms();
            if arrival.cursor <= rooms.head {
                metrics::counter!("gateway_hub_repeated_total").increment(1);
                return;
            }
            if !rooms.subscribers.contains_key(&address) {
                rooms.pass(arrival);
                return;
            }
        }
        let payload = match serde_json::from_slice::<EventPayload>(&arrival.payload) {
            Ok(payload) if (payload.tenant_id, payload.quote_id) == (address.tenant, address.quote) => {
                payload
            }
            Ok(_) => return self.refuse(arrival, "it is about another quote than its subject"),
            Err(_) => return self.refuse(arrival, "it cannot be read"),
        };
        let cursor = ClientCursor { cursor: arrival.cursor, fingerprint: arrival.lineage.fingerprint() };
        let event = Arc::new(Event { cursor, payload });
        let mut rooms = self.rooms();
        if arrival.cursor <= rooms.head {
            return;
        }
        rooms.pass(arrival);
        rooms.hand_out(address, &event, arrival.payload.len());
    }

    fn refuse(&self, arrival: &Arrival, reason: &'static str) {
        metrics::counter!("gateway_hub_refused_total").increment(1);
        let Cursor { batch, position } = arrival.cursor;
        tracing::error!(change.position = position, "event {batch}.{position} is not delivered: {reason}");
        self.rooms().pass(arrival);
    }

    /// The history forked: places before and after cannot be compared, so the head is set and everybody reads again.
    fn restart(&self, arrival: &Arrival) {
        self.rooms().begin_at(arrival.cursor, &arrival.lineage);
    }

    /// Whatever lies between the head and this arrival is gone, if anything does: then everybody reads again, and the feed
    /// goes on with it. Returns whether they do. An arrival that the hub has had misses nothing; neither does the
    /// announcement of a fork, which tells everybody by itself.
    pub fn misses_before(&self, arrival: &Arrival) -> bool {
        let mut rooms = self.rooms();
        let is_had = arrival.cursor <= rooms.head && arrival.lineage.fork <= rooms.head_of.fork;
        if is_had || arrival.subject == Subject::Resync {
            return false;
        }
        // The announcement of a fork may be among what is gone: then the head has to go down.
        rooms.begin_at(arrival.cursor.before(), &arrival.lineage);
        true
    }

    /// Events may have been missed for good: everybody reads again.
    pub fn resync_all(&self) {
        self.rooms().end_all(End::Resync);
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        // No code that can panic holds this lock; if it did, the table would still be whole.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn pass(&mut self, arrival: &Arrival) {
        self.head = arrival.cursor;
        for lineage in [&mut self.lineage, &mut self.head_of] {
            if *lineage != arrival.lineage {
                lineage.clone_from(&arrival.lineage);
            }
        }
    }

    fn begin_at(&mut self, head: Cursor, lineage: &Lineage) {
        self.head = head;
        (self.lineage, self.head_of) = (lineage.clone(), lineage.clone());
        self.end_all(End::Resync);
    }

    fn hand_out(&mut self, address: QuoteAddress, event: &Arc<Event>, bytes: usize) {
        let Some(room) = self.subscribers.get_mut(&address) else { return };
        let entity = event.payload.entity();
        let mut delivered = 0;
        room.retain(|subscriber| {
            if subscriber.entity != entity {
                return true;
            }
            let kept = subscriber.offer(event, bytes);
            if kept {
                delivered += 1;
            } else {
                metrics::counter!("gateway_hub_lagged_total").increment(1);
            }
            kept
        });
        metrics::counter!("gateway_hub_delivered_total").increment(delivered);
        if room.is_empty() {
            self.subscribers.remove(&address);
        }
    }

    fn end_all(&mut self, end: End) {
        for (_, room) in self.subscribers.drain() {
            for subscriber in room {
                subscriber.end(end);
            }
        }
    }
}
