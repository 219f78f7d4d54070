//! Begin and end of statements, seen by hooks. A statement that writes to several tables fires the statement triggers of one before it has
//! fired the row triggers of another; and functions that it calls run statements of their own before any of its triggers has fired.

#![expect(unsafe_code, reason = "PostgreSQL's executor hooks")]

mod copy;
mod ends;
mod inner;

use std::cell::{Cell, RefCell};

use pgrx::{PgList, pg_guard, pg_sys};

pub use copy::{begin_copy, end_copy};

use crate::hooks::transaction;
use crate::{audit, memory, server, trigger};

static mut EARLIER_RUN: pg_sys::ExecutorRun_hook_type = None;
static mut EARLIER_FINISH: pg_sys::ExecutorFinish_hook_type = None;

/// What runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A query of the executor.
    Query(*mut pg_sys::QueryDesc),
    /// COPY into a table.
    Copy(pg_sys::Oid),
}

/// A statement that changes rows, from when it begins until its triggers have fired.
#[derive(Clone, Copy)]
struct Running {
    work: Work,
    /// Its number among the commands of the transaction.
    command: pg_sys::CommandId,
    /// Nesting depth of its subtransaction.
    level: i32,
    /// When the client's message came that runs it.
    message: pg_sys::TimestampTz,
    /// What is noted from here on is noted by it, its triggers, or what runs in its middle.
    first: u64,
    /// Triggers that fire while it is the newest are its own.
    is_ending: bool,
    /// Whether it is known to change rows of attached tables. It may open more of them later.
    is_of_ours: bool,
    /// Whether it may delete rows, or give them other ids.
    may_end_rows: bool,
}

/// How the library came into a statement whose end or middle it does not see.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// Not in the middle of one, as far as it is known.
    No,
    /// Perhaps: nothing has fired yet.
    Perhaps,
    /// In the middle of one, at this nesting depth of subtransactions: a trigger fired before a row.
    Middle(i32),
}

thread_local! {
    /// The statements that no trigger runs, each run by a function in the middle of the one before it.
    static RUNNING: RefCell<Vec<Running>> = const { RefCell::new(Vec::new()) };
    static MISSED: Cell<Missed> = const { Cell::new(Missed::No) };
}

/// Installs the hooks, once per backend, or in the server that preloads the library.
pub fn watch() {
    // SAFETY: a process of PostgreSQL has one thread; each hook keeps the one before it.
    unsafe {
        EARLIER_RUN = pg_sys::ExecutorRun_hook;
        pg_sys::ExecutorRun_hook = Some(on_run);
        EARLIER_FINISH = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(on_finish);
        if !pg_sys::process_shared_preload_libraries_in_progress {
            MISSED.set(Missed::Perhaps);
        }
    }
}

/// A trigger fires before a row. Where no statement was seen to begin that does so, the library came in its middle.
pub fn fires_before() {
    if MISSED.get() == Missed::Perhaps && RUNNING.with_borrow(Vec::is_empty) && server::trigger_depth() == 1 {
        MISSED.set(Missed::Middle(transaction::depth()));
    }
}

/// Whether a trigger, or a function in the middle of a statement that changes rows of ours, ran the statement whose triggers fire.
pub fn is_nested() -> bool {
    server::trigger_depth() > 1 || is_in_ours()
}

/// Whether a statement fires its triggers whose end will be seen.
pub fn is_ending() -> bool {
    RUNNING.with_borrow(|running| running.last().is_some_and(|last| last.is_ending))
}

/// The number that the statement which is nested in no other has among the commands of its transaction, as far as it is known.
pub fn outermost() -> Option<pg_sys::CommandId> {
    if matches!(MISSED.get(), Missed::Middle(_)) {
        return None;
    }
    let running =
        first_of_ours(usize::MAX).or_else(|| RUNNING.with_borrow(|running| running.first().copied()));
    match running {
        Some(running) => Some(running.command),
        // Deferred triggers fire: all that was there before is written.
        None if !is_missed() => audit::written().map(|command| command + 1),
        None => None,
    }
}

