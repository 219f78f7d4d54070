//! The end of a statement, seen by a hook: a statement that writes to several tables fires the statement triggers of one before it has fired
//! the row triggers of another.

#![expect(unsafe_code, reason = "PostgreSQL's executor hook")]

use std::cell::Cell;

use pgrx::{pg_guard, pg_sys};

use crate::{audit, memory, server, transaction};

static mut EARLIER: pg_sys::ExecutorFinish_hook_type = None;

thread_local! {
    /// The number of the statement that no trigger runs while it fires its triggers, and the nesting depth of its subtransaction.
    static ENDING: Cell<Option<(pg_sys::CommandId, i32)>> = const { Cell::new(None) };
    /// The library came while a statement was at that already: its end is not seen.
    static MISSED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook, once per backend, or in the server that preloads the library.
pub fn watch() {
    // SAFETY: a process of PostgreSQL has one thread; the hook keeps the one before it.
    unsafe {
        EARLIER = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(on_finish);
        MISSED.set(!pg_sys::process_shared_preload_libraries_in_progress);
    }
}

/// Whether a statement fires its triggers whose end will be seen.
pub fn is_ending() -> bool {
    ENDING.get().is_some()
}

/// The number that this statement has among the commands of its transaction.
pub fn ending() -> Option<pg_sys::CommandId> {
    ENDING.get().map(|(command, _)| command)
}

/// Whether the end of the running statement may not be seen.
pub fn is_missed() -> bool {
    MISSED.get()
}

/// A transaction is over.
pub fn forget() {
    ENDING.set(None);
    MISSED.set(false);
}

/// A subtransaction was rolled back, and with it the statement whose end the ERROR passed over, unless that one began outside.
pub fn forget_subtransaction() {
    if ENDING.get().is_some_and(|(_, level)| transaction::depth() <= level) {
        ENDING.set(None);
    }
}

/// Not guarded: an ERROR of a trigger passes through as through any C function. The frame has nothing to drop, and what it has set
/// ends with the (sub)transaction.
unsafe extern "C-unwind" fn on_finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: the argument is PostgreSQL's own, with the state of its execution, and goes on unchanged.
    unsafe {
        let next = match EARLIER {
            Some(earlier) => earlier,
            None => server::STANDARD_FINISH,
        };
        if server::trigger_depth() > 0 {
            return next(query);
        }
        MISSED.set(false);
        let before = ENDING.replace(Some(((*(*query).estate).es_output_cid, transaction::depth())));
        next(query);
        ENDING.set(before);
        after();
    }
}

/// Writes what the statement and its triggers have changed.
#[pg_guard]
unsafe extern "C-unwind" fn after() {
    if !audit::is_noted() {
        return;
    }
    // SAFETY: what writing allocates is gone with a context of its own, and with the statement's where it fails.
    unsafe {
        let context = memory::child(pg_sys::CurrentMemoryContext, c"quote_collab statement");
        {
            let _scope = memory::Scope::enter(context);
            audit::flush();
        }
        pg_sys::MemoryContextDelete(context);
    }
}
