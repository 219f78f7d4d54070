//! Row changes between the row trigger that noted them and the statement trigger that writes them. Code of others may run
//! while changes are described or written, and change rows itself: nothing is borrowed meanwhile.

#![expect(unsafe_code, reason = "PostgreSQL's transaction state")]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};

use super::memory::Memory;
use super::order::{any_nested, complete, is_unordered, put_in_order};
use super::{Row, RowChange, direct, former, insert};
use crate::error::Error;
use crate::{statement, transaction};

/// So many rows of the log are written at once, to bound memory while a statement touches millions of rows. The more there are, the
/// more of them find their neighbours on one page of an index.
const BATCH_ROWS: usize = 20_000;
/// Values of so many bytes are written at once, and at most one row change more.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// What nested statements changed is held back until what ran them is noted, up to so many row changes.
const MOST_HELD: usize = 400_000;
/// And up to so many bytes of values.
const MOST_HELD_BYTES: usize = 128 * 1024 * 1024;

/// A row change that is not written yet.
pub(super) struct Noted {
    pub(super) change: RowChange,
    /// Ascending.
    number: u64,
    /// Done by a nested statement: what the one around it did to the same row before may be noted later.
    pub(super) is_nested: bool,
    /// Nesting depth of the subtransaction that noted it: when that one is rolled back, the note goes with it. Never less than that of a note
    /// before, so that a subtransaction looks at its own only.
    level: i32,
}

thread_local! {
    static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) };
    /// Where the next values are kept, and for which nesting depth.
    static MEMORY: RefCell<Option<(i32, Memory)>> = const { RefCell::new(None) };
    /// Where values that are held back are moved to.
    static HELD_VALUES: RefCell<Option<Memory>> = const { RefCell::new(None) };
    /// Number of the next note of this session.
    static NEXT: Cell<u64> = const { Cell::new(0) };
    /// The last command whose change of a row was written in the middle of the running statement, by row.
    static TOLD: RefCell<HashMap<Row, pg_sys::CommandId>> = RefCell::default();
    /// Logs that this transaction was asked to forget: it dropped them, unless it took that back.
    static FORGOTTEN: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
    /// Whoever runs this transaction was told that its history is not in order.
    static WARNED: Cell<bool> = const { Cell::new(false) };
    /// How many rows of the log, and bytes of their values, were noted since the last batch.
    static BATCH: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Notes a row change. `describe` may run SQL through casts of user types.
pub fn note(describe: impl FnOnce(&Memory) -> Result<RowChange, Error>) -> Result<(), Error> {
    let level = transaction::depth();
    let memory = memory(level);
    let is_nested = statement::is_nested();
    let kept = memory.bytes();
    let change = describe(&memory)?;
    let (rows, bytes) = BATCH.get();
    let (rows, bytes) = (rows + change.fields.len(), bytes + memory.bytes() - kept);
    BATCH.set((rows, bytes));
    let number = next_note();
    NEXT.set(number + 1);
    NOTED.with_borrow_mut(|noted| noted.push(Noted { change, number, is_nested, level }));
    if rows >= BATCH_ROWS || bytes >= BATCH_BYTES {
        drop(memory);
        write_batch();
    }
    Ok(())
}

fn memory(level: i32) -> Memory {
    MEMORY.with_borrow_mut(|kept| match kept {
        Some((of, memory)) if *of == level => memory.clone(),
        _ => kept.insert((level, Memory::new())).1.clone(),
    })
}

/// A statement has ended for one of its tables: writes what was noted. A nested statement is part of the one that ran it, whose
/// own changes are not all noted yet; and one that its end is seen of writes then, when it has ended for all of its tables.
pub fn flush_table() {
    let goes_on =
        statement::is_nested() || statement::is_ending() || statement::is_missed() && any_nested_noted();
    if !goes_on {
        flush();
    }
}

/// Number of the next note.
pub fn next_note() -> u64 {
    NEXT.get()
}

/// Whether anything is noted.
pub fn is_noted() -> bool {
    NOTED.with_borrow(|noted| !noted.is_empty())
}

/// Whether anything is noted that a nested statement did.
fn any_nested_noted() -> bool {
    NOTED.with_borrow(|noted| any_nested(noted))
}

/// Writes what this subtransaction noted, and what triggers on the log change in turn.
pub fn flush() {
    TOLD.take();
    loop {
        let ready = take_ready();
        if ready.is_empty() {
            return;
        }
        write(ready);
        pgrx::check_for_interrupts!();
    }
}

/// Writes a full batch in the middle of a statement, but for what is held back.
fn write_batch() {
    write_ripe(take_ready());
}

/// A statement in the middle of another has ended, which was the next to note when `first` was the number: writes what was noted since, as
/// far as it may be written. Whoever goes on in the middle of that other one reads it.
pub fn flush_nested(first: u64) {
    write_ripe(take_from(first));
}

fn write_ripe(ready: Vec<Noted>) {
    let (ripe, held) = hold_back(ready);
    NOTED.with_borrow_mut(|noted| noted.extend(held));
    if !ripe.is_empty() {
        MEMORY.take();
        write(ripe);
    }
}

/// What is noted and may be written now.
fn take_ready() -> Vec<Noted> {
    MEMORY.take();
    BATCH.set((0, 0));
    take_from(0)
}

/// What is noted from this number on. Notes of an outer subtransaction wait: written here they would be lost if this subtransaction rolls
/// back.
fn take_from(first: u64) -> Vec<Noted> {
    let level = transaction::depth();
    NOTED.with_borrow_mut(|noted| {
        let first = noted.partition_point(|entry| entry.number < first || entry.level < level);
        noted.split_off(first)
    })
}

