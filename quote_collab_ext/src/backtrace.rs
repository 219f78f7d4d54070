//! Backtraces of errors that pass through this library.

use std::backtrace::Backtrace;
use std::env;

/// Decides about errors what decides about panics elsewhere, and apart from them. A server is often started with this one set.
const OF_ALL: &str = "RUST_BACKTRACE";
/// Decides about errors alone: who sets it wants them.
const OF_ERRORS: &str = "RUST_LIB_BACKTRACE";

/// Leaves backtraces out of the DETAIL of errors, where clients would be shown pages of frames of their server and each error that a
/// function catches would cost milliseconds; with `RUST_LIB_BACKTRACE=1` they are there.
pub fn leave_out() {
    if env::var_os(OF_ALL).is_none() || env::var_os(OF_ERRORS).is_some() {
        return;
    }
    // SAFETY: PostgreSQL loads the library in a process of one thread, so that nobody else reads the environment.
    #[expect(unsafe_code, reason = "there is no other way to tell the standard library")]
    unsafe {
        env::set_var(OF_ERRORS, "0");
    }
    // Reads the environment once for this copy of the standard library: other libraries find theirs as it was.
    drop(Backtrace::capture());
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "there is no other way to tell the standard library")]
    unsafe {
        env::remove_var(OF_ERRORS);
    }
}
