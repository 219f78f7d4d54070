//! Where to read the stream from, and when a message proves that nothing before it was missed. No I/O.
//!
//! Numbers prove it within one stream, as long as none is left out. Places in the feed prove it between two streams: the
//! hub has had everything up to its head, so a message that lies there already misses nothing.

use crate::cursor::Cursor;

/// A message that was handed to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub sequence: u64,
    pub cursor: Cursor,
}

/// How far the stream was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last message handed to the hub.
    pub seen: Option<Seen>,
    /// The last number, whatever stood there, up to which nothing was missed.
    pub read: Option<u64>,
    /// When the stream was made.
    pub made: Option<i128>,
}

impl Progress {
    /// Reading begins in the stream that was made then. Numbers of another stream say nothing about it.
    pub fn begins(&mut self, made: i128, sequence: u64, proof: Proof) {
        if self.made.replace(made) != Some(made) {
            self.read = None;
        }
        self.passes(sequence - 1, proof);
    }

    /// This number was read.
    pub const fn passes(&mut self, sequence: u64, proof: Proof) {
        if matches!(proof, Proof::Follows) {
            self.read = Some(sequence);
        }
    }
}

/// What the stream holds now.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Number of the first message that is there, or of the one that comes next.
    pub first: u64,
    pub last: u64,
    /// It is the stream that was read before.
    pub is_same: bool,
    /// The message seen last is still there, under its number.
    pub seen_is_there: bool,
    /// The hub has had the last message already.
    pub tail_is_seen: bool,
}

impl Held {
    const fn is_empty(self) -> bool {
        self.first > self.last
    }
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    pub sequence: u64,
    pub proof: Proof,
    /// What was missed is gone for good.
    pub missed: bool,
}

/// What is known of the message that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is the one behind the last that the hub has had.
    Follows,
    /// With it the relay fills a stream with all that the log keeps.
    Fills,
    /// Nothing: others may have stood before it.
    Nothing,
}

impl Proof {
    /// Whether no event lies between the hub's head and an event that the hub has not had. Batches have no gaps, and a
    /// stream is filled from the beginning of one.
    pub const fn holds(self, head: Cursor, event: Cursor) -> bool {
        match self {
            Self::Follows => true,
            Self::Fills => event.batch <= head.batch.saturating_add(1),
            Self::Nothing => false,
        }
    }
}

/// The decision. In doubt everything is read again: the hub drops what it has had.
pub fn beginning(progress: Progress, held: Held) -> Beginning {
    let at = |sequence, proof| Beginning { sequence, proof, missed: false };
    let end = held.last + 1;
    if let Some(seen) = progress.seen.filter(|_| held.seen_is_there) {
        return at(seen.sequence + 1, Proof::Follows);
    }
    if held.tail_is_seen {
        return at(end, Proof::Follows);
    }
    match progress.read.filter(|_| held.is_same).map(|read| read + 1) {
        // Messages that expired had all been read.
        Some(next) if next == held.first => at(next, Proof::Follows),
        Some(next) if next < held.first && held.is_empty() => {
            Beginning { sequence: end, proof: Proof::Nothing, missed: true }
        }
        _ if held.is_empty() || held.first == 1 => at(held.first, Proof::Fills),
        _ => at(held.first, Proof::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Held = Held { first: 1, last: 100, is_same: true, seen_is_there: false, tail_is_seen: false };

    const fn empty_behind(last: u64) -> Held {
        Held { first: last + 1, last, ..HELD }
    }

    fn check(seen: impl Into<Option<u64>>, held: Held, sequence: u64, proof: Proof, missed: bool) {
        let read = seen.into();
        let seen = read.map(|sequence| Seen { sequence, cursor: Cursor::default() });
        let decided = beginning(Progress { seen, read, made: None }, held);
        assert_eq!(decided, Beginning { sequence, proof, missed }, "{seen:?} {held:?}");
    }

    #[test]
    fn an_undisturbed_stream_is_read_on() {
        check(80, Held { seen_is_there: true, ..HELD }, 81, Proof::Follows, false);
        check(100, Held { seen_is_there: true, tail_is_seen: true, ..HELD }, 101, Proof::Follows, false);
    }

    #[test]
    fn a_stream_that_lost_its_tail_is_read_from_its_end() {
        check(120, Held { tail_is_seen: true, ..HELD }, 101, Proof::Follows, false);
        check(120, empty_behind(0), 1, Proof::Fills, false);
        check(120, empty_behind(50), 51, Proof::Fills, false);
    }

    #[test]
    fn a_stream_that_was_filled_again_is_read_from_its_beginning() {
        for is_same in [true, false] {
            check(80, Held { is_same, ..HELD }, 1, Proof::Fills, false);
            check(120, Held { is_same, ..HELD }, 1, Proof::Fills, false);
            // Its beginning has expired again.
            check(80, Held { first: 40, is_same, ..HELD }, 40, Proof::Nothing, false);
        }
        // Numbers of another stream prove nothing.
        check(80, Held { first: 81, is_same: false, ..HELD }, 81, Proof::Nothing, false);
        check(80, Held { is_same: false, ..empty_behind(100) }, 101, Proof::Fills, false);
    }

    #[test]
    fn expired_messages_that_were_not_read_prove_nothing() {
        check(80, Held { first: 81, ..HELD }, 81, Proof::Follows, false);
        check(80, Held { first: 90, ..HELD }, 90, Proof::Nothing, false);
        check(100, empty_behind(100), 101, Proof::Follows, false);
        check(80, empty_behind(100), 101, Proof::Nothing, true);
    }

    #[test]
    fn a_reader_that_has_seen_nothing_trusts_the_hub() {
        check(None, Held { tail_is_seen: true, ..HELD }, 101, Proof::Follows, false);
        check(None, HELD, 1, Proof::Fills, false);
        check(None, empty_behind(0), 1, Proof::Fills, false);
        check(None, Held { first: 40, ..HELD }, 40, Proof::Nothing, false);
        // It was empty when the hub began.
        let progress = Progress { read: Some(70), ..Progress::default() };
        let decided = beginning(progress, Held { first: 71, ..HELD });
        assert_eq!(decided, Beginning { sequence: 71, proof: Proof::Follows, missed: false });
    }

    #[test]
    fn numbers_count_within_their_stream_and_once_nothing_can_be_missing_before_them() {
        let mut progress = Progress { read: Some(70), ..Progress::default() };
        progress.begins(1, 71, Proof::Follows);
        progress.passes(71, Proof::Follows);
        assert_eq!(progress.read, Some(71));
        progress.begins(1, 90, Proof::Nothing);
        progress.passes(90, Proof::Nothing);
        assert_eq!(progress.read, Some(71));
        progress.begins(2, 72, Proof::Fills);
        assert_eq!(progress.read, None);
    }

    #[test]
    fn what_fills_a_stream_must_begin_with_the_next_batch_at_the_latest() {
        let (head, event) = (Cursor { batch: 5, position: 9 }, |batch| Cursor { batch, position: 20 });
        assert!(Proof::Follows.holds(head, event(9)));
        assert!(Proof::Fills.holds(head, event(6)) && !Proof::Fills.holds(head, event(7)));
        assert!(!Proof::Nothing.holds(head, event(6)));
    }
}
