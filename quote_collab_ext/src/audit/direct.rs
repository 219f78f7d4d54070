//! Writes rows straight into the monthly partition and its indexes: no parser, no planner, no executor. Taken when the
//! partition looks as we made it and nobody put a trigger of INSERT or a constraint on it; SQL does the rest.

#![expect(unsafe_code, reason = "PostgreSQL's table access methods")]

use pgrx::{PgTupleDesc, pg_sys};

use super::indexes::Indexes;
use super::log::{NULLABLE, fires_on_insert};
use super::pending::Noted;
use super::values::{Rows, Value};
use super::{Log, snapshot};
use crate::error::Error;
use crate::memory::{self, allocator::reserve};

/// Rows that go into the heap in one step. More slots at once would only make PostgreSQL's book-keeping of them slow.
const AT_ONCE: usize = 32;

/// Writes the rows of changes, which all go to `log`; `false` when SQL must do it.
pub fn write(log: &Log, noted: &[Noted]) -> Result<bool, Error> {
    let Some(first) = noted.first() else { return Ok(true) };
    let partition = log.partition_of(first.change.mint.at).filter(|_| !log.has_triggers);
    let Some(partition) = partition else { return Ok(false) };
    if !noted.iter().all(|entry| log.partition_of(entry.change.mint.at) == Some(partition)) {
        return Ok(false);
    }
    // SAFETY: inside a transaction; the partition stays locked until its end, as an INSERT would lock it. Detaching or
    // dropping it, or the whole log, needs a lock that this one keeps out.
    unsafe {
        let target = pg_sys::try_table_open(partition, pg_sys::RowExclusiveLock.cast_signed());
        if target.is_null() {
            log.month.set(None);
            return Ok(false);
        }
        // Detached since it was found: it is not the log's any more.
        let is_partition = (*(*target).rd_rel).relispartition;
        if !is_partition {
            log.month.set(None);
        }
        let is_plain = is_partition && !fires_on_insert(target) && takes_any(target);
        let written = if is_plain { snapshot::under_one(|| write_rows(target, noted)) } else { Ok(false) };
        pg_sys::table_close(target, pg_sys::NoLock.cast_signed());
        written
    }
}

/// Whether a partition takes each row of ours: nobody put a constraint on it that an INSERT would look at.
///
/// # Safety
/// `target` must be open, with the columns of a log.
unsafe fn takes_any(target: pg_sys::Relation) -> bool {
    // SAFETY: an open relation has a descriptor, which lives as long.
    let (descriptor, constraints) = unsafe {
        let descriptor = (*target).rd_att;
        (PgTupleDesc::from_pg_unchecked(descriptor), (*descriptor).constr)
    };
    // SAFETY: the descriptor's own.
    let is_unchecked = constraints.is_null() || unsafe { (*constraints).num_check == 0 };
    is_unchecked
        && NULLABLE.iter().all(|place| descriptor.get(*place).is_some_and(|column| !column.attnotnull))
}

/// `false` when an index is more than a plain one.
///
/// # Safety
/// `target` must be open and locked, with the columns of a log.
unsafe fn write_rows(target: pg_sys::Relation, noted: &[Noted]) -> Result<bool, Error> {
    // SAFETY: the sequence in which PostgreSQL's COPY writes: slots, multi-inserts, index entries, cleanup. What it allocates is gone with the
    // current memory context, a trigger call's or a transaction's.
    unsafe {
        let Some(indexes) = Indexes::open(target) else { return Ok(false) };
        let rows = Rows::of(noted)?;
        let places = insert(target, &rows)?;
        indexes.insert(target, &rows, &places);
        drop(indexes);
        pg_sys::CommandCounterIncrement();
        Ok(true)
    }
}

/// Puts rows into the heap, without entries of indexes; returns where they are.
///
/// # Safety
/// `target` must be open and locked, with the columns of a log.
unsafe fn insert(target: pg_sys::Relation, rows: &Rows<'_>) -> Result<Vec<pg_sys::ItemPointerData>, Error> {
    let mut places = Vec::new();
    reserve(&mut places, rows.len())?;
    // SAFETY: per contract. The tuples that PostgreSQL forms are in its pages when a step is done, and their memory is used again for the next.
    unsafe {
        let command = pg_sys::GetCurrentCommandId(true);
        let mut slots = slots(target, rows.len().min(AT_ONCE));
        let formed = memory::child(pg_sys::CurrentMemoryContext, c"quote_collab rows");
        for first in (0..rows.len()).step_by(AT_ONCE) {
            let numbers = first..rows.len().min(first + AT_ONCE);
            let taken = numbers.len();
            for (number, slot) in numbers.zip(&slots) {
                fill(&rows.row(number), *slot);
            }
            let _scope = memory::Scope::enter(formed);
            let count = i32::try_from(taken).unwrap_or_default();
            pg_sys::table_multi_insert(target, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
            pg_sys::MemoryContextReset(formed);
            places.extend(slots[..taken].iter().map(|slot| (**slot).tts_tid));
        }
        pg_sys::MemoryContextDelete(formed);
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
    }
    Ok(places)
}

/// Slots that hold their values as they are given: neither the heap nor an index takes them apart again.
///
/// # Safety
/// `target` must be open.
unsafe fn slots(target: pg_sys::Relation, count: usize) -> Vec<*mut pg_sys::TupleTableSlot> {
    // SAFETY: per contract; the slots are dropped before the relation is closed.
    unsafe {
        let kind = &raw const pg_sys::TTSOpsVirtual;
        (0..count).map(|_| pg_sys::MakeSingleTupleTableSlot((*target).rd_att, kind)).collect()
    }
}

/// # Safety
/// The slot must have the columns of a log.
unsafe fn fill(row: &[Value], slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: the slot has one place per column, and the row one value per column.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        for (place, value) in row.iter().enumerate() {
            *(*slot).tts_isnull.add(place) = value.is_none();
            *(*slot).tts_values.add(place) = value.unwrap_or(pg_sys::Datum::null());
        }
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}
