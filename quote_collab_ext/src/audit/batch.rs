//! When what is noted is written in the middle of a statement.

use std::cell::Cell;

use super::pending::Noted;

/// So many rows of the log are written at once, to bound memory while a statement touches millions of rows. The more there are, the
/// more of them find their neighbours on one page of an index.
pub const ROWS: usize = 20_000;
/// Values of so many bytes are written at once, and at most one row change more.
const BYTES: usize = 8 * 1024 * 1024;

/// An amount of what is noted.
#[derive(Clone, Copy)]
struct Amount {
    /// Rows of the log.
    rows: usize,
    /// Bytes of their values.
    bytes: usize,
}

const NOTHING: Amount = Amount { rows: 0, bytes: 0 };

thread_local! {
    /// Noted since the last batch.
    static NEW: Cell<Amount> = const { Cell::new(NOTHING) };
    /// Written by a subtransaction for others since then, and taken back when it was rolled back; and the nesting depth of the deepest
    /// subtransaction that noted any of it.
    static OWED: Cell<(Amount, i32)> = const { Cell::new((NOTHING, 0)) };
}

impl Amount {
    fn and(self, more: Self) -> Self {
        Self { rows: self.rows + more.rows, bytes: self.bytes + more.bytes }
    }

    fn is_full(self) -> bool {
        self.rows >= ROWS || self.bytes >= BYTES
    }

    fn is_a_quarter_of(self, other: Self) -> bool {
        self.rows >= other.rows / 4 || self.bytes >= other.bytes / 4
    }
}

/// A subtransaction of this depth has noted more: whether the batch is full. One that may fail as another before writes what is owed only
/// with a quarter as much that is new, or many that fail would write it again and again.
pub fn add(level: i32, rows: usize, bytes: usize) -> bool {
    let new = NEW.get().and(Amount { rows, bytes });
    NEW.set(new);
    let (owed, owed_level) = OWED.get();
    if level <= owed_level { new.and(owed).is_full() } else { new.is_full() && new.is_a_quarter_of(owed) }
}

/// Everything is about to be written.
pub fn begin() {
    NEW.set(NOTHING);
    OWED.set((NOTHING, 0));
}

/// What was written for others was taken back.
pub fn take_back(noted: &[Noted]) {
    let amount = |entry: &Noted| Amount { rows: entry.change.fields.len(), bytes: entry.change.bytes() };
    let (owed, level) = OWED.get();
    let owed = noted.iter().map(amount).fold(owed, Amount::and);
    OWED.set((owed, noted.iter().map(|entry| entry.note.level).fold(level, i32::max)));
}

/// The subtransaction of this depth has committed.
pub fn hand_on(level: i32) {
    let (owed, of) = OWED.get();
    OWED.set((owed, of.min(level - 1)));
}
