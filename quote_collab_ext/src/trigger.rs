//! The trigger functions: what PostgreSQL calls when a row of an attached table changes.

use pgrx::{pg_guard, pg_sys};

use crate::audit;
use crate::error::Error;

mod call;
mod capture;
mod json;
pub mod plan;
mod row;
mod stamp;

/// Declares a C function of calling convention version 1 under the name that `create function` uses.
macro_rules! trigger_function {
    ($(#[$doc:meta])* $name:ident, $finfo:ident, $body:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Called by PostgreSQL's function manager only.
        #[pg_guard]
        #[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            let body: unsafe fn(pg_sys::FunctionCallInfo) -> Result<pg_sys::Datum, Error> = $body;
            // SAFETY: fcinfo comes from the function manager and is valid for this call.
            unsafe { body(fcinfo) }.unwrap_or_else(|error| error.raise())
        }

        /// Tells PostgreSQL the calling convention.
        #[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $finfo() -> &'static pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    };
}

trigger_function!(
    /// `increment_quote_version()` and `increment_quote_line_version()`: before update, for each row.
    increment_version,
    pg_finfo_increment_version,
    stamp::stamp
);

trigger_function!(
    /// `capture_quote_change()`: after insert, update or delete, for each row.
    capture_change,
    pg_finfo_capture_change,
    capture::capture
);

trigger_function!(
    /// `flush_quote_changes()`: after insert, update or delete, for each statement.
    flush_changes,
    pg_finfo_flush_changes,
    |fcinfo| {
        // SAFETY: fcinfo comes from the function manager.
        #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
        let called = unsafe { call::Call::from_fcinfo(fcinfo) };
        called.ok_or(Error::TriggerProtocol("flush_quote_changes"))?;
        audit::flush();
        Ok(pg_sys::Datum::null())
    }
);
