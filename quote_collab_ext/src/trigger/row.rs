//! A row taken apart. The only file that looks inside datums.

#![expect(unsafe_code, reason = "reads PostgreSQL's tuples")]

use pgrx::pg_sys;
use quote_collab_core::diff::Image;
use uuid::Uuid;

use super::plan::{Column, Plan};
use crate::error::Error;

/// Values of one row by attribute; valid as long as its tuple.
pub struct Row {
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
}

impl Row {
    /// Takes a tuple apart.
    ///
    /// # Safety
    /// `tuple` must be a live tuple of the relation that `descriptor` describes.
    pub unsafe fn deform(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc) -> Self {
        // SAFETY: per contract; the arrays have one place per attribute.
        unsafe {
            let count = usize::try_from((*descriptor).natts).unwrap_or_default();
            let mut values = vec![pg_sys::Datum::null(); count];
            let mut nulls = vec![true; count];
            pg_sys::heap_deform_tuple(tuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            Self { values, nulls }
        }
    }

    /// The value of an attribute, `None` when null. `attnum` counts from 1.
    pub fn value(&self, attnum: i16) -> Option<pg_sys::Datum> {
        let index = usize::try_from(attnum).ok()?.checked_sub(1)?;
        if *self.nulls.get(index)? { None } else { self.values.get(index).copied() }
    }

    /// A uuid column; `None` when null.
    pub fn uuid(&self, attnum: i16) -> Option<Uuid> {
        // SAFETY: attach and the plan use this for columns of type uuid only: 16 bytes by reference.
        self.value(attnum).map(|datum| unsafe { Uuid::from_bytes(*datum.cast_mut_ptr::<[u8; 16]>()) })
    }

    /// A uuid column that must not be null.
    pub fn key(&self, plan: &Plan, attnum: i16) -> Result<Uuid, Error> {
        self.uuid(attnum).ok_or_else(|| Error::NullKey { column: plan.column_name(attnum) })
    }

    /// The image of a column: what is stored, without expanding it.
    pub fn image(&self, column: &Column) -> Image<'_> {
        let Some(datum) = self.value(column.attnum) else { return Image::Null };
        if column.by_value {
            return Image::Word(datum.value() as u64);
        }
        // SAFETY: a non-null by-reference datum of a type with this length; a varlena carries its own.
        unsafe {
            match column.length {
                -1 => varlena_image(datum.cast_mut_ptr()),
                -2 => Image::Plain(std::ffi::CStr::from_ptr(datum.cast_mut_ptr()).to_bytes()),
                length => Image::Plain(std::slice::from_raw_parts(
                    datum.cast_mut_ptr::<u8>(),
                    usize::try_from(length).unwrap_or_default(),
                )),
            }
        }
    }

    /// Whether a compressed or out-of-line column holds the same bytes in both rows, once expanded.
    pub fn expanded_equals(&self, other: &Self, column: &Column) -> bool {
        let (Some(a), Some(b)) = (self.value(column.attnum), other.value(column.attnum)) else {
            return false;
        };
        // SAFETY: both are varlena datums (only they are stored compressed or out of line); the expanded copies live
        // in the trigger's memory context.
        unsafe {
            if pg_sys::toast_raw_datum_size(a) != pg_sys::toast_raw_datum_size(b) {
                return false;
            }
            let a = pg_sys::pg_detoast_datum_packed(a.cast_mut_ptr());
            let b = pg_sys::pg_detoast_datum_packed(b.cast_mut_ptr());
            pgrx::varlena_to_byte_slice(a) == pgrx::varlena_to_byte_slice(b)
        }
    }
}

/// # Safety
/// `pointer` must be a live varlena.
unsafe fn varlena_image<'a>(pointer: *mut pg_sys::varlena) -> Image<'a> {
    // SAFETY: the header says how long the value is, in each of its three forms.
    unsafe {
        if pgrx::varatt_is_1b_e(pointer) || pgrx::varatt_is_4b_c(pointer) {
            Image::Stored(std::slice::from_raw_parts(pointer.cast::<u8>(), pgrx::varsize_any(pointer)))
        } else {
            Image::Plain(pgrx::varlena_to_byte_slice(pointer))
        }
    }
}
