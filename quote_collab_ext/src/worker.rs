//! The background workers, there when the library is preloaded: one launcher; per attached database one waker, which
//! sends a NOTIFY after commits; and now and then a keeper, which runs `quote_collab_maintenance()` once and ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys;

mod backoff;
pub mod board;
mod crashes;
mod databases;
mod keeper;
mod launcher;
mod promotion;
pub mod release;
mod waker;

/// The library came with the server's start.
static PRELOADED: AtomicBool = AtomicBool::new(false);
const LIBRARY: &str = "$libdir/quote_collab_ext";
/// A launcher that died is started again after this long.
const RESTART: Duration = Duration::from_secs(5);

/// Asks for shared memory and registers the launcher. Does nothing unless PostgreSQL is preloading the library.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub fn register() {
    // SAFETY: reads a variable of the process that loads the library.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    PRELOADED.store(true, Ordering::Relaxed);
    board::reserve();
    // pg_upgrade starts a server to copy its catalogs: nobody else may create or write anything meanwhile.
    // SAFETY: reads a variable of the postmaster.
    if unsafe { pg_sys::IsBinaryUpgrade } {
        return;
    }
    // A standby has nobody to wake and nothing to write: workers start when it is promoted.
    worker("quote_collab launcher", "quote_collab_launcher_main")
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(Some(RESTART))
        .load();
}

/// Whether the library was there before any session.
pub fn is_preloaded() -> bool {
    PRELOADED.load(Ordering::Relaxed)
}

fn worker(kind: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(kind)
        .set_type(kind)
        .set_library(LIBRARY)
        .set_function(function)
        .enable_spi_access()
}

/// Waits for the latch, and takes up what was reloaded of the configuration; `false` when the worker is to end.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
fn wait(nap: Duration) -> bool {
    let goes_on = BackgroundWorker::wait_latch(Some(nap));
    if BackgroundWorker::sighup_received() {
        // SAFETY: between transactions, where PostgreSQL's own workers read it, too.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
    goes_on
}

/// Connects to a database as the cluster's superuser, who runs no code of others: whatever the database says about its search
/// path, names are those of PostgreSQL itself; whatever role it puts sessions into, the superuser stays; and whatever it says about its
/// transactions, housekeeping writes. Its small queries are not worth compiling, whatever they cost on paper.
fn connect(database: pg_sys::Oid) {
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(database), None);
    for (name, value) in [
        (c"role", c"none"),
        (c"search_path", c"pg_catalog, pg_temp"),
        (c"jit", c"off"),
        (c"default_transaction_read_only", c"off"),
        (c"default_transaction_isolation", c"read committed"),
        // Sealing, placing strays and proving bounds may take longer than any client's transaction.
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        (c"transaction_timeout", c"0"),
    ] {
        // SAFETY: settings of every server, set as PostgreSQL's own workers set them.
        #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// A worker for one database, whose end the launcher is told of.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
fn worker_for(kind: &str, function: &str, database: pg_sys::Oid) -> BackgroundWorkerBuilder {
    worker(kind, function)
        .set_start_time(BgWorkerStartTime::RecoveryFinished)
        .set_restart_time(None)
        .set_argument(Some(pg_sys::Datum::from(database)))
        // SAFETY: reads a variable of this process.
        .set_notify_pid(unsafe { pg_sys::MyProcPid })
}
