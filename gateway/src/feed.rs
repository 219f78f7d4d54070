//! What one subscriber gets: first what it has missed, then what happens, with no gap and no repetition between.
//!
//! The subscriber is registered with the hub before anything is read, and is told the head. Everything up to the head
//! comes from the database, everything behind it from the hub.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{Stream, stream};
use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;
use uuid::Uuid;

use crate::cursor::{ClientCursor, Cursor};
use crate::errand::errand;
use crate::failure::Failure;
use crate::hub::{Delivery, Event, Hub, Subscription};
use crate::portion::Portion;
use crate::ports::{Logged, ReadLimit};
use crate::postgres::{Database, Missed, RequestContext};
use crate::token::Identity;
use crate::turns::Turns;
use crate::unread::{Room, Size};

/// Events of one read of the past.
const PAGE_EVENTS: u16 = 100;
/// Bytes of it. They are in memory until their subscriber has taken them, and many may come back at once; but the
/// database looks at everything that is left for each read.
const PAGE_BYTES: usize = 4 << 20;

/// What somebody wants to hear.
#[derive(Clone, Debug)]
pub struct Interest {
    /// In whose name.
    pub identity: Identity,
    /// Which quote.
    pub quote: Uuid,
    /// Its header or its lines.
    pub entity: Entity,
    /// Behind which event; none: from now on.
    pub after: Option<String>,
    /// How often what may be large of an event is written; at least once.
    pub times: usize,
}

/// Where the past is read.
#[derive(Clone)]
pub struct Source {
    /// The database.
    pub database: Database,
    /// Turns at it.
    pub turns: Turns,
    /// Room on the subscriber's socket.
    pub room: Arc<Room>,
}

/// Opens a feed for somebody who may see the quote.
///
/// # Errors
///
/// When the cursor or the quote is not known, or the database is away.
pub async fn open(
    source: Source,
    hub: &Arc<Hub>,
    interest: Interest,
) -> Result<impl Stream<Item = Result<Arc<Event>, Failure>> + use<>, Failure> {
    let (subscription, head) = hub.subscribe(interest.address(), interest.entity, source.room.waiting());
    let fingerprint = hub.lineage().fingerprint();
    let after = match interest.after.as_deref().map(ClientCursor::parse).transpose() {
        Err(error) => return Err(Failure::bad_input(error.to_string())),
        Ok(Some(after)) if after.fingerprint != fingerprint => return Err(Failure::resync()),
        Ok(after) => after.map(|after| after.cursor),
    };
    if !source.is_accessible(&interest).await? {
        return Err(Failure::quote_not_found());
    }
    let floor = after.map_or(head, |after| after.max(head));
    let phase = after.map_or(Phase::Live, Phase::Past);
    let portion = Portion::first(PAGE_EVENTS, PAGE_BYTES / interest.times);
    let page = VecDeque::new();
    let mut feed =
        Feed { source, subscription, interest, fingerprint, floor, phase, portion, page, room: None };
    if matches!(feed.phase, Phase::Past(_)) {
        // An unknown cursor is an answer to the subscription itself, not its first event.
        feed.turn_page().await?;
    }
    Ok(stream::unfold(feed, |mut feed| async move {
        let item = feed.next().await?;
        Some((item, feed))
    }))
}

impl Interest {
    const fn address(&self) -> QuoteAddress {
        QuoteAddress { tenant: self.identity.tenant, quote: self.quote }
    }

    const fn context(&self) -> RequestContext {
        RequestContext::of(&self.identity)
    }
}

impl Source {
    async fn is_accessible(&self, interest: &Interest) -> Result<bool, Failure> {
        let (source, context, quote) = (self.clone(), interest.context(), interest.quote);
        errand(async move {
            let mut turn = source.room.turn(&source.turns, 0).await?;
            Ok(turn.run(source.database.is_accessible(context, quote)).await?)
        })
        .await
    }

    /// Events, and the room that they take. While the socket has much unsent, nothing is read ahead.
    async fn events_between(
        &self,
        interest: &Interest,
        between: (Cursor, Cursor),
        limit: ReadLimit,
    ) -> Result<(Missed, Room), Failure> {
        let (source, context, quote, times) =
            (self.clone(), interest.context(), interest.quote, interest.times);
        errand(async move {
            let room = source.room.page();
            let (mut turn, bytes) = room.reserve(&source.turns, limit.bytes.saturating_mul(times)).await?;
            let limit = ReadLimit { bytes: bytes / times, ..limit };
            let read = source.database.events_between(context, quote, between, limit);
            let missed = turn.run(read).await?;
            room.settle(missed.bytes.saturating_mul(times));
            Ok((missed, room))
        })
        .await
    }
}

enum Phase {
    /// Reading the past behind this place.
    Past(Cursor),
    /// Hearing what happens.
    Live,
    /// Nothing follows.
    Ended,
}

struct Feed {
    source: Source,
    subscription: Subscription,
    interest: Interest,
    fingerprint: u32,
    floor: Cursor,
    phase: Phase,
    portion: Portion,
    page: VecDeque<Arc<Event>>,
    /// What the page takes, or the event. Whoever asks for the next event has sent the one before.
    room: Option<Room>,
}

impl Feed {
    async fn next(&mut self) -> Option<Result<Arc<Event>, Failure>> {
        loop {
            if let Some(event) = self.page.pop_front() {
                return Some(Ok(event));
            }
            self.room = None;
            let failure = match self.phase {
                Phase::Ended => return None,
                Phase::Past(_) => match self.turn_page().await {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                Phase::Live => match self.subscription.next().await? {
                    Delivery::Event(event, _) if event.cursor.cursor <= self.floor => continue,
                    Delivery::Event(event, bytes) => match self.make_room(bytes).await {
                        Ok(()) => return Some(Ok(event)),
                        Err(failure) => failure,
                    },
                    Delivery::Lagged => Failure::lagged(),
                    Delivery::Resync => Failure::resync(),
                },
            };
            self.phase = Phase::Ended;
            return Some(Err(failure));
        }
    }

    async fn make_room(&mut self, bytes: usize) -> Result<(), Failure> {
        let size = Size { rows: bytes, answer: bytes.saturating_mul(self.interest.times) };
        self.room = Some(self.source.room.event(size).await?);
        Ok(())
    }

    /// Reads the next events of the past.
    async fn turn_page(&mut self) -> Result<(), Failure> {
        let Phase::Past(after) = self.phase else { return Ok(()) };
        let (address, entity) = (self.interest.address(), self.interest.entity);
        let limit = self.portion.at_any_rate(1);
        let read = self.source.events_between(&self.interest, (after, self.floor), limit);
        let (Missed { events, bytes, rest }, room) = read.await?;
        self.portion.adapt(events.len(), bytes);
        self.phase = rest.map_or(Phase::Live, Phase::Past);
        let fingerprint = self.fingerprint;
        self.page.extend(events.into_iter().filter_map(|(cursor, logged)| {
            let is_own = |Logged { change, .. }: &Logged| {
                change.tenant_id == address.tenant && change.entity == entity
            };
            let payload = logged.filter(is_own)?.payload();
            Some(Arc::new(Event { cursor: ClientCursor { cursor, fingerprint }, payload }))
        }));
        self.room = Some(room).filter(|_| !self.page.is_empty());
        Ok(())
    }
}
