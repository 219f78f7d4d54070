//! A snapshot to write under: where changes are written behind a statement, at the end of a subtransaction or before a commit, nobody holds one.

#![expect(unsafe_code, reason = "PostgreSQL's snapshots")]

use pgrx::pg_sys;

/// Works under the active snapshot, or one of now where there is none: PostgreSQL wants one of whoever writes to a table whose values may lie beside it.
/// An ERROR in between ends the (sub)transaction, which cleans up.
pub fn under_one<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: inside a transaction; what is pushed here is popped here.
    unsafe {
        let has_one = pg_sys::ActiveSnapshotSet();
        if !has_one {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let done = work();
        if !has_one {
            pg_sys::PopActiveSnapshot();
        }
        done
    }
}
