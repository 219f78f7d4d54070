//! When transactions began, by a clock that may be set: what readers of the log ask before they leave months unread.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;
use quote_collab_core::watch::Watch;

thread_local! {
    static CLOCK: Cell<Option<Watch>> = const { Cell::new(None) };
}

/// The lowest number that no transaction has yet.
#[pg_extern(volatile, parallel_safe)]
pub fn next_quote_transaction() -> i64 {
    // SAFETY: reads a counter in shared memory.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
    next.cast_signed()
}

/// Looks at the clock: a session that does so every few seconds watches it, until it is set. A transaction that is rolled back has
/// looked all the same.
#[pg_extern(volatile, parallel_restricted)]
pub fn watch_quote_clock() {
    // SAFETY: reads the clock.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let next = next_quote_transaction();
    CLOCK.set(Some(CLOCK.get().map_or(Watch::begin(now, next), |watch| watch.look(now, next))));
}

/// The time before which nothing was recorded by a transaction or those with higher numbers, by a clock that this session has watched
/// since before they began; negative infinity where it has not.
#[pg_extern(volatile, parallel_restricted)]
pub fn quote_clock_floor(transaction: i64) -> TimestampWithTimeZone {
    let floor = CLOCK.get().and_then(|watch| watch.floor(transaction));
    floor.and_then(|at| at.try_into().ok()).unwrap_or_else(TimestampWithTimeZone::negative_infinity)
}

extension_sql!(
    r"
comment on function next_quote_transaction() is 'the lowest number that no transaction has yet';
comment on function watch_quote_clock() is 'looks at the clock, which a session watches that does so every few seconds';
comment on function quote_clock_floor(bigint) is 'time before which nothing was recorded by a transaction and those behind it; -infinity where this session has not watched the clock';
",
    name = "clock_comments",
    requires = [next_quote_transaction, watch_quote_clock, quote_clock_floor]
);
