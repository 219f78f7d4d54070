//! Where noted values live until they are written: as long as somebody holds on to it, whatever is noted, written or rolled back
//! meanwhile by code of others that runs in between.

#![expect(unsafe_code, reason = "PostgreSQL's memory contexts")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys;
use quote_collab_core::jsonb::{self, Value};

use crate::error::Error;
use crate::memory;
use crate::memory::allocator::{is_over, reserve};
use crate::memory::last_resort::refused;

/// Bytes of the length in front of a value.
const HEADER: usize = 4;
/// Bytes of room that a backend keeps for putting together the next jsonb.
const SCRATCH_KEPT: usize = 64 * 1024;
/// Values of fewer bytes are not worth a memory of their own.
const FEW: usize = 4 * 1024;

thread_local! {
    /// Where the next values are kept, for each nesting depth that has any, ascending.
    static NEXT: RefCell<Vec<(i32, Memory)>> = const { RefCell::new(Vec::new()) };
    /// Where a jsonb is put together before its length is known.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Noted values of one nesting depth of subtransactions.
#[derive(Clone)]
pub struct Memory(Rc<Arena>);

struct Arena {
    context: pg_sys::MemoryContext,
    bytes: Cell<usize>,
}

impl Memory {
    /// A new one, which ends before the transaction does: [`super::discard`] sees to that.
    pub fn new() -> Self {
        // SAFETY: inside a transaction, whose context outlives the last holder.
        let context = unsafe { memory::child(pg_sys::TopTransactionContext, c"quote_collab noted changes") };
        Self(Rc::new(Arena { context, bytes: Cell::new(0) }))
    }

    /// Bytes of all values in it.
    pub fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    /// Whether this and another are one.
    pub fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// A value as a jsonb datum; an error when no jsonb is so large.
    pub fn keep(&self, value: Value<'_>) -> Result<pg_sys::Datum, Error> {
        self.keep_stored(jsonb::single_size(value), |stored| jsonb::single(stored, value))
    }

    /// An object as a jsonb datum; `None` without members, an error when no jsonb is so large.
    pub fn keep_object(&self, members: &[(&str, Value<'_>)]) -> Result<Option<pg_sys::Datum>, Error> {
        let keep = || self.keep_stored(jsonb::object_size(members), |stored| jsonb::object(stored, members));
        (!members.is_empty()).then(keep).transpose()
    }

    /// A jsonb datum that another memory keeps, kept in this one.
    ///
    /// # Safety
    /// The other memory must have given the datum, and still be there.
    pub unsafe fn keep_again(&self, kept: pg_sys::Datum) -> Result<pg_sys::Datum, Error> {
        let kept = kept.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: per contract, a jsonb with its length in front.
        self.store(unsafe { std::slice::from_raw_parts(kept.cast::<u8>(), pgrx::varsize_any(kept)) })
    }

    /// What `write` appends, so many bytes, behind its length.
    fn keep_stored(&self, size: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<pg_sys::Datum, Error> {
        let length = HEADER + size;
        if length > jsonb::LONGEST {
            return Err(Error::TooLarge);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            reserve(scratch, length)?;
            let header = jsonb::length_header(u32::try_from(length).unwrap_or(u32::MAX));
            scratch.extend_from_slice(&header.to_ne_bytes());
            write(scratch);
            let kept = self.store(scratch);
            scratch.clear();
            scratch.shrink_to(SCRATCH_KEPT);
            kept
        })
    }

    fn store(&self, stored: &[u8]) -> Result<pg_sys::Datum, Error> {
        let may_fail = pg_sys::MCXT_ALLOC_NO_OOM.cast_signed();
        // SAFETY: the context is alive as long as this is.
        unsafe {
            let kept =
                pg_sys::MemoryContextAllocExtended(self.0.context, stored.len(), may_fail).cast::<u8>();
            if kept.is_null() {
                return Err(refused());
            }
            kept.copy_from_nonoverlapping(stored.as_ptr(), stored.len());
            self.0.bytes.set(self.0.bytes.get() + stored.len());
            Ok(pg_sys::Datum::from(kept))
        }
    }
}

/// Where the next values of a nesting depth are kept.
pub fn of(level: i32) -> Memory {
    leave_from(level + 1);
    NEXT.with_borrow_mut(|kept| {
        if kept.last().is_none_or(|(of, _)| *of < level) {
            kept.push((level, Memory::new()));
        }
        kept[kept.len() - 1].1.clone()
    })
}

/// The next values are kept elsewhere: what is here is about to be written.
pub fn leave() {
    NEXT.with_borrow_mut(Vec::clear);
}

/// Nothing more is kept for this nesting depth and deeper ones.
pub fn leave_from(level: i32) {
    NEXT.with_borrow_mut(|kept| kept.truncate(kept.partition_point(|(of, _)| *of < level)));
}

/// The memory of a nesting depth, and that of the one around it, where the first has so little that it should go to the second.
pub fn gathers(level: i32) -> Option<(Memory, Memory)> {
    NEXT.with_borrow(|kept| {
        let [.., (outer, to), (inner, from)] = kept.as_slice() else { return None };
        (*inner == level && *outer == level - 1 && from.bytes() < FEW).then(|| (from.clone(), to.clone()))
    })
}

/// What is kept for a nesting depth is the outer one's; where that has some, no more is kept with it.
pub fn hand_on(level: i32) {
    NEXT.with_borrow_mut(|kept| {
        let outer = kept.partition_point(|(of, _)| *of < level);
        let has_own = outer > 0 && kept[outer - 1].0 == level - 1;
        kept.truncate(outer + usize::from(!has_own));
        if let (false, Some((of, _))) = (has_own, kept.last_mut()) {
            *of = level - 1;
        }
    });
}

impl Drop for Arena {
    fn drop(&mut self) {
        // A session that ended in the middle of Rust's code has ended its transaction, and this with it, before the process drops what is left.
        if !is_over() {
            // SAFETY: made in new(); the last who knew of what is in it is gone.
            unsafe { pg_sys::MemoryContextDelete(self.context) }
        }
    }
}
