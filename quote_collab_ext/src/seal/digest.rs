//! SHA-256 over rows of the audit log, or over byte strings, one after the other: what the chain of seals is made of.

#![expect(unsafe_code, reason = "reads PostgreSQL's datums and keeps an aggregate's state")]

use std::cell::RefCell;

use pgrx::{FromDatum, IntoDatum, pg_sys};
use quote_collab_core::digest::{announce, fixed, null, variable};
use sha2::{Digest, Sha256};

use crate::c_function::c_function;
use crate::error::Error;
use crate::varlena::payload;

/// How a column's datum becomes bytes.
#[derive(Clone, Copy)]
enum Kind {
    Uuid,
    /// A text, or a jsonb as it is stored: the same for the same value in every version, on machines of this byte order.
    Varlena,
    Bool,
    Int4,
    /// Also times in microseconds, and transaction ids.
    Int8,
}

/// The columns of the log, in their order.
const COLUMNS: [Kind; 21] = {
    use Kind::{Bool, Int4, Int8, Uuid, Varlena};
    [
        Uuid, Uuid, Uuid, Uuid, Uuid, Int8, Varlena, Varlena, Varlena, Varlena, Varlena, Uuid, Bool, Varlena,
        Int4, Int4, Uuid, Int8, Int8, Int8, Varlena,
    ]
};

// PostgreSQL's memory is aligned for any C type, and nobody drops the state of an aggregate that an ERROR ends.
const _: () = assert!(align_of::<Sha256>() <= 8 && !std::mem::needs_drop::<Sha256>());

/// Values of more bytes are hashed where they are: a row may have hundreds of megabytes, and no second place is needed for them.
const LARGE: usize = 4 * 1024;

thread_local! {
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

c_function!(
    /// `quote_digest_add_row(internal, …)`: takes one more row, given its columns, into the state of `quote_changes_digest()`.
    quote_digest_add_row,
    pg_finfo_quote_digest_add_row,
    |fcinfo| {
        let state = state(fcinfo)?;
        ROOM.with_borrow_mut(|room| {
            room.clear();
            for (place, kind) in (1..).zip(COLUMNS) {
                // SAFETY: the arguments have the types that the function is declared with.
                unsafe {
                    match pgrx::pg_getarg_datum(fcinfo, place) {
                        None => null(room),
                        Some(datum) => append(&mut *state, room, kind, datum),
                    }
                }
            }
            // SAFETY: the state is this aggregate's alone, and alive during the call.
            unsafe { (*state).update(&*room) };
        });
        Ok(pg_sys::Datum::from(state))
    }
);

c_function!(
    /// `quote_digest_add(internal, bytea)`: takes one more byte string into the state of `quote_digest()`.
    quote_digest_add,
    pg_finfo_quote_digest_add,
    |fcinfo| {
        let state = state(fcinfo)?;
        // SAFETY: the state is this aggregate's alone, and alive during the call; the argument is a bytea.
        unsafe {
            if let Some(bytes) = pgrx::pg_getarg_datum(fcinfo, 1) {
                (*state).update(payload(bytes));
            }
        }
        Ok(pg_sys::Datum::from(state))
    }
);

/// The state of an aggregate's transition function: what it returned before, or a new one. It lives as long as the memory
/// context that PostgreSQL names, and holds nothing that must be dropped.
fn state(fcinfo: pg_sys::FunctionCallInfo) -> Result<*mut Sha256, Error> {
    // SAFETY: the first argument, of type internal, is null or comes from here: SQL cannot make one up.
    unsafe {
        if let Some(state) = pgrx::pg_getarg_datum(fcinfo, 0) {
            return Ok(state.cast_mut_ptr());
        }
        let mut context = std::ptr::null_mut();
        if pg_sys::AggCheckCallContext(fcinfo, &raw mut context) == 0 {
            return Err(Error::OutsideAggregate("quote_digest"));
        }
        let state = pg_sys::MemoryContextAlloc(context, size_of::<Sha256>()).cast::<Sha256>();
        state.write(Sha256::new());
        Ok(state)
    }
}

/// Takes a column into a state, by way of the room for small ones.
///
/// # Safety
/// `datum` must be of a type of that kind.
unsafe fn append(state: &mut Sha256, room: &mut Vec<u8>, kind: Kind, datum: pg_sys::Datum) {
    // SAFETY: per contract; none is null.
    unsafe {
        match kind {
            Kind::Uuid => fixed(room, *datum.cast_mut_ptr::<[u8; 16]>()),
            Kind::Varlena => match payload(datum) {
                small if small.len() <= LARGE => variable(room, small),
                large => {
                    announce(room, large.len());
                    state.update(&*room);
                    room.clear();
                    state.update(large);
                }
            },
            Kind::Bool => fixed(room, [u8::from(datum.value() != 0)]),
            Kind::Int4 => fixed(room, i32::from_datum(datum, false).unwrap_or_default().to_be_bytes()),
            Kind::Int8 => fixed(room, (datum.value() as u64).to_be_bytes()),
        }
    }
}

c_function!(
    /// `quote_digest_result(internal)`: the digest of all that was added.
    quote_digest_result,
    pg_finfo_quote_digest_result,
    |fcinfo| {
        // SAFETY: an aggregate's final function: the state is its transition function's, or null without rows. It is left as
        // it is.
        let state = unsafe { pgrx::pg_getarg_datum(fcinfo, 0).map(|state| (*state.cast_mut_ptr::<Sha256>()).clone()) };
        let digest = state.unwrap_or_default().finalize();
        Ok(digest[..].into_datum().unwrap_or(pg_sys::Datum::null()))
    }
);