/// Nothing is missing from such a history, and the versions say what came first. Told once a transaction.
fn warn_of_order() {
    if !WARNED.replace(true) {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            "the history may not be in the order of the changes",
            "quote_collab",
        )
        .set_detail("What one statement has changed itself is changed again by triggers and functions that it runs, in more rows than are kept until its own changes are noted.")
        .set_hint("Change fewer rows at once.")
        .report(PgLogLevel::WARNING);
    }
}

/// What the values of some notes are kept in.
fn memories(notes: &[Noted]) -> Vec<&Memory> {
    let mut memories: Vec<&Memory> = notes.iter().map(|entry| &entry.change.memory).collect();
    memories.dedup_by(|a, b| a.is(b));
    memories
}

/// Moves the values of what is held together, out of the memory that goes when the rest is written; returns how many bytes are there.
fn move_out(ripe: &[Noted], held: &mut [Noted]) -> usize {
    let written = memories(ripe);
    let is_written = |memory: &Memory| written.iter().any(|written| written.is(memory));
    let memory = HELD_VALUES.take().filter(|memory| !is_written(memory)).unwrap_or_else(Memory::new);
    for entry in held.iter_mut().filter(|entry| !entry.change.memory.is(&memory)) {
        entry.change.move_to(&memory);
    }
    let bytes = memory.bytes();
    HELD_VALUES.replace(Some(memory));
    bytes
}

/// Parts what may be written from what nested statements did to rows while the one that ran them is not noted yet, which may have changed
/// them before. Nothing more is held back once that is too much.
fn hold_back(ready: Vec<Noted>) -> (Vec<Noted>, Vec<Noted>) {
    if !any_nested(&ready) {
        return (ready, Vec::new());
    }
    let is_complete = complete(&ready, |row| TOLD.with_borrow(|told| told.get(&row).copied()));
    let (ripe, mut held) = part(ready, is_complete);
    if held.is_empty() {
        return (ripe, held);
    }
    let bytes = move_out(&ripe, &mut held);
    let all = NOTED.with_borrow(Vec::len) + held.len();
    if all < MOST_HELD && bytes < MOST_HELD_BYTES {
        return (ripe, held);
    }
    warn_of_order();
    held.extend(ripe);
    (held, Vec::new())
}

/// Those that are chosen, and the others.
fn part(ready: Vec<Noted>, chosen: Vec<bool>) -> (Vec<Noted>, Vec<Noted>) {
    let (chosen, others): (Vec<_>, Vec<_>) =
        ready.into_iter().zip(chosen).partition(|(_, is_chosen)| *is_chosen);
    let notes = |part: Vec<(Noted, bool)>| part.into_iter().map(|(entry, _)| entry).collect();
    (notes(chosen), notes(others))
}

fn write(mut ready: Vec<Noted>) {
    if is_unordered(&ready) {
        put_in_order(&mut ready);
    }
    remember_told(&ready);
    let changes: Vec<RowChange> = ready.into_iter().map(|entry| entry.change).collect();
    for group in changes.chunk_by(|a, b| a.log.relation == b.log.relation) {
        let log = &group[0].log;
        if is_forgotten(log.relation) {
            continue;
        }
        let written = if direct::write(log, group) { Ok(()) } else { insert::insert(log, group) };
        let kept = written.and_then(|()| former::remember(log, group));
        if let Err(error) = kept {
            error.raise();
        }
    }
}

/// What is written of nested statements while the one around them runs, so that what stands on it need not wait for that one. Too much to
/// be remembered is as if it had not been told: what stands on it is held back.
fn remember_told(written: &[Noted]) {
    TOLD.with_borrow_mut(|told| {
        for Noted { change, .. } in written.iter().filter(|entry| entry.is_nested) {
            let last = told.entry(change.row()).or_insert(change.command);
            *last = change.command.max(*last);
        }
        if told.len() > MOST_HELD {
            told.clear();
        }
    });
}

/// What is noted for this log is not written where the log is gone when it would be.
pub fn forget(log: pg_sys::Oid) {
    FORGOTTEN.with_borrow_mut(|forgotten| forgotten.insert(log));
}

fn is_forgotten(log: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up inside a transaction.
    FORGOTTEN.with_borrow(|forgotten| forgotten.contains(&log))
        && unsafe { pg_sys::get_rel_name(log) }.is_null()
}

/// Forgets everything: the transaction is over.
pub fn discard() {
    NOTED.with_borrow_mut(Vec::clear);
    MEMORY.take();
    HELD_VALUES.take();
    TOLD.take();
    BATCH.set((0, 0));
    WARNED.set(false);
    FORGOTTEN.with_borrow_mut(HashSet::clear);
}

/// A subtransaction commits: what it noted is its parent's.
pub fn hand_on() {
    let level = transaction::depth();
    NOTED.with_borrow_mut(|noted| {
        for entry in noted.iter_mut().rev().take_while(|entry| entry.level >= level) {
            entry.level = level - 1;
        }
    });
    MEMORY.take();
}

/// Forgets what the subtransaction that is being rolled back noted.
pub fn discard_aborted() {
    let level = transaction::depth();
    NOTED.with_borrow_mut(|noted| noted.truncate(noted.partition_point(|entry| entry.level < level)));
    MEMORY.take();
    HELD_VALUES.take();
}
