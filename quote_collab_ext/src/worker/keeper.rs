//! The keeper: runs `quote_collab_maintenance()` once in one database and ends, so that long work delays no wake-up.

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::{PgTryBuilder, Spi, pg_guard, pg_sys, spi};

use super::{board, waker};
use crate::{server, worker};

/// Entry point; the argument is the database.
#[pg_guard]
#[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn quote_collab_keeper_main(database: pg_sys::Datum) {
    // Maintenance may take long: whoever drops the database or stops the server does not wait for it.
    server::end_as_sessions_do();
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    let database = pg_sys::Oid::from(u32::try_from(database.value()).unwrap_or_default());
    worker::connect(database);
    let attached = PgTryBuilder::new(|| Some(BackgroundWorker::transaction(look)))
        .catch_others(|error| {
            waker::abort(error);
            None
        })
        .execute();
    match attached {
        Some(Ok(None)) => {
            if let Some(slot) = board::find(database) {
                slot.give_back();
            }
        }
        Some(Ok(Some(schema))) => {
            if let Some(slot) = board::mine().filter(|slot| !slot.is_served()) {
                slot.want();
            }
            keep(&schema);
        }
        // What could not be found out changes nothing.
        Some(Err(_)) | None => {}
    }
}

/// The quoted schema of the extension when something is attached in this database.
fn look() -> Result<Option<String>, spi::SpiError> {
    const EXTENSION: &str = "select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_extension e \
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'quote_collab_ext'";
    let one = |query: &str| {
        let first =
            |client: &spi::SpiClient<'_>| client.select(query, Some(1), &[])?.first().get_one::<String>();
        Spi::connect(first).or_else(none_when_empty)
    };
    let Some(schema) = one(EXTENSION)? else { return Ok(None) };
    let attached = one(&format!("select 'yes' from {schema}.quote_collab_settings limit 1"))?;
    Ok(attached.map(|_| schema))
}

fn none_when_empty(error: spi::SpiError) -> Result<Option<String>, spi::SpiError> {
    if matches!(error, spi::SpiError::InvalidPosition) { Ok(None) } else { Err(error) }
}

/// Sessions are swept before the rest, which may take long: whoever comes back under the id of one that is being deleted waits for that.
fn keep(schema: &str) {
    run(&format!("select {schema}.cleanup_stale_quote_sessions()"));
    run(&format!("select {schema}.quote_collab_maintenance()"));
}

/// Runs a query in a transaction of its own. Not by what marks the transaction as writing: one that finds nothing to do has no number then,
/// and writes nothing.
fn run(query: &str) {
    // The same bound as attach: whoever holds a lock for longer is served later.
    let queries = ["select pg_catalog.set_config('lock_timeout', '5s', true)", query];
    PgTryBuilder::new(|| {
        BackgroundWorker::transaction(|| {
            for query in queries {
                let ran = Spi::connect(|client| client.select(query, None, &[]).map(|_| ()));
                if let Err(error) = ran {
                    pgrx::warning!("quote_collab maintenance: {error}");
                }
            }
        });
    })
    .catch_others(waker::abort)
    .execute();
}
