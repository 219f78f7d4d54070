//! Values of variable length.

#![expect(unsafe_code, reason = "reads PostgreSQL's datums")]

use pgrx::pg_sys;

/// The bytes of a varlena behind its header, expanded in the current memory context where they are stored otherwise.
///
/// # Safety
/// `datum` must be a live varlena, and must outlive the result; so must the current memory context.
pub unsafe fn payload<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    // SAFETY: per contract.
    unsafe {
        let mut pointer = datum.cast_mut_ptr::<pg_sys::varlena>();
        if pgrx::varatt_is_1b_e(pointer) || pgrx::varatt_is_4b_c(pointer) {
            pointer = pg_sys::pg_detoast_datum_packed(pointer);
        }
        pgrx::varlena_to_byte_slice(pointer)
    }
}
