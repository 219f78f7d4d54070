//! Values of variable length.

#![expect(unsafe_code, reason = "reads PostgreSQL's datums")]

use pgrx::pg_sys;
use quote_collab_core::jsonb::extent;

use crate::c_function::c_function;

/// No more than `quote_event_limit()` says that an event may have in values: what is larger need not be looked into.
const LARGEST: u64 = 8 * 1024 * 1024;
/// No value has as many bytes.
const TOO_LARGE: u64 = 1 << 32;
/// A value that is deeper than this is not told: whoever reads an event has a stack that ends somewhere.
const DEEPEST: u32 = 1_000;

c_function!(
    /// `quote_value_size(jsonb) returns bigint`: the bytes of a value once it is expanded, or what its numbers print as where that
    /// is more; of one that is too deep to be told, more than any value has.
    quote_value_size,
    pg_finfo_quote_value_size,
    |fcinfo| {
        // SAFETY: the function is strict, and declared for jsonb, whose value lives as long as the call.
        let size = unsafe { pgrx::pg_getarg_datum(fcinfo, 0).map_or(0, |value| told_size(value)) };
        Ok(pg_sys::Datum::from(i64::try_from(size).unwrap_or(i64::MAX)))
    }
);

/// # Safety
/// `value` must be a jsonb datum that is alive.
unsafe fn told_size(value: pg_sys::Datum) -> u64 {
    // SAFETY: per contract.
    let size = u64::try_from(unsafe { expanded_size(value) }).unwrap_or(TOO_LARGE);
    if size > LARGEST {
        return size;
    }
    // SAFETY: per contract; what is expanded belongs to the context of this call.
    let extent = extent(unsafe { payload(value) });
    if extent.depth > DEEPEST { TOO_LARGE } else { size.max(extent.digits) }
}

/// The bytes of a varlena behind its header, expanded in the current memory context where they are stored otherwise.
///
/// # Safety
/// `datum` must be a live varlena, and must outlive the result; so must the current memory context.
pub unsafe fn payload<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: per contract.
    unsafe {
        let mut pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        if !is_plain(pointer) {
            pointer = pg_sys::pg_detoast_datum_packed(pointer);
        }
        pgrx::varlena_to_byte_slice(pointer)
    }
}

/// Bytes of a varlena once it is neither compressed nor out of line, its header included.
///
/// # Safety
/// `value` must be a varlena datum.
pub unsafe fn expanded_size(value: pg_sys::Datum) -> usize {
    let stored = value.cast_mut_ptr::<pg_sys::varlena>();
    // SAFETY: per contract. Only what is not plain has to be looked up.
    unsafe { if is_plain(stored) { pgrx::varsize_any(stored) } else { pg_sys::toast_raw_datum_size(value) } }
}

/// Whether a varlena is neither compressed nor out of line.
///
/// # Safety
/// `stored` must be a live varlena.
pub unsafe fn is_plain(stored: *const pg_sys::varlena) -> bool {
    // SAFETY: per contract: its first byte says so.
    unsafe { !pgrx::varatt_is_1b_e(stored) && !pgrx::varatt_is_4b_c(stored) }
}
