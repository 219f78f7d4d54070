//! Tells listeners that something will be committed: one empty NOTIFY per transaction. It carries no facts, since any
//! SQL user can listen.

use std::cell::Cell;

use pgrx::{IntoDatum, pg_sys};

use crate::guc;

thread_local! {
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Arranges that listeners of `quote_events` wake when the current transaction commits. Cheap when done already.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub fn at_commit() {
    if TOLD.get() || !guc::notifies_in_transaction() {
        return;
    }
    // SAFETY: pg_notify(text, text) with two live text datums, inside a transaction.
    unsafe {
        pg_sys::OidFunctionCall2Coll(
            pg_sys::Oid::from(pg_sys::F_PG_NOTIFY),
            pg_sys::InvalidOid,
            "quote_events".into_datum().unwrap_or(pg_sys::Datum::null()),
            "".into_datum().unwrap_or(pg_sys::Datum::null()),
        );
    }
    TOLD.set(true);
}

/// Forgets that listeners were told: at the end of the transaction, and when a subtransaction took its NOTIFY back.
pub fn forget() {
    TOLD.set(false);
}
