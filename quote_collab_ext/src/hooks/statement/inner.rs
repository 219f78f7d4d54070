//! Statements that triggers run and that change rows, each in the middle of the one before it.

#![expect(unsafe_code, reason = "PostgreSQL's executor")]

use std::cell::RefCell;

use pgrx::pg_sys;

use super::ends::may_end_rows;
use crate::hooks::transaction;

struct Inner {
    query: *mut pg_sys::QueryDesc,
    /// Nesting depth of its subtransaction.
    level: i32,
    may_end_rows: bool,
}

thread_local! {
    static INNER: RefCell<Vec<Inner>> = const { RefCell::new(Vec::new()) };
}

/// # Safety
/// The query must be about to run.
pub unsafe fn begin(query: *mut pg_sys::QueryDesc) {
    // SAFETY: per contract.
    let may_end_rows = unsafe { may_end_rows((*query).plannedstmt) };
    let level = transaction::depth();
    INNER.with_borrow_mut(|inner| {
        // It may run piece by piece.
        if inner.last().is_none_or(|last| last.query != query) {
            inner.push(Inner { query, level, may_end_rows });
        }
    });
}

/// A query and its triggers are through.
pub fn end(query: *mut pg_sys::QueryDesc) {
    INNER.with_borrow_mut(|inner| {
        if let Some(place) = inner.iter().rposition(|inner| inner.query == query) {
            inner.truncate(place);
        }
    });
}

/// Whether any runs.
pub fn is_any() -> bool {
    INNER.with_borrow(|inner| !inner.is_empty())
}

/// Whether any of those around the newest may end rows.
pub fn any_around_ends_rows() -> bool {
    INNER.with_borrow(|inner| inner.iter().rev().skip(1).any(|inner| inner.may_end_rows))
}

/// A subtransaction of this depth was rolled back.
pub fn forget_subtransaction(depth: i32) {
    INNER.with_borrow_mut(|inner| inner.retain(|inner| inner.level < depth));
}

/// The transaction is over.
pub fn forget() {
    INNER.with_borrow_mut(Vec::clear);
}
