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
        /// `tcop/utility.h`
        pub fn standard_ProcessUtility(
            statement: *mut pg_sys::PlannedStmt,
            query: *const std::ffi::c_char,
            read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type,
            parameters: pg_sys::ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment,
            receiver: *mut pg_sys::DestReceiver,
            completion: *mut pg_sys::QueryCompletion,
        );
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

/// What runs a utility statement when no hook does, as a hook calls it: without pgrx's guard, since some statements end
/// the transaction that the guard was set up in.
pub const STANDARD_UTILITY: unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannedStmt,
    *const std::ffi::c_char,
    bool,
    pg_sys::ProcessUtilityContext::Type,
    pg_sys::ParamListInfo,
    *mut pg_sys::QueryEnvironment,
    *mut pg_sys::DestReceiver,
    *mut pg_sys::QueryCompletion,
) = declared::standard_ProcessUtility;
