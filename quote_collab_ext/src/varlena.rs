//! Values of variable length.

#![expect(unsafe_code, reason = "reads PostgreSQL's datums")]

use pgrx::pg_sys;

use crate::c_function::c_function;

c_function!(
    /// `quote_value_size(jsonb) returns bigint`: the bytes of a value once it is expanded, without expanding it.
    quote_value_size,
    pg_finfo_quote_value_size,
    |fcinfo| {
        // SAFETY: the function is strict, and declared for a type of variable length.
        let size = unsafe { pgrx::pg_getarg_datum(fcinfo, 0).map_or(0, |value| pg_sys::toast_raw_datum_size(value)) };
        Ok(pg_sys::Datum::from(i64::try_from(size).unwrap_or(i64::MAX)))
    }
);

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
