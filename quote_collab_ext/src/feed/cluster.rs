//! The cluster and its timeline: what a reader's cursor is worth elsewhere, and after a crash.

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::server;

/// Makes durable what this cluster has written so far, also of transactions that committed without waiting for the disk or were
/// rolled back: a reader's cursor that counts them as over must not outlive them in a crash, after which PostgreSQL gives their
/// numbers to others.
#[pg_extern(volatile, parallel_unsafe)]
pub fn flush_quote_feed() {
    server::flush_wal();
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
comment on function quote_cluster_identifier() is 'system identifier of this cluster';
comment on function quote_database_identity() is 'system identifier of this cluster and oid of this database';
comment on function quote_feed_timeline() is 'timeline that this server writes or follows';
comment on function quote_timeline_end(integer, integer) is 'how far the write-ahead log of an earlier timeline is the past of a timeline; null where it is not';
",
    name = "cluster_comments",
    requires = [
        flush_quote_feed,
        quote_cluster_identifier,
        quote_database_identity,
        quote_feed_timeline,
        quote_timeline_end
    ]
);
