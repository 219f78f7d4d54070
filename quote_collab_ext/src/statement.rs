//! Begin and end of statements, seen by hooks. A statement that writes to several tables fires the statement triggers of one before it has
//! fired the row triggers of another; and functions that it calls run statements of their own before any of its triggers has fired.

#![expect(unsafe_code, reason = "PostgreSQL's executor hooks")]

use std::cell::Cell;

use pgrx::{PgList, pg_guard, pg_sys};

use crate::{audit, memory, server, transaction, trigger};

static mut EARLIER_RUN: pg_sys::ExecutorRun_hook_type = None;
static mut EARLIER_FINISH: pg_sys::ExecutorFinish_hook_type = None;

/// A statement that changes rows and is not done with it.
#[derive(Clone, Copy)]
struct Running {
    query: *mut pg_sys::QueryDesc,
    /// Nesting depth of its subtransaction.
    level: i32,
    /// Whether it changes rows of attached tables, once that is known.
    is_of_ours: Option<bool>,
}

/// A statement that fires its triggers.
#[derive(Clone, Copy)]
struct Ending {
    /// Number of the statement that is nested in no other: this one, or that in whose middle it is; none where that one is not known.
    command: Option<pg_sys::CommandId>,
    /// It is in the middle of a statement whose own changes are not noted yet.
    is_nested: bool,
    /// Nesting depth of its subtransaction.
    level: i32,
}

thread_local! {
    /// The statement that no trigger runs and no other statement of this kind.
    static RUNNING: Cell<Option<Running>> = const { Cell::new(None) };
    /// The statement that no trigger runs.
    static ENDING: Cell<Option<Ending>> = const { Cell::new(None) };
    /// The library came while a statement was at that already: its end is not seen.
    static MISSED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hooks, once per backend, or in the server that preloads the library.
pub fn watch() {
    // SAFETY: a process of PostgreSQL has one thread; each hook keeps the one before it.
    unsafe {
        EARLIER_RUN = pg_sys::ExecutorRun_hook;
        pg_sys::ExecutorRun_hook = Some(on_run);
        EARLIER_FINISH = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(on_finish);
        MISSED.set(!pg_sys::process_shared_preload_libraries_in_progress);
    }
}

/// Whether a trigger, or a function in the middle of a statement that changes rows of ours, ran the statement whose triggers fire.
pub fn is_nested() -> bool {
    server::trigger_depth() > 1 || ENDING.get().is_some_and(|ending| ending.is_nested)
}

/// Whether a statement fires its triggers whose end will be seen.
pub fn is_ending() -> bool {
    ENDING.get().is_some()
}

/// The number that the statement which is nested in no other has among the commands of its transaction.
pub fn ending() -> Option<pg_sys::CommandId> {
    ENDING.get().and_then(|ending| ending.command)
}

/// Whether the end of the running statement may not be seen.
pub fn is_missed() -> bool {
    MISSED.get()
}

/// A transaction is over.
pub fn forget() {
    RUNNING.set(None);
    ENDING.set(None);
    MISSED.set(false);
}

/// A subtransaction was rolled back, and with it the statement whose end the ERROR passed over, unless that one began outside.
pub fn forget_subtransaction() {
    let depth = transaction::depth();
    if RUNNING.get().is_some_and(|running| depth <= running.level) {
        RUNNING.set(None);
    }
    if ENDING.get().is_some_and(|ending| depth <= ending.level) {
        ENDING.set(None);
    }
}

#[cfg(not(feature = "pg18"))]
unsafe extern "C-unwind" fn on_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
    is_once: bool,
) {
    // SAFETY: the arguments are PostgreSQL's own and go on unchanged.
    unsafe {
        let next = EARLIER_RUN.unwrap_or(server::STANDARD_RUN);
        run(query, || next(query, direction, count, is_once));
    }
}

#[cfg(feature = "pg18")]
unsafe extern "C-unwind" fn on_run(
    query: *mut pg_sys::QueryDesc,
    direction: pg_sys::ScanDirection::Type,
    count: u64,
) {
    // SAFETY: the arguments are PostgreSQL's own and go on unchanged.
    unsafe {
        let next = EARLIER_RUN.unwrap_or(server::STANDARD_RUN);
        run(query, || next(query, direction, count));
    }
}

