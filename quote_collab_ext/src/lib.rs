//! The extension: guard, convert, call the core, convert back.
//!
//! One change runs through the rooms from left to right: [`trigger`] stamps the version and compares the row,
//! [`audit`] writes what changed, [`wakeup`] tells the listeners. What SQL says better stays SQL, in `sql/`.

mod allocator;
mod attribution;
mod audit;
mod authentication;
mod backoff;
mod backtrace;
mod c_function;
mod digest;
mod error;
mod functions;
mod guc;
mod invalidation;
mod kept_query;
mod last_resort;
mod local_setting;
mod log_months;
mod memory;
mod prepared;
mod row_lock;
mod server;
mod signature;
mod sql;
mod statement;
mod tenant;
mod token;
mod transaction;
mod trigger;
mod utility;
mod varlena;
mod wakeup;
mod worker;

::pgrx::pg_module_magic!(name, version);

/// Runs when PostgreSQL loads the library, in each backend that uses it.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backtrace::leave_out();
    guc::define();
    transaction::watch();
    statement::watch();
    utility::watch();
    invalidation::watch();
    worker::register();
}
