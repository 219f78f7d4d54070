//! Changes of nested statements that were written while the statement around them still ran.

use std::cell::RefCell;
use std::collections::HashSet;

use pgrx::pg_sys;

use super::Row;
use super::held::MOST;
use super::pending::Noted;

thread_local! {
    /// The commands whose changes of rows were written in the middle of the running statement.
    static WRITTEN: RefCell<HashSet<(Row, pg_sys::CommandId)>> = RefCell::default();
}

/// What is written of nested statements while the one around them runs, so that what stands on it need not wait for that one. Too much to
/// be remembered is as if it had not been written: what stands on it is held back.
pub fn remember(written: &[Noted]) {
    WRITTEN.with_borrow_mut(|early| {
        let nested = written.iter().filter(|entry| entry.note.is_nested);
        early.extend(nested.map(|Noted { change, .. }| (change.row(), change.command)));
        if early.len() > MOST {
            early.clear();
        }
    });
}

/// Whether what a command did to a row is written already.
pub fn is_written(row: Row, command: pg_sys::CommandId) -> bool {
    WRITTEN.with_borrow(|early| early.contains(&(row, command)))
}

/// The statement has ended, or the transaction.
pub fn forget() {
    WRITTEN.take();
}
