//! Row changes between the row trigger that noted them and the statement trigger that writes them. Code of others may run
//! while changes are described or written, and change rows itself: nothing is borrowed meanwhile.

#![expect(unsafe_code, reason = "PostgreSQL's transaction state")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use pgrx::pg_sys;

use super::memory::{self, Memory};
use super::order::{any_nested, complete, is_unordered, may_follow, put_in_order};
use super::{Log, RowChange, batch, direct, early, former, held, insert, lent, silent};
use crate::error::Error;
use crate::hooks::{statement, transaction};
use crate::memory::allocator::reserve;
use crate::memory::last_resort::{self, OF_A_ROW, OF_MANY, put_by};

/// From so many rows of the log on, writing them takes blocks of memory that grow.
const MANY: usize = 100;

/// A row change that is not written yet.
#[derive(Clone)]
pub(super) struct Noted {
    pub(super) change: RowChange,
    pub(super) note: Note,
}

/// How a row change was noted.
#[derive(Clone, Copy)]
pub(super) struct Note {
    /// Ascending.
    pub(super) number: u64,
    /// Done by a nested statement: what the one around it did to the same row before may be noted later.
    pub(super) is_nested: bool,
    /// It begins a row where one may have ended that is noted later.
    pub(super) may_follow_end: bool,
    /// Nesting depth of the subtransaction that noted it: when that one is rolled back, the note goes with it. Never less than that of a note
    /// before, so that a subtransaction looks at its own only.
    pub(super) level: i32,
}

thread_local! {
    static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) };
    /// Number of the next note of this session.
    static NEXT: Cell<u64> = const { Cell::new(0) };
    /// Logs that this transaction was asked to forget: it dropped them, unless it took that back.
    static FORGOTTEN: RefCell<HashSet<pg_sys::Oid>> = RefCell::default();
    /// All that commands up to this one have changed is written: the last at whose end nothing was left, if there was one.
    static WRITTEN: Cell<Option<pg_sys::CommandId>> = const { Cell::new(None) };
}

/// Notes a row change. `describe` may run SQL through casts of user types.
pub fn note(describe: impl FnOnce(&Memory) -> Result<RowChange, Error>) -> Result<(), Error> {
    let level = transaction::depth();
    let memory = memory::of(level);
    let is_nested = statement::is_nested();
    let kept = memory.bytes();
    let change = describe(&memory)?;
    let is_full = batch::add(level, change.fields.len(), memory.bytes() - kept);
    let number = next_note();
    NEXT.set(number + 1);
    let may_follow_end = may_follow(&change, is_nested);
    let note = Note { number, is_nested, may_follow_end, level };
    NOTED.with_borrow_mut(|noted| {
        reserve(noted, 1)?;
        noted.push(Noted { change, note });
        Ok::<(), Error>(())
    })?;
    if is_full {
        drop(memory);
        write_ripe(0);
    }
    Ok(())
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

/// Writes all that is noted, and what triggers on the log change in turn.
pub fn flush() {
    loop {
        let ready = take_ready();
        if ready.is_empty() {
            break;
        }
        held::let_values_go();
        write(ready);
        pgrx::check_for_interrupts!();
    }
    early::forget();
    silent::forget();
    // SAFETY: reads a counter of this backend.
    WRITTEN.set(Some(unsafe { pg_sys::GetCurrentCommandId(false) }));
}

/// The transaction is about to end: writes all that is noted, and fires the triggers that this defers, as PostgreSQL does not any more.
pub fn finish() {
    while is_noted() {
        flush();
        // SAFETY: in the transaction, before PostgreSQL shuts its deferred triggers down.
        unsafe { pg_sys::AfterTriggerFireDeferred() };
    }
}

/// The last command of this transaction of which, and of all before it, nothing is left to write, as far as it is known.
pub fn written() -> Option<pg_sys::CommandId> {
    WRITTEN.get()
}

/// Writes in the middle of a statement what was noted since `first` was the number, but for what is held back: all of a full batch, or what a
/// statement inside has noted that has ended, since whoever goes on in the middle of the other one reads it.
pub fn write_ripe(first: u64) {
    let ripe = take_ripe(first);
    if !ripe.is_empty() {
        memory::leave();
        write(ripe);
    }
}

/// What is noted.
fn take_ready() -> Vec<Noted> {
    look_again();
    take_from(0)
}

/// All that is noted is looked at, and all that is held back.
fn look_again() {
    memory::leave();
    batch::begin();
    held::look_again();
}

/// What is noted from this number on.
fn take_from(first: u64) -> Vec<Noted> {
    NOTED.with_borrow_mut(|noted| match place_of(noted, first) {
        0 => std::mem::take(noted),
        place => noted.split_off(place),
    })
}

/// Where the notes from this number on begin.
fn place_of(noted: &[Noted], first: u64) -> usize {
    noted.partition_point(|entry| entry.note.number < first)
}

/// Takes what may be written of what is noted from this number on. What nested statements did to rows waits while the one that ran them is
/// not noted yet, which may have changed them before; once that is too much, nothing waits. Whatever can fail comes before anything is taken:
/// the failure may be of a subtransaction, and what is noted not.
fn take_ripe(first: u64) -> Vec<Noted> {
    let is_ripe = ripe_from(first);
    let is_any_held = is_ripe.contains(&false) && !is_too_much(first, &is_ripe);
    if first == 0 {
        look_again();
    }
    if !is_any_held {
        return take_from(first);
    }
    let (ripe, held) = part(take_from(first), is_ripe);
    held::hold(held.iter().map(|entry| entry.change.row()));
    NOTED.with_borrow_mut(|noted| noted.extend(held));
    ripe
}

/// Which notes from this number on may be written; none where none need be asked.
fn ripe_from(first: u64) -> Vec<bool> {
    let is_simple = |entry: &Noted| !entry.note.is_nested && !entry.note.may_follow_end;
    if NOTED.with_borrow(|noted| noted[place_of(noted, first)..].iter().all(is_simple)) {
        return Vec::new();
    }
    let statement = statement::outermost();
    // From the beginning on, all that is held is looked at again.
    let is_held = |row| first > 0 && held::is_held(row);
    NOTED.with_borrow(|noted| {
        complete(&noted[place_of(noted, first)..], statement, early::is_written, is_held)
    })
}

/// Whether too much would be held back, whose values are moved out of the way of the others.
fn is_too_much(first: u64, is_ripe: &[bool]) -> bool {
    let (held, moved) = NOTED.with_borrow_mut(|noted| {
        let place = place_of(noted, first);
        let held = is_ripe.iter().filter(|is_ripe| !**is_ripe).count();
        (place + held, held::move_out(&mut noted[place..], is_ripe))
    });
    held::is_too_much(held, moved.unwrap_or_else(|error| error.raise()))
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
        put_in_order(&mut ready, early::is_written);
    }
    early::remember(&ready);
    let ready = Rc::new(ready);
    lent::keep(&ready);
    for group in ready.chunk_by(|a, b| a.change.log.relation == b.change.log.relation) {
        for part in group.chunks(batch::ROWS) {
            write_to(&part[0].change.log, part);
        }
    }
}

