//! The extension: guard, convert, call the core, convert back.
//!
//! One change runs through the rooms from left to right: [`trigger`] stamps the version and compares the row,
//! [`audit`] writes what changed, [`wakeup`] and [`worker`] tell the listeners, [`feed`] serves those who then read, and [`seal`] keeps
//! what was written from being changed. [`identity`] says who acts, [`hooks`] when. What SQL says better stays SQL, in `sql/`.

mod audit;
mod backtrace;
mod c_function;
mod error;
mod feed;
mod guc;
mod hooks;
mod identifier;
mod identity;
mod library;
mod local_setting;
mod memory;
mod release_right;
mod row_lock;
mod seal;
mod sequence;
mod server;
mod sql;
mod trigger;
mod varlena;
mod wakeup;
mod worker;

::pgrx::pg_module_magic!(name, version);

/// Runs when PostgreSQL loads the library, in each backend that uses it.
#[pgrx::pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backtrace::leave_out();
    guc::define();
    hooks::watch();
    worker::register();
}