/// Not guarded: an ERROR passes through as through any C function. The frame has nothing to drop, and what it has set ends with the
/// (sub)transaction.
///
/// # Safety
/// The query must be live, with the state of its execution; `next` goes on with it.
unsafe fn run(query: *mut pg_sys::QueryDesc, next: impl FnOnce()) {
    // SAFETY: per contract.
    let is_first = RUNNING.get().is_none()
        && unsafe { changes_rows((*query).plannedstmt) }
        && server::trigger_depth() == 0;
    if is_first {
        RUNNING.set(Some(Running { query, level: transaction::depth(), is_of_ours: None }));
    }
    next();
    if is_first {
        RUNNING.set(None);
    }
}

/// As [`run`] is not guarded.
unsafe extern "C-unwind" fn on_finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: the argument is PostgreSQL's own, with the state of its execution, and goes on unchanged.
    unsafe {
        let next = EARLIER_FINISH.unwrap_or(server::STANDARD_FINISH);
        if server::trigger_depth() > 0 {
            return next(query);
        }
        let ending = ending_of(query);
        let earlier = audit::noted();
        let before = ENDING.replace(Some(ending));
        // Parts of it that nobody has read to their end run here, before its triggers.
        run(query, || next(query));
        ENDING.set(before);
        after(ending.is_nested, earlier);
    }
}

/// What is known of a query that is about to fire its triggers.
///
/// # Safety
/// It must be live, with the state of its execution.
unsafe fn ending_of(query: *mut pg_sys::QueryDesc) -> Ending {
    let level = transaction::depth();
    // SAFETY: per contract; the outer query is live as long as it runs.
    unsafe {
        if let Some(outer) = running_of_ours() {
            return Ending { command: Some((*(*outer).estate).es_output_cid), is_nested: true, level };
        }
        if MISSED.get() && is_in_missed(query) {
            return Ending { command: None, is_nested: true, level };
        }
        MISSED.set(false);
        Ending { command: Some((*(*query).estate).es_output_cid), is_nested: false, level }
    }
}

/// The query in whose middle this is, where it changes rows of attached tables itself.
fn running_of_ours() -> Option<*mut pg_sys::QueryDesc> {
    let running = RUNNING.get()?;
    let is_of_ours = running.is_of_ours.unwrap_or_else(|| {
        // SAFETY: it is live as long as it runs.
        let is_of_ours = unsafe { changes_ours(running.query) };
        RUNNING.set(Some(Running { is_of_ours: Some(is_of_ours), ..running }));
        is_of_ours
    });
    is_of_ours.then_some(running.query)
}

/// # Safety
/// The query must be running.
unsafe fn changes_ours(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: per contract; the executor keeps its tables open, and what it knows of their triggers.
    unsafe {
        let tables = PgList::<pg_sys::ResultRelInfo>::from_pg((*(*query).estate).es_opened_result_relations);
        tables.iter_ptr().any(|table| trigger::any_captures((*table).ri_TrigDesc))
    }
}

/// # Safety
/// The statement must be live.
unsafe fn changes_rows(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: per contract.
    unsafe {
        (*statement).hasModifyingCTE
            || !matches!((*statement).commandType, pg_sys::CmdType::CMD_SELECT | pg_sys::CmdType::CMD_UTILITY)
    }
}

/// Whether the client's statement is another than this query, and changes rows: the library came in its middle.
///
/// # Safety
/// The query must be live.
unsafe fn is_in_missed(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: per contract; the active portal is live, and holds planned statements.
    unsafe {
        let Some(portal) = pg_sys::ActivePortal.as_ref() else { return false };
        let statements = PgList::<pg_sys::PlannedStmt>::from_pg(portal.stmts);
        let is_another = statements.iter_ptr().all(|statement| statement != (*query).plannedstmt);
        is_another && statements.iter_ptr().any(|statement| changes_rows(statement))
    }
}

/// Writes what the statement and its triggers have changed: all that is noted, or, of a nested one, what was not noted earlier and may be
/// written.
#[pg_guard]
unsafe extern "C-unwind" fn after(is_nested: bool, earlier: usize) {
    if !audit::is_noted() {
        return;
    }
    // SAFETY: what writing allocates is gone with a context of its own, and with the statement's where it fails.
    unsafe {
        let context = memory::child(pg_sys::CurrentMemoryContext, c"quote_collab statement");
        {
            let _scope = memory::Scope::enter(context);
            if is_nested {
                audit::flush_nested(earlier);
            } else {
                audit::flush();
            }
        }
        pg_sys::MemoryContextDelete(context);
    }
}
