//! What is held back of the changes of nested statements, until what runs them is noted.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

use super::pending::Noted;
use super::{Memory, Row};
use crate::error::Error;

/// So many row changes are held back, at most.
pub const MOST: usize = 400_000;
/// And so many bytes of values.
const MOST_BYTES: usize = 128 * 1024 * 1024;

thread_local! {
    /// Rows of which something is held back: what happens to them later waits with it, until all that is noted is looked at again.
    static ROWS: RefCell<HashSet<Row>> = RefCell::default();
    /// Where their values are moved to.
    static VALUES: RefCell<Option<Memory>> = const { RefCell::new(None) };
    /// Whoever runs this transaction was told that its history is not in order.
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// Something is held back of these rows.
pub fn hold(rows: impl Iterator<Item = Row>) {
    ROWS.with_borrow_mut(|held| held.extend(rows));
}

/// Whether anything is held back of a row.
pub fn is_held(row: Row) -> bool {
    ROWS.with_borrow(|held| held.contains(&row))
}

/// All that is held is looked at again.
pub fn look_again() {
    ROWS.with_borrow_mut(HashSet::clear);
}

/// The values are written now, or gone.
pub fn let_values_go() {
    VALUES.take();
}

/// The transaction is over.
pub fn forget() {
    ROWS.take();
    VALUES.take();
    WARNED.set(false);
}

/// Moves the values of what is held together, out of the memory that goes when the rest is written; returns how many bytes are there.
pub fn move_out(ready: &mut [Noted], is_ripe: &[bool]) -> Result<usize, Error> {
    let (ripe, held): (Vec<_>, Vec<_>) = ready.iter_mut().zip(is_ripe).partition(|(_, is_ripe)| **is_ripe);
    let mut written: Vec<&Memory> = ripe.iter().map(|(entry, _)| &entry.change.memory).collect();
    written.dedup_by(|a, b| a.is(b));
    let is_written = |memory: &Memory| written.iter().any(|written| written.is(memory));
    let memory = VALUES.take().filter(|memory| !is_written(memory)).unwrap_or_else(Memory::new);
    for (entry, _) in held.into_iter().filter(|(entry, _)| !entry.change.memory.is(&memory)) {
        entry.change.move_to(&memory)?;
    }
    let bytes = memory.bytes();
    VALUES.replace(Some(memory));
    Ok(bytes)
}

/// Whether so much cannot be held back; whoever runs the transaction is told.
pub fn is_too_much(rows: usize, bytes: usize) -> bool {
    let is_too_much = rows >= MOST || bytes >= MOST_BYTES;
    if is_too_much {
        warn_of_order();
    }
    is_too_much
}

/// Nothing is missing from such a history, and the versions say what came first. Told once a transaction.
fn warn_of_order() {
    if !WARNED.replace(true) {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "the history may not be in the order of the changes",
            "quote_collab",
        )
        .set_detail("What one statement has changed itself is changed again by triggers and functions that it runs, in more rows than are kept until its own changes are noted.")
        .set_hint("Change fewer rows at once.")
        .report(PgLogLevel::WARNING);
    }
}
