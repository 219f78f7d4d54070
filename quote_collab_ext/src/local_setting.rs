//! Settings that functions of the extension set for the rest of the transaction.

#![expect(unsafe_code, reason = "PostgreSQL's C interface")]

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use crate::c_function::c_function;
use crate::error::Error;

/// What `set_quote_option` sets: nothing that an extension which watches over its users forbids them.
const SETTINGS: [&str; 5] = [
    "app.current_session_id",
    "lock_timeout",
    "search_path",
    "session_replication_role",
    "synchronous_commit",
];

c_function!(
    /// `set_quote_option(text, text) returns void`: what `set_config(name, value, true)` does, with the rights of the caller.
    set_quote_option,
    pg_finfo_set_quote_option,
    |fcinfo| {
        // SAFETY: the function is strict, and declared for texts.
        let (name, value) =
            unsafe { (pgrx::pg_getarg::<String>(fcinfo, 0), pgrx::pg_getarg::<String>(fcinfo, 1)) };
        let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
        if !SETTINGS.contains(&name.as_str()) {
            return Err(Error::ForeignSetting { name });
        }
        // SAFETY: reads who is asking.
        let is_superuser = unsafe { pg_sys::superuser() };
        let context =
            if is_superuser { pg_sys::GucContext::PGC_SUSET } else { pg_sys::GucContext::PGC_USERSET };
        set(&CString::new(name).unwrap_or_default(), value, context);
        Ok(pg_sys::Datum::null())
    }
);

/// Sets a setting as SET LOCAL does: a savepoint that is rolled back restores what was before, the end of the transaction takes it
/// away, and parallel workers inherit it. `context` says with whose rights.
pub fn set(name: &CStr, value: String, context: pg_sys::GucContext::Type) {
    let value = CString::new(value).unwrap_or_default();
    // SAFETY: inside a transaction; PostgreSQL copies the value.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            context,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_LOCAL,
            true,
            0,
            false,
        );
    }
}
