//! Answers on their way: whoever asks and does not read has them wait in memory, and his share of it is bounded. The connection of
//! one who reads nothing at all is closed by the operating system, see the port. Events are not answers: what waits of them is bounded by subscription.

use axum::body::{Body, Bytes};

use crate::failure::Failure;
use crate::shares::{ASK_AGAIN, Share, Shares};
use crate::token::Identity;

/// What one share may have waiting.
const PER_SHARE: usize = 256 << 10;
/// A user may have a quarter of them, 32 MiB, and a tenant half.
const SHARES: usize = 512;

/// Room for the answers of everybody.
#[derive(Clone)]
pub struct Unread(Shares);

/// Room for one answer, given back when it is read or given up.
pub struct Room {
    who: Identity,
    all: Shares,
    held: Vec<Share>,
}

impl Default for Unread {
    fn default() -> Self {
        Self(Shares::new(SHARES))
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
        Ok(Room { who: who.clone(), all: self.0.clone(), held: vec![share] })
    }

    /// Room for an answer that is worked out already.
    ///
    /// # Errors
    ///
    /// When the user or the tenant leaves too much unread.
    pub fn room_for(&self, who: &Identity, size: usize) -> Result<Room, Failure> {
        let mut room = Room { who: who.clone(), all: self.0.clone(), held: Vec::new() };
        room.grow(size)?;
        Ok(room)
    }
}

impl Room {
    /// Makes room for an answer of this size, as far as there is any.
    ///
    /// # Errors
    ///
    /// When there is too little.
    pub fn grow(&mut self, size: usize) -> Result<(), Failure> {
        let wanted = size.div_ceil(PER_SHARE).min(SHARES / 4);
        while self.held.len() < wanted {
            self.held.push(self.all.take(&self.who).ok_or_else(refused)?);
        }
        Ok(())
    }

    /// An answer in this room, which is given back when the last of it has been handed to the operating system, or the connection is over.
    pub fn body(self, text: String) -> Body {
        Body::from(Bytes::from_owner(Answer { text, _room: self }))
    }
}

/// What the pieces of an answer, wherever they are, keep alive.
struct Answer {
    text: String,
    _room: Room,
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
mod tests {
    use super::*;
    use axum::body::to_bytes;

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_much_unread_gets_no_more_and_leaves_room_to_others() {
        let unread = Unread::default();
        let (ann, bob) = (Identity::numbered(1, 1), Identity::numbered(2, 2));
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut room = unread.room(&ann).await.unwrap();
            room.grow(8 << 20).unwrap();
            waiting.push(room.body("x".repeat(8 << 20)));
        }
        assert!(unread.room(&ann).await.is_err());
        assert!(unread.room(&bob).await.unwrap().grow(16 << 20).is_ok());
        // Whatever piece of it somebody still has.
        let answer = to_bytes(waiting.pop().unwrap(), usize::MAX).await.unwrap();
        let rest = answer.slice(answer.len() - 1..);
        drop(answer);
        assert!(unread.room(&ann).await.is_err());
        drop(rest);
        assert!(unread.room(&ann).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_arrives_whole_and_gives_its_room_back() {
        let unread = Unread::default();
        for size in [0, 1, PER_SHARE, PER_SHARE + 1, 40 << 20] {
            let answer = "x".repeat(size);
            let mut room = unread.room(&Identity::numbered(1, 1)).await.unwrap();
            room.grow(size).unwrap();
            assert_eq!(to_bytes(room.body(answer), usize::MAX).await.unwrap().len(), size);
            assert!(unread.0.is_unused(), "{size}");
        }
    }
}
