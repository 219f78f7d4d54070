//! Answers on their way: whoever asks and does not read has them wait in memory, and his share of it is bounded. The connection of
//! one who reads nothing at all is closed by the operating system, see the port. Events that happen wait in the hub, where they are
//! bounded by socket, and are answers one at a time, while they are sent. Those of the past are read for somebody, page by page, and are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use tokio::sync::watch;

use crate::failure::{Code, Failure};
use crate::hub::Waiting;
use crate::postgres::DatabaseError;
use crate::shares::{ASK_AGAIN, Share, Shares};
use crate::token::Identity;
use crate::turns::{Turn, Turns};
use crate::unsent::Unsent;

/// What one share may have waiting.
const PER_SHARE: usize = 256 << 10;
/// A user may have a quarter of them, 32 MiB, and a tenant half.
const SHARES: usize = 512;
/// What a user may have.
const MOST: usize = PER_SHARE * (SHARES / 4);
/// So many of them he has whatever the others of his tenant leave unread: room for ordinary answers.
const OWN: usize = 4;
/// Few pages are full.
const PAGES_AT_ONCE: usize = 4;
/// An event of no more bytes has room on any socket: thousands of sockets that take nothing must not keep events from the others.
const SMALL_EVENT: usize = 32 << 10;
/// Longest wait of a larger one for those that are being sent.
const EVENT_WAIT: Duration = Duration::from_secs(20);

/// Room for the answers of everybody.
#[derive(Clone)]
pub struct Unread(Shares);

/// Room for one answer, or one page of events, given back when it is read or given up.
pub struct Room {
    who: Identity,
    all: Shares,
    unsent: Unsent,
    begun: watch::Sender<bool>,
    large_part: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    shares: Vec<Share>,
    bytes: usize,
    refusal: Option<Failure>,
}

/// How large a part of an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// As it came from the database.
    pub rows: usize,
    /// As it will be written: a value that is asked for twice counts twice.
    pub answer: usize,
}

impl Size {
    /// Of what is written as it came.
    #[must_use]
    pub const fn of(bytes: usize) -> Self {
        Self { rows: bytes, answer: bytes }
    }
}

impl Default for Unread {
    fn default() -> Self {
        Self(Shares::with_own(SHARES, OWN))
    }
}

impl Unread {
    /// Waits for room for an answer, before it is worked out.
    ///
    /// # Errors
    ///
    /// When the user or the tenant leaves too much unread.
    pub async fn room(&self, who: &Identity) -> Result<Room, Failure> {
        let share = self.0.wait(who).await.ok_or_else(refused)?;
        let room = self.room_at(who, Unsent::default());
        room.held().shares.push(share);
        Ok(room)
    }

    /// Room for an answer on a socket: none yet. It is made as the answer comes.
    #[must_use]
    pub fn room_at(&self, who: &Identity, unsent: Unsent) -> Room {
        Room::new(who.clone(), self.0.clone(), unsent)
    }
}

impl Room {
    fn new(who: Identity, all: Shares, unsent: Unsent) -> Self {
        let (begun, held) = (watch::Sender::new(false), Mutex::default());
        Self { who, all, unsent, begun, large_part: tokio::sync::Mutex::default(), held }
    }

    /// Room for a page of events on the same socket: none yet.
    #[must_use]
    pub fn page(&self) -> Self {
        Self::new(self.who.clone(), self.all.clone(), self.unsent.clone())
    }

    /// Waits for room for an event that happens, on the same socket, while it is sent. Whoever gets none for a large one is told to come back.
    ///
    /// # Errors
    ///
    /// When there is none for long, or the event gets larger than a user's share by the names that it is asked for by.
    pub async fn event(&self, size: Size) -> Result<Self, Failure> {
        let room = self.page();
        if size.answer <= SMALL_EVENT {
            return Ok(room);
        }
        let is_busy = |failure: &Failure| failure.code == Code::RateLimited;
        match room.charge(size) {
            Ok(()) => return Ok(room),
            Err(failure) if !is_busy(&failure) => return Err(failure),
            Err(_) => drop(room),
        }
        let pieces = self.all.wait_for(&self.who, shares(size.answer), EVENT_WAIT).await;
        let room = self.page();
        room.held().shares = pieces.ok_or_else(Failure::lagged)?;
        // Room for all that it may have is enough for one of any size.
        match room.charge(size) {
            Err(failure) if !is_busy(&failure) => Err(failure),
            _ => Ok(room),
        }
    }

