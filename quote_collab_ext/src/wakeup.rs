//! Tells listeners that something was committed: an empty NOTIFY. It carries no facts, since any SQL user can listen.

use std::cell::Cell;

use pgrx::prelude::*;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use quote_collab_core::channel;

use crate::guc::{self, Notify};
use crate::worker::board::{self, Slot};

thread_local! {
    /// The current transaction holds a NOTIFY, or needs none.
    static NOTIFIED: Cell<bool> = const { Cell::new(false) };
    /// Whom to tell when the current transaction has committed.
    static WAKER: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// Arranges that listeners of `quote_events` wake when the current transaction has committed: the waker tells them,
/// where one serves this database, else a NOTIFY in this transaction does. Cheap when done already.
pub fn at_commit() {
    if NOTIFIED.get() {
        return;
    }
    match guc::notify() {
        Notify::Off => return,
        Notify::Transaction => send_where_room(),
        way @ (Notify::Auto | Notify::Worker) => match board::mine() {
            Some(slot) if slot.is_served() => WAKER.set(Some(slot)),
            Some(slot) => {
                slot.want();
                if way == Notify::Worker { WAKER.set(Some(slot)) } else { send_where_room() }
            }
            None => send_where_room(),
        },
    }
    NOTIFIED.set(true);
}

/// How full the queue of NOTIFY may be: a transaction that finds it full ends with an error, and the last tenth is left to others.
const ROOM: f64 = 0.9;

/// Sends the NOTIFY with the current transaction, unless it might be refused for it: who listens looks by himself four times a second. That it is asked how
/// full the queue is also has PostgreSQL move the end of it up to the slowest listener, without which a queue that was full stays full.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
fn send_where_room() {
    // SAFETY: pg_notification_queue_usage() takes nothing and returns a float8, inside a transaction.
    let usage = unsafe {
        let usage = pg_sys::OidFunctionCall0Coll(
            pg_sys::Oid::from(pg_sys::F_PG_NOTIFICATION_QUEUE_USAGE),
            pg_sys::InvalidOid,
        );
        f64::from_datum(usage, false)
    };
    if usage.is_none_or(|usage| usage < ROOM) {
        send();
    }
}

/// Sends the NOTIFY with the current transaction.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub fn send() {
    // SAFETY: pg_notify(text, text) with two live text datums, inside a transaction.
    unsafe {
        pg_sys::OidFunctionCall2Coll(
            pg_sys::Oid::from(pg_sys::F_PG_NOTIFY),
            pg_sys::InvalidOid,
            channel::EVENTS.into_datum().unwrap_or(pg_sys::Datum::null()),
            "".into_datum().unwrap_or(pg_sys::Datum::null()),
        );
    }
}

/// The transaction has committed: its changes are visible. Never fails.
pub fn committed() {
    if let Some(slot) = WAKER.take() {
        slot.tell();
    }
    NOTIFIED.set(false);
}

/// The transaction is over without a commit of its own: rolled back, or prepared for another to commit.
pub fn forget() {
    WAKER.set(None);
    NOTIFIED.set(false);
}

/// A subtransaction was rolled back, and a NOTIFY with it. A waker that is told too often does no harm.
pub fn forget_subtransaction() {
    NOTIFIED.set(WAKER.get().is_some());
}

/// Asks for the background worker that wakes the listeners of this database; false when the library is not preloaded, and
/// transactions notify by themselves. The worker comes within moments, and stays while something is attached.
#[pg_extern(volatile, parallel_restricted)]
pub fn start_quote_worker() -> bool {
    let slot = board::mine();
    if let Some(slot) = slot.filter(|slot| !slot.is_served()) {
        slot.want();
    }
    slot.is_some()
}

/// Wakes the listeners of events when the current transaction has committed, as a change of a quote does.
#[pg_extern(volatile, parallel_unsafe)]
pub fn wake_quote_listeners() {
    at_commit();
}

extension_sql!(
    r"
comment on function start_quote_worker() is 'asks for the background worker of this database; false when the library is not preloaded';
comment on function wake_quote_listeners() is 'wakes the listeners of events when the current transaction has committed';
revoke execute on function start_quote_worker(), wake_quote_listeners() from public;
",
    name = "wakeup_comments",
    requires = [start_quote_worker, wake_quote_listeners]
);
