//! Functions in PostgreSQL's own calling convention, for what pgrx's wrappers do not cover: triggers and aggregates.

/// Declares a C function of calling convention version 1 under the name that `create function` uses. While it runs, memory is put by for
/// telling its errors.
macro_rules! c_function {
    ($(#[$doc:meta])* $name:ident, $finfo:ident, $body:expr) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// Called by PostgreSQL's function manager only.
        #[::pgrx::pg_guard]
        #[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name(fcinfo: ::pgrx::pg_sys::FunctionCallInfo) -> ::pgrx::pg_sys::Datum {
            let body: unsafe fn(::pgrx::pg_sys::FunctionCallInfo) -> Result<::pgrx::pg_sys::Datum, $crate::error::Error> = $body;
            let answer = $crate::memory::last_resort::put_by($crate::memory::last_resort::OF_A_ROW).and_then(|_last_resort| {
                // SAFETY: fcinfo comes from the function manager and is valid for this call.
                unsafe { body(fcinfo) }
            });
            answer.unwrap_or_else(|error| error.raise())
        }

        /// Tells PostgreSQL the calling convention.
        #[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
        #[unsafe(no_mangle)]
        pub extern "C" fn $finfo() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
            static RECORD: ::pgrx::pg_sys::Pg_finfo_record = ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }
    };
}

pub(crate) use c_function;