    /// Where events wait that happen for this socket.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        self.unsent.waiting()
    }

    /// Waits until no other large part of this answer is on its way: the answer may be refused for it.
    pub async fn large_part(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.large_part.lock().await
    }

    /// Waits for a turn at the database for something that brings about so much, and before that until the socket has little unsent.
    /// What has begun is not held up any more: two operations would wait for each other's end.
    ///
    /// # Errors
    ///
    /// When the user's or the tenant's statements keep running for too long, or the answer is refused already.
    pub async fn turn(&self, turns: &Turns, expected: usize) -> Result<Turn, Failure> {
        loop {
            let has_begun = || *self.begun.borrow();
            if !has_begun() {
                // Another part of the same answer may begin meanwhile, and its end waits for this one.
                let mut begun = self.begun.subscribe();
                tokio::select! {
                    () = self.unsent.low(expected) => {}
                    _ = begun.wait_for(|begun| *begun) => {}
                }
            }
            let share = turns.take(&self.who).await?;
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            // Others have had theirs meanwhile.
            let expected =
                if has_begun() { Some(self.unsent.go_on(expected)) } else { self.unsent.begin(expected) };
            if let Some(expected) = expected {
                self.begun.send_replace(true);
                return Ok(Turn::new(share, expected));
            }
        }
    }

    /// Waits for a turn at the database and room for what it will bring: the turn, and the bytes, as many as are wanted or as there are.
    ///
    /// # Errors
    ///
    /// When the user or the tenant leaves too much unread, or as for [`Room::turn`].
    pub async fn reserve(&self, turns: &Turns, wanted: usize) -> Result<(Turn, usize), Failure> {
        let wanted = wanted.max(1);
        loop {
            let turn = self.turn(turns, wanted / PAGES_AT_ONCE).await?;
            let shares = {
                let mut held = self.held();
                let _ = self.fill(&mut held, wanted);
                held.shares.len()
            };
            if shares > 0 {
                return Ok((turn, wanted.min(shares * PER_SHARE)));
            }
            drop(turn);
            self.begun.send_replace(false);
            let share = self.all.wait(&self.who).await.ok_or_else(refused)?;
            self.held().shares.push(share);
        }
    }

    /// So much of what was reserved is needed. A single event may be larger.
    pub fn settle(&self, bytes: usize) {
        let mut held = self.held();
        held.shares.truncate(shares(bytes));
        let _ = self.reach(&mut held, bytes);
    }

    /// Makes room for one more part of an answer. Rows that may come alone have room whatever their size.
    ///
    /// # Errors
    ///
    /// When the answer gets larger than a user's share, or there is too little room left of it. All of the answer is refused then.
    pub fn charge(&self, part: Size) -> Result<(), Failure> {
        let mut held = self.held();
        let bytes = held.bytes.saturating_add(part.answer);
        let alone = if held.bytes == 0 { part.rows } else { 0 };
        let refusal = if bytes > MOST.max(alone) {
            DatabaseError::TooLarge.into()
        } else if self.reach(&mut held, bytes) {
            return Ok(());
        } else {
            refused()
        };
        Err(held.refusal.insert(refusal).clone())
    }

    /// Why this answer is not given, though parts of it may be there.
    #[must_use]
    pub fn refusal(&self) -> Option<Failure> {
        self.held().refusal.clone()
    }

    /// Refuses to begin what is told in any case where there is no room for any of it, or what was told before is a whole answer already.
    ///
    /// # Errors
    ///
    /// When it is so.
    pub fn may_begin(&self) -> Result<(), Failure> {
        let mut held = self.held();
        if held.bytes > MOST {
            return Err(Failure::new(
                Code::PayloadTooLarge,
                "not begun: the answer to what stands before it is too large",
            )
            .hint("What stands before it is done. Do the rest in requests of their own."));
        }
        let more = held.bytes.saturating_add(1);
        if self.fill(&mut held, more) { Ok(()) } else { Err(refused()) }
    }

    /// Counts a part of an answer that is given in any case, in as much room as there is.
    pub fn hold(&self, bytes: usize) {
        let mut held = self.held();
        let bytes = held.bytes.saturating_add(bytes);
        let _ = self.reach(&mut held, bytes);
    }

    /// Makes room for the whole answer, which is worked out, as far as there is any.
    ///
    /// # Errors
    ///
    /// When there is too little.
    pub fn grow(&self, size: usize) -> Result<(), Failure> {
        let mut held = self.held();
        let bytes = held.bytes.max(size);
        if self.reach(&mut held, bytes) { Ok(()) } else { Err(refused()) }
    }

    fn reach(&self, held: &mut Held, bytes: usize) -> bool {
        self.unsent.add(bytes.saturating_sub(held.bytes));
        held.bytes = bytes.max(held.bytes);
        self.fill(held, bytes)
    }

    fn fill(&self, held: &mut Held, bytes: usize) -> bool {
        while held.shares.len() < shares(bytes) {
            let Some(share) = self.all.take(&self.who) else { return false };
            held.shares.push(share);
        }
        true
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing panics while it is held.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer in this room, which is given back when the last of it has been handed to the operating system, or the connection is over.
    pub fn body(self: Arc<Self>, text: String) -> Body {
        Body::from(Bytes::from_owner(Answer { text, _room: self }))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let bytes = self.held().bytes;
        self.unsent.remove(bytes);
    }
}

/// The shares that so many bytes take: all that there may be for more than those.
fn shares(bytes: usize) -> usize {
    bytes.div_ceil(PER_SHARE).min(SHARES / 4)
}

/// What the pieces of an answer, wherever they are, keep alive.
struct Answer {
    text: String,
    _room: Arc<Room>,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

fn refused() -> Failure {
    metrics::counter!("gateway_answers_refused_total").increment(1);
    Failure::rate_limited(ASK_AGAIN)
}

#[cfg(test)]
mod tests;
