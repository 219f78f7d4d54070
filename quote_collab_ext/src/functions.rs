//! SQL functions that need Rust.

use std::cell::Cell;

use pgrx::pg_sys;
use pgrx::prelude::*;
use quote_collab_core::watch::Watch;

use crate::worker::board;
use crate::{server, wakeup};

/// A UUID of version 7: 48 bits of milliseconds, then a counter and random bits; ascending within a backend.
#[pg_extern(volatile, parallel_safe)]
pub fn uuid_generate_v7() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(uuid::Uuid::now_v7().into_bytes())
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
    wakeup::at_commit();
}

/// Makes durable what this cluster has written so far, also of transactions that committed without waiting for the disk or were
/// rolled back: a reader's cursor that counts them as over must not outlive them in a crash, after which PostgreSQL gives their
/// numbers to others.
#[pg_extern(volatile, parallel_unsafe)]
pub fn flush_quote_feed() {
    server::flush_wal();
}

/// The lowest number that no transaction has yet.
#[pg_extern(volatile, parallel_safe)]
pub fn next_quote_transaction() -> i64 {
    // SAFETY: reads a counter in shared memory.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let next = unsafe { pg_sys::ReadNextFullTransactionId() }.value;
    next.cast_signed()
}

thread_local! {
    static CLOCK: Cell<Option<Watch>> = const { Cell::new(None) };
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

/// The cluster that transaction numbers belong to: those of another cluster mean nothing here.
#[pg_extern(stable, parallel_safe)]
pub fn quote_cluster_identifier() -> i64 {
    // SAFETY: reads what the server read from its control file when it started.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let identifier = unsafe { pg_sys::GetSystemIdentifier() };
    identifier.cast_signed()
}

/// Which database this is, in the whole world: the cluster, and the database in it. Copies of it in this cluster are others.
#[pg_extern(stable, parallel_safe)]
pub fn quote_database_identity() -> String {
    // SAFETY: reads what was set when this session began, and stays.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let database = unsafe { pg_sys::MyDatabaseId };
    format!("{}/{}", quote_cluster_identifier(), database.to_u32())
}

/// The timeline that this server writes, or on a standby the one that it follows. Another begins with each promotion, and where a
/// backup is recovered.
#[pg_extern(stable, parallel_safe)]
pub fn quote_feed_timeline() -> i32 {
    server::timeline().cast_signed()
}

/// How far the write-ahead log of an earlier timeline is the past of a timeline, in bytes; null where it is none of its past, or
/// nobody knows. PostgreSQL notes it at each promotion.
#[pg_extern(stable, parallel_safe)]
pub fn quote_timeline_end(timeline: i32, earlier: i32) -> Option<i64> {
    server::timeline_end(timeline.cast_unsigned(), earlier.cast_unsigned()).map(u64::cast_signed)
}

extension_sql!(
    r"
comment on function flush_quote_feed() is 'makes durable what readers of the event feed are about to count as over';
comment on function next_quote_transaction() is 'the lowest number that no transaction has yet';
comment on function watch_quote_clock() is 'looks at the clock, which a session watches that does so every few seconds';
comment on function quote_clock_floor(bigint) is 'time before which nothing was recorded by a transaction and those behind it; -infinity where this session has not watched the clock';
comment on function quote_cluster_identifier() is 'system identifier of this cluster';
comment on function quote_database_identity() is 'system identifier of this cluster and oid of this database';
comment on function quote_feed_timeline() is 'timeline that this server writes or follows';
comment on function quote_timeline_end(integer, integer) is 'how far the write-ahead log of an earlier timeline is the past of a timeline; null where it is not';
comment on function uuid_generate_v7() is 'a new UUID of version 7, ascending with time';
comment on function start_quote_worker() is 'asks for the background worker of this database; false when the library is not preloaded';
comment on function wake_quote_listeners() is 'wakes the listeners of events when the current transaction has committed';
revoke execute on function start_quote_worker(), wake_quote_listeners() from public;
",
    name = "function_comments",
    requires = [
        uuid_generate_v7,
        start_quote_worker,
        wake_quote_listeners,
        flush_quote_feed,
        next_quote_transaction,
        watch_quote_clock,
        quote_clock_floor,
        quote_cluster_identifier,
        quote_feed_timeline,
        quote_timeline_end
    ]
);
