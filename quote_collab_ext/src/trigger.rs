//! The trigger functions: what PostgreSQL calls when a row of an attached table changes.

use std::ffi::CStr;

use pgrx::{FromDatum, pg_sys};

use crate::audit;
use crate::c_function::c_function;
use crate::error::Error;

pub mod call;
mod capture;
mod generated;
mod json;
pub mod plan;
mod roles;
mod row;
mod stamp;

c_function!(
    /// `increment_quote_version()` and `increment_quote_line_version()`: before update, for each row.
    increment_version,
    pg_finfo_increment_version,
    stamp::stamp
);

c_function!(
    /// `capture_quote_change()`: after insert, update or delete, for each row.
    capture_change,
    pg_finfo_capture_change,
    capture::capture
);

/// Whether one of these triggers notes changes: asked by the name of its function, since asking for the function itself would load the
/// libraries of others. One of another schema under this name may be taken for ours.
///
/// # Safety
/// The description must be null or live, inside a transaction.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub unsafe fn any_captures(triggers: *const pg_sys::TriggerDesc) -> bool {
    // SAFETY: per contract: it counts its triggers, each has a function, and its name is a C string of the current context.
    unsafe {
        let Some(triggers) = triggers.as_ref() else { return false };
        let count = usize::try_from(triggers.numtriggers).unwrap_or_default();
        std::slice::from_raw_parts(triggers.triggers, count).iter().any(|trigger| {
            let name = pg_sys::get_func_name(trigger.tgfoid);
            !name.is_null() && CStr::from_ptr(name) == c"capture_quote_change"
        })
    }
}

c_function!(
    /// `flush_quote_changes()`: after insert, update or delete, for each statement.
    flush_changes,
    pg_finfo_flush_changes,
    |fcinfo| {
        // SAFETY: fcinfo comes from the function manager.
        #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
        let called = unsafe { call::Call::from_fcinfo(fcinfo) };
        called.ok_or(Error::TriggerProtocol("flush_quote_changes"))?;
        audit::flush_table();
        Ok(pg_sys::Datum::null())
    }
);

c_function!(
    /// `forget_quote_changes(regclass)`: what this transaction noted for a log that it drops is not written.
    forget_changes,
    pg_finfo_forget_changes,
    |fcinfo| {
        // SAFETY: the function is declared with one argument, and strict.
        #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
        let log = unsafe { pgrx::pg_getarg_datum(fcinfo, 0).and_then(|log| pg_sys::Oid::from_datum(log, false)) };
        if let Some(log) = log {
            audit::forget(log);
        }
        Ok(pg_sys::Datum::null())
    }
);
