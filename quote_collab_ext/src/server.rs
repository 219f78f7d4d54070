//! Functions of the server that pgrx does not declare, each behind pgrx's guard: an ERROR becomes an unwinding panic.

#![expect(unsafe_code, reason = "PostgreSQL's C interface")]

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

mod declared {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        /// `commands/sequence.h`
        pub fn nextval_internal(relid: pg_sys::Oid, check_permissions: bool) -> i64;
        /// `catalog/partition.h`
        pub fn get_partition_parent(relid: pg_sys::Oid, even_if_detached: bool) -> pg_sys::Oid;
    }
}

/// The next value of a sequence, without asking for the caller's rights on it.
///
/// # Safety
/// `sequence` must be the oid of a sequence, inside a transaction.
pub unsafe fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: per contract.
    unsafe { pg_guard_ffi_boundary(|| declared::nextval_internal(sequence, false)) }
}

/// The table that a partition belongs to.
///
/// # Safety
/// `partition` must be the oid of a partition, inside a transaction.
pub unsafe fn partition_parent(partition: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: per contract.
    unsafe { pg_guard_ffi_boundary(|| declared::get_partition_parent(partition, false)) }
}
