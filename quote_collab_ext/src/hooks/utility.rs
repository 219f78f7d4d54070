//! Statements that the executor does not run, seen on their way by one hook.

#![expect(unsafe_code, reason = "PostgreSQL's utility hook")]

use std::ffi::c_char;

use pgrx::pg_sys;

use crate::hooks::statement;
use crate::server;
use crate::worker::release;

static mut EARLIER: pg_sys::ProcessUtility_hook_type = None;

/// Installs the hook, once per backend, or in the server that preloads the library.
pub fn watch() {
    // SAFETY: a process of PostgreSQL has one thread; the hook keeps the one before it.
    unsafe {
        EARLIER = pg_sys::ProcessUtility_hook;
        pg_sys::ProcessUtility_hook = Some(on_utility);
    }
}

/// Not guarded: an ERROR of the statement passes through as through any C function. The frame has nothing to drop, and what it has set ends
/// with the (sub)transaction.
unsafe extern "C-unwind" fn on_utility(
    utility: *mut pg_sys::PlannedStmt,
    query: *const c_char,
    read_only_tree: bool,
    context: pg_sys::ProcessUtilityContext::Type,
    parameters: pg_sys::ParamListInfo,
    environment: *mut pg_sys::QueryEnvironment,
    receiver: *mut pg_sys::DestReceiver,
    completion: *mut pg_sys::QueryCompletion,
) {
    // SAFETY: the arguments are PostgreSQL's own and go on unchanged.
    unsafe {
        let next = EARLIER.unwrap_or(server::STANDARD_UTILITY);
        let commits_prepared = release::release(utility);
        let depth = statement::begin_copy(utility);
        next(utility, query, read_only_tree, context, parameters, environment, receiver, completion);
        // The statement's tree may be gone by now.
        if depth > 0 {
            statement::end_copy(depth);
        }
        if commits_prepared {
            release::tell();
        }
        statement::end_utility();
    }
}
