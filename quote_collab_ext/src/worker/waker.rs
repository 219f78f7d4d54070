//! The waker of one database: after commits, one empty NOTIFY. Its transaction writes nothing before its commit record,
//! so it holds the cluster-wide lock of NOTIFY for microseconds, never through a flush.

use std::cell::Cell;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{PgTryBuilder, Spi, pg_guard, pg_sys};

use super::board::{self, Slot};
use crate::worker::backoff::Backoff;
use crate::{wakeup, worker};

/// Commits closer together than this share a NOTIFY: listeners read everything they find anyway.
const APART: Duration = Duration::from_millis(1);
/// While commits follow each other without a pause, NOTIFYs draw apart up to this: each wakes every listener, who takes the
/// processor from the writers.
const FARTHEST: Duration = Duration::from_millis(5);
/// The longest sleep: an upper bound to what a lost wake-up of this process could cost.
const NAP: Duration = Duration::from_secs(10);

thread_local! {
    static SERVED: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// Entry point; the argument is the database.
#[pg_guard]
#[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn quote_collab_waker_main(database: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    let database = pg_sys::Oid::from(u32::try_from(database.value()).unwrap_or_default());
    worker::connect(database);
    let Some(slot) = board::mine().filter(|slot| slot.serve()) else { return };
    SERVED.set(Some(slot));
    // SAFETY: a static function without an argument.
    unsafe { pg_sys::before_shmem_exit(Some(on_exit), pg_sys::Datum::null()) };
    serve(slot);
}

#[pg_guard]
extern "C-unwind" fn on_exit(_code: i32, _argument: pg_sys::Datum) {
    if let Some(slot) = SERVED.take() {
        slot.cease();
    }
}

fn serve(slot: &Slot) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    // What was committed while nobody served, which nobody tells again.
    let mut again = Some(Instant::now());
    let mut apart = APART;
    loop {
        let nap = again.map_or(NAP, |at| at.saturating_duration_since(Instant::now()));
        // A timeout is in whole milliseconds: never less than one, so that it does not spin.
        if !worker::wait(nap.max(APART)) || slot.must_leave() {
            return;
        }
        if again.is_some_and(|at| at > Instant::now()) || !(slot.take_pending() || again.is_some()) {
            continue;
        }
        if notify(again.is_some()) {
            again = None;
            backoff.reset();
            std::thread::sleep(apart);
            apart = if slot.is_pending() { (apart * 2).min(FARTHEST) } else { APART };
        } else {
            again = Some(Instant::now() + backoff.next());
        }
    }
}

/// Sends the NOTIFY; `false` when PostgreSQL refused, which it logged. The usual reason is a full queue: a listener
/// that sits in an open transaction. After that a full queue stays full even when everybody has read it, until somebody
/// asks how full it is.
fn notify(was_refused: bool) -> bool {
    PgTryBuilder::new(move || {
        if was_refused {
            BackgroundWorker::transaction(|| {
                // Asked for what it does on the way: it moves the end of the queue up to the slowest listener.
                let _usage = Spi::get_one::<f64>("select pg_catalog.pg_notification_queue_usage()");
            });
        }
        BackgroundWorker::transaction(wakeup::send);
        true
    })
    .catch_others(|error| {
        abort(error);
        false
    })
    .execute()
}

/// Logs an error and leaves the transaction that it ended.
pub fn abort(error: pgrx::pg_sys::panic::CaughtError) {
    use pgrx::pg_sys::panic::CaughtError as E;
    let (E::PostgresError(report) | E::ErrorReport(report) | E::RustPanic { ereport: report, .. }) = error;
    // SAFETY: reads a variable of this process; in the main loop of a worker, outside of any other recovery.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    unsafe {
        let database = pg_sys::MyDatabaseId.to_u32();
        pgrx::warning!(
            "quote_collab background worker of the database with oid {database}: {}",
            report.message()
        );
        pg_sys::AbortCurrentTransaction();
    }
}
