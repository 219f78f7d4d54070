//! Writes rows straight into the monthly partition and its indexes: no parser, no planner, no executor. Taken when the
//! partition looks as we made it and nobody put a trigger on it; SQL does the rest.

#![expect(unsafe_code, reason = "PostgreSQL's table access methods")]

use pgrx::pg_sys;

use super::values::{Rows, Value};
use super::{Log, RowChange};
use crate::memory;

/// Rows that go into the heap in one step. More slots at once would only make PostgreSQL's book-keeping of them slow.
const AT_ONCE: usize = 32;

/// Writes the rows of `changes`, which all go to `log`; `false` when SQL must do it.
pub fn write(log: &Log, changes: &[RowChange]) -> bool {
    let Some(first) = changes.first() else { return true };
    let Some(partition) = log.partition_of(first.mint.at) else { return false };
    if !changes.iter().all(|change| log.partition_of(change.mint.at) == Some(partition)) {
        return false;
    }
    // SAFETY: inside a transaction; both relations stay locked until its end, as an INSERT would lock them.
    unsafe {
        let (mode, keep) = (pg_sys::RowExclusiveLock.cast_signed(), pg_sys::NoLock.cast_signed());
        let target = pg_sys::try_table_open(partition, mode);
        if target.is_null() {
            log.month.set(None);
            return false;
        }
        // Detached since it was found: it is not the log's any more.
        if !(*(*target).rd_rel).relispartition {
            pg_sys::table_close(target, keep);
            log.month.set(None);
            return false;
        }
        let parent = pg_sys::table_open(log.relation, mode);
        let plain = (*parent).trigdesc.is_null() && (*target).trigdesc.is_null();
        if plain {
            write_rows(target, &Rows::of(changes));
        }
        pg_sys::table_close(target, keep);
        pg_sys::table_close(parent, keep);
        plain
    }
}

/// # Safety
/// `target` must be open and locked, with the columns of a log.
unsafe fn write_rows(target: pg_sys::Relation, rows: &Rows) {
    // SAFETY: the sequence in which PostgreSQL's COPY writes: slots, one multi-insert, index entries, cleanup. All of it
    // lives in a context of its own; an ERROR drops it with the transaction.
    unsafe {
        let context = memory::child(pg_sys::CurrentMemoryContext, c"quote_collab audit insert");
        let scope = memory::Scope::enter(context);
        let state = pg_sys::CreateExecutorState();
        let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
        (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(result, target, 0, std::ptr::null_mut(), 0);
        pg_sys::ExecOpenIndices(result, false);
        let command = pg_sys::GetCurrentCommandId(true);
        let places = rows.len().min(AT_ONCE);
        let mut slots: Vec<_> =
            (0..places).map(|_| pg_sys::table_slot_create(target, std::ptr::null_mut())).collect();
        for part in rows.chunks(AT_ONCE) {
            for (row, slot) in part.iter().zip(&slots) {
                fill(target, row, *slot);
            }
            let count = i32::try_from(part.len()).unwrap_or_default();
            pg_sys::table_multi_insert(target, slots.as_mut_ptr(), count, command, 0, std::ptr::null_mut());
            for slot in &slots[..part.len()] {
                index(result, *slot, state);
            }
        }
        for slot in slots {
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        pg_sys::ExecCloseIndices(result);
        pg_sys::FreeExecutorState(state);
        drop(scope);
        pg_sys::MemoryContextDelete(context);
        pg_sys::CommandCounterIncrement();
    }
}

/// # Safety
/// `target` must be open, with the columns of a log, and the slot one of its own.
unsafe fn fill(target: pg_sys::Relation, row: &[Value], slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: the slot has one place per column, and the row one value per column.
    unsafe {
        pg_sys::ExecClearTuple(slot);
        for (place, value) in row.iter().enumerate() {
            *(*slot).tts_isnull.add(place) = value.is_none();
            *(*slot).tts_values.add(place) = value.unwrap_or(pg_sys::Datum::null());
        }
        (*slot).tts_tableOid = (*target).rd_id;
        pg_sys::ExecStoreVirtualTuple(slot);
    }
}

/// # Safety
/// As PostgreSQL's `ExecInsertIndexTuples`: the slot's row was inserted, the indexes are open.
unsafe fn index(
    result: *mut pg_sys::ResultRelInfo,
    slot: *mut pg_sys::TupleTableSlot,
    state: *mut pg_sys::EState,
) {
    // SAFETY: per contract; no speculative insertion, no arbiter.
    unsafe {
        pg_sys::ExecInsertIndexTuples(
            result,
            slot,
            state,
            false,
            false,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
            false,
        );
    }
}
