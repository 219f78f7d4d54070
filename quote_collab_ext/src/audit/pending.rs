//! Row changes between the row trigger that noted them and the statement trigger that writes them.

#![expect(unsafe_code, reason = "PostgreSQL's memory contexts")]

use std::cell::{Cell, RefCell};

use pgrx::pg_sys;
use quote_collab_core::jsonb::{self, Value};

use super::{RowChange, direct, insert};
use crate::error::Error;
use crate::memory;

/// So many row changes are written at once at most, to bound memory while a statement touches millions of rows.
const BATCH: usize = 1000;

/// Bytes of room that a backend keeps for putting together the next jsonb.
const SCRATCH_KEPT: usize = 64 * 1024;

struct Noted {
    change: RowChange,
    /// Nesting depth of the subtransaction that noted it: when that one is rolled back, the note goes with it.
    level: i32,
}

thread_local! {
    static NOTED: RefCell<Vec<Noted>> = const { RefCell::new(Vec::new()) };
    /// Where a jsonb is put together before its length is known.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static MEMORY: Cell<pg_sys::MemoryContext> = const { Cell::new(std::ptr::null_mut()) };
}

/// Where noted jsonb values live until they are written.
#[derive(Clone, Copy)]
pub struct Memory(pg_sys::MemoryContext);

impl Memory {
    fn of_transaction() -> Self {
        let mut context = MEMORY.get();
        if context.is_null() {
            // SAFETY: a child of the transaction's context, which PostgreSQL drops at the transaction's end; discard()
            // forgets it then.
            context = unsafe { memory::child(pg_sys::TopTransactionContext, c"quote_collab noted changes") };
            MEMORY.set(context);
        }
        Self(context)
    }

    /// A value as a jsonb datum that outlives the trigger call.
    pub fn keep(self, value: Value<'_>) -> pg_sys::Datum {
        self.keep_stored(|stored| jsonb::single(stored, value))
    }

    /// An object as a jsonb datum that outlives the trigger call; `None` without members.
    pub fn keep_object(self, members: &[(&str, Value<'_>)]) -> Option<pg_sys::Datum> {
        (!members.is_empty()).then(|| self.keep_stored(|stored| jsonb::object(stored, members)))
    }

    fn keep_stored(self, write: impl FnOnce(&mut Vec<u8>)) -> pg_sys::Datum {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            scratch.extend_from_slice(&[0; 4]);
            write(scratch);
            if scratch.len() > jsonb::LONGEST {
                Error::TooLarge.raise();
            }
            let length = jsonb::length_header(u32::try_from(scratch.len()).unwrap_or(u32::MAX));
            scratch[..4].copy_from_slice(&length.to_ne_bytes());
            // SAFETY: this context is alive.
            unsafe {
                let kept = pg_sys::MemoryContextAlloc(self.0, scratch.len()).cast::<u8>();
                kept.copy_from_nonoverlapping(scratch.as_ptr(), scratch.len());
                scratch.shrink_to(SCRATCH_KEPT);
                pg_sys::Datum::from(kept)
            }
        })
    }
}

/// Notes a row change. `describe` may run SQL through casts of user types; nothing is borrowed meanwhile.
pub fn note(describe: impl FnOnce(Memory) -> Result<RowChange, Error>) -> Result<(), Error> {
    let change = describe(Memory::of_transaction())?;
    let full = NOTED.with_borrow_mut(|noted| {
        noted.push(Noted { change, level: nest_level() });
        noted.len() >= BATCH
    });
    if full {
        flush();
    }
    Ok(())
}

/// Writes what this subtransaction noted. Notes of an outer one wait: written here they would be lost if this
/// subtransaction rolls back.
pub fn flush() {
    let level = nest_level();
    let ready = NOTED.with_borrow_mut(|noted| {
        let first = noted.iter().position(|entry| entry.level >= level).unwrap_or(noted.len());
        noted.split_off(first)
    });
    if ready.is_empty() {
        return;
    }
    let changes: Vec<RowChange> = ready.into_iter().map(|entry| entry.change).collect();
    for group in changes.chunk_by(|a, b| a.log.relation == b.log.relation) {
        let log = &group[0].log;
        if !direct::write(log, group)
            && let Err(error) = insert::insert(log, group)
        {
            error.raise();
        }
    }
    if NOTED.with_borrow(Vec::is_empty) {
        release();
    }
}

/// Forgets everything: the transaction is over.
pub fn discard() {
    NOTED.with_borrow_mut(Vec::clear);
    MEMORY.set(std::ptr::null_mut());
}

/// Forgets what the subtransaction that is being rolled back noted.
pub fn discard_aborted() {
    let level = nest_level();
    NOTED.with_borrow_mut(|noted| noted.retain(|entry| entry.level < level));
}

fn release() {
    let context = MEMORY.replace(std::ptr::null_mut());
    if !context.is_null() {
        // SAFETY: made by of_transaction() in this transaction; no note refers to it any more.
        unsafe { pg_sys::MemoryContextDelete(context) }
    }
}

fn nest_level() -> i32 {
    // SAFETY: reads the transaction state of this backend.
    unsafe { pg_sys::GetCurrentTransactionNestLevel() }
}