/// What was taken is noted again: nothing of it is written.
fn put_back(ready: Vec<Noted>) {
    NOTED.with_borrow_mut(|noted| {
        if noted.is_empty() {
            *noted = ready;
        } else {
            noted.extend(ready);
        }
        noted.sort_by_key(|entry| entry.note.number);
    });
}

/// Writes changes that all go to one log.
fn write_to(log: &Log, noted: &[Noted]) {
    if is_forgotten(log.relation) {
        return;
    }
    let write = || {
        let rows: usize = noted.iter().map(|entry| entry.change.fields.len()).sum();
        let _last_resort = put_by(if rows < MANY { OF_A_ROW } else { OF_MANY })?;
        if !direct::write(log, noted)? {
            insert::insert(log, noted)?;
        }
        former::remember(log, noted)
    };
    write().unwrap_or_else(|error| error.raise());
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
    memory::leave();
    held::forget();
    early::forget();
    silent::forget();
    lent::forget();
    batch::begin();
    WRITTEN.set(None);
    last_resort::let_go();
    FORGOTTEN.with_borrow_mut(HashSet::clear);
}

/// A subtransaction is about to commit: few values go to where its parent's are, so that many small ones do not keep a block of memory each.
pub fn gather() {
    let level = transaction::depth();
    let Some((from, to)) = memory::gathers(level) else { return };
    let gathered = NOTED.with_borrow_mut(|noted| {
        let own = noted.iter_mut().rev().take_while(|entry| entry.note.level >= level);
        own.filter(|entry| entry.change.memory.is(&from)).try_for_each(|entry| entry.change.move_to(&to))
    });
    gathered.unwrap_or_else(|error| error.raise());
}

/// A subtransaction has committed: what it noted is its parent's.
pub fn hand_on() {
    let level = transaction::depth();
    NOTED.with_borrow_mut(|noted| {
        for entry in noted.iter_mut().rev().take_while(|entry| entry.note.level >= level) {
            entry.note.level = level - 1;
        }
    });
    batch::hand_on(level);
    memory::hand_on(level);
    lent::hand_on(level);
}

/// Forgets what the subtransaction that is being rolled back noted, and takes back what it has written of others.
pub fn discard_aborted() {
    let level = transaction::depth();
    NOTED.with_borrow_mut(|noted| {
        noted.truncate(noted.partition_point(|entry| entry.note.level < level));
    });
    let back = lent::take_back(level);
    if !back.is_empty() {
        batch::take_back(&back);
        put_back(back);
    }
    memory::leave_from(level);
    held::let_values_go();
}