/// Whether the statements around the nested one whose triggers fire do nothing but insert rows, as far as it is known: none of them ends rows.
pub fn is_within_inserts() -> bool {
    let is_inner = inner::is_any();
    let around = RUNNING.with_borrow(|running| {
        // The newest is the one whose triggers fire, unless these have run it.
        let own = usize::from(!is_inner && running.last().is_some_and(|last| last.is_ending));
        running.iter().take(running.len() - own).all(|running| !running.may_end_rows)
    });
    MISSED.get() == Missed::No && around && !inner::any_around_ends_rows()
}

/// Whether the end of the running statement may not be seen.
pub fn is_missed() -> bool {
    MISSED.get() != Missed::No
}

/// A transaction is over.
pub fn forget() {
    RUNNING.with_borrow_mut(Vec::clear);
    inner::forget();
    MISSED.set(Missed::No);
}

/// A subtransaction was rolled back, and with it the statements whose end the ERROR passed over, unless they began outside.
pub fn forget_subtransaction() {
    let depth = transaction::depth();
    RUNNING.with_borrow_mut(|running| running.retain(|running| running.level < depth));
    inner::forget_subtransaction(depth);
    if matches!(MISSED.get(), Missed::Middle(level) if depth <= level) {
        MISSED.set(Missed::No);
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
/// The query must be about to run, which `next` does.
unsafe fn run(query: *mut pg_sys::QueryDesc, next: impl FnOnce()) {
    // SAFETY: per contract.
    unsafe {
        if changes_rows((*query).plannedstmt) {
            if server::trigger_depth() == 0 {
                begin(Work::Query(query), (*(*query).estate).es_output_cid, audit::next_note());
            } else {
                inner::begin(query);
            }
        }
        next();
    }
}

/// Work begins as a command of the transaction, and notes from this number on.
fn begin(work: Work, command: pg_sys::CommandId, first: u64) {
    let level = transaction::depth();
    // SAFETY: reads a variable of this backend.
    let message = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    let may_end_rows = match work {
        // SAFETY: it is about to run.
        Work::Query(query) => unsafe { ends::may_end_rows((*query).plannedstmt) },
        Work::Copy(_) => false,
    };
    RUNNING.with_borrow_mut(|running| {
        // No statement outlives its message; who runs one and does not end it leaves nothing behind here.
        running.retain(|earlier| earlier.message == message);
        let is_copy = matches!(work, Work::Copy(_));
        // A query may run piece by piece.
        if is_copy || running.last().is_none_or(|last| last.work != work) {
            running.push(Running {
                work,
                command,
                level,
                message,
                first,
                // Its own triggers are all that COPY fires by itself, and no hook says when.
                is_ending: is_copy,
                is_of_ours: false,
                may_end_rows,
            });
        }
    });
}

/// As [`run`] is not guarded.
unsafe extern "C-unwind" fn on_finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: the argument is PostgreSQL's own, with the state of its execution, and goes on unchanged.
    unsafe {
        let next = EARLIER_FINISH.unwrap_or(server::STANDARD_FINISH);
        if server::trigger_depth() > 0 {
            next(query);
            return inner::end(query);
        }
        let work = Work::Query(query);
        if place_of(work).is_none() && MISSED.get() != Missed::No && is_in_missed(query) {
            MISSED.set(Missed::Middle(transaction::depth()));
            // What ran in its middle is noted already.
            begin(work, (*(*query).estate).es_output_cid, 0);
        }
        let Some(place) = place_of(work) else {
            next(query);
            return missed_end(query);
        };
        RUNNING.with_borrow_mut(|running| {
            running.truncate(place + 1);
            running[place].is_ending = true;
        });
        next(query);
        after(query);
    }
}

/// Where work stands among what runs.
fn place_of(work: Work) -> Option<usize> {
    RUNNING.with_borrow(|running| running.iter().rposition(|running| running.work == work))
}

/// A query has ended that was not seen to begin: where it changes rows, the library came in its middle.
///
/// # Safety
/// The query must be live.
unsafe fn missed_end(query: *mut pg_sys::QueryDesc) {
    // SAFETY: per contract.
    unsafe {
        if RUNNING.with_borrow(Vec::is_empty) && changes_rows((*query).plannedstmt) {
            MISSED.set(Missed::No);
            flush_all();
        }
    }
}

/// Whether this is in the middle of a statement that changes rows of attached tables itself: the newest one, as long as its triggers do not
/// fire, or one around it.
fn is_in_ours() -> bool {
    let around = RUNNING.with_borrow(|running| {
        running.len() - usize::from(running.last().is_some_and(|last| last.is_ending))
    });
    let is_seen = around > 0 && first_of_ours(around).is_some();
    is_seen || matches!(MISSED.get(), Missed::Middle(_)) && RUNNING.with_borrow(|running| !running.is_empty())
}

/// The first statement that changes rows of attached tables, among the first so many that run.
fn first_of_ours(among: usize) -> Option<Running> {
    let known = RUNNING.with_borrow(|running| running.iter().take(among).copied().collect::<Vec<_>>());
    known.into_iter().enumerate().find_map(|(place, running)| {
        // SAFETY: it is live as long as it runs.
        let is_of_ours = running.is_of_ours
            || unsafe {
                match running.work {
                    Work::Query(query) => changes_ours(query),
                    Work::Copy(table) => copy::changes_ours(table),
                }
            };
        RUNNING.with_borrow_mut(|all| all[place].is_of_ours = is_of_ours);
        is_of_ours.then_some(running)
    })
}

/// # Safety
/// The query must be running.
unsafe fn changes_ours(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: per contract; the executor keeps its tables open, those that rows were routed to with them, and what it knows of their triggers.
    unsafe {
        let state = (*query).estate;
        [(*state).es_opened_result_relations, (*state).es_tuple_routing_result_relations].into_iter().any(
            |tables| {
                let tables = PgList::<pg_sys::ResultRelInfo>::from_pg(tables);
                tables.iter_ptr().any(|table| trigger::any_captures((*table).ri_TrigDesc))
            },
        )
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

/// Whether this query changes rows in the middle of the client's statement, which changes rows itself: the library came in its middle.
///
/// # Safety
/// The query must be live.
unsafe fn is_in_missed(query: *mut pg_sys::QueryDesc) -> bool {
    // SAFETY: per contract; the active portal is live, and holds planned statements.
    unsafe {
        let Some(portal) = pg_sys::ActivePortal.as_ref() else { return false };
        let statements = PgList::<pg_sys::PlannedStmt>::from_pg(portal.stmts);
        let is_another = statements.iter_ptr().all(|statement| statement != (*query).plannedstmt);
        let others_change = statements.iter_ptr().any(|statement| changes_rows(statement));
        changes_rows((*query).plannedstmt) && is_another && others_change
    }
}

/// The newest query is through.
#[pg_guard]
unsafe extern "C-unwind" fn after(query: *mut pg_sys::QueryDesc) {
    // One that was seen to begin around it tells more when it ends.
    if MISSED.get() == Missed::Perhaps && RUNNING.with_borrow(Vec::len) == 1 {
        // SAFETY: the query is live, as it is about to end.
        let is_in_missed = unsafe { is_in_missed(query) };
        MISSED.set(if is_in_missed { Missed::Middle(transaction::depth()) } else { Missed::No });
    }
    end_newest();
}

/// The newest statement and its triggers are through: writes what they have changed; of one in the middle of another, as far as it may be
/// written.
fn end_newest() {
    let is_nested = is_in_ours();
    match RUNNING.with_borrow_mut(Vec::pop) {
        Some(ended) if is_nested => write(|| audit::write_ripe(ended.first)),
        _ => write(audit::flush),
    }
}

/// A utility statement has ended. One in the middle of which nothing runs any more, and which no trigger runs, may have fired deferred triggers, or
/// called functions.
pub fn end_utility() {
    if audit::is_noted() && !is_missed() && server::trigger_depth() == 0 && RUNNING.with_borrow(Vec::is_empty)
    {
        // SAFETY: asks for the state of the transaction; what is noted is written inside it.
        unsafe {
            if pg_sys::IsTransactionState() {
                flush_all();
            }
        }
    }
}

/// Writes all that is noted.
#[pg_guard]
unsafe extern "C-unwind" fn flush_all() {
    write(audit::flush);
}

fn write(flush: impl FnOnce()) {
    if !audit::is_noted() {
        return flush();
    }
    // SAFETY: what writing allocates is gone with a context of its own, and with the statement's where it fails.
    unsafe {
        let context = memory::child(pg_sys::CurrentMemoryContext, c"quote_collab statement");
        {
            let _scope = memory::Scope::enter(context);
            flush();
        }
        pg_sys::MemoryContextDelete(context);
    }
}
