//! A row taken apart: its values, and how two rows differ.

#![expect(unsafe_code, reason = "reads PostgreSQL's tuples")]

use pgrx::pg_sys;
use quote_collab_core::diff::{self, Image};
use uuid::Uuid;

use super::plan::Column;
use crate::varlena::{is_plain, payload};

/// Values of one row by attribute; valid during the trigger call.
pub struct Row<'a> {
    values: &'a [pg_sys::Datum],
    nulls: &'a [bool],
}

impl<'a> Row<'a> {
    /// The row in a slot, which takes it apart once for all who ask. Without a slot a row without columns.
    ///
    /// # Safety
    /// `slot` must be null, or hold a row and go on holding it during the trigger call.
    pub unsafe fn of(slot: *mut pg_sys::TupleTableSlot) -> Self {
        if slot.is_null() {
            return Self { values: &[], nulls: &[] };
        }
        // SAFETY: per contract; the slot has one place per attribute, and all are filled now.
        unsafe {
            pg_sys::slot_getallattrs(slot);
            let count = usize::try_from((*slot).tts_nvalid).unwrap_or_default();
            Self {
                values: std::slice::from_raw_parts((*slot).tts_values, count),
                nulls: std::slice::from_raw_parts((*slot).tts_isnull, count),
            }
        }
    }

    /// The value of an attribute, `None` when null. `attnum` counts from 1.
    pub fn value(&self, attnum: i16) -> Option<pg_sys::Datum> {
        let index = usize::try_from(attnum).ok()?.checked_sub(1)?;
        if *self.nulls.get(index)? { None } else { self.values.get(index).copied() }
    }

    /// The same row with some values replaced, as a tuple of its own.
    ///
    /// # Safety
    /// `like` must be the live tuple that this row is in, and the values of the types of their columns.
    pub unsafe fn with(
        &self,
        changes: &[(i16, pg_sys::Datum)],
        like: pg_sys::HeapTuple,
        descriptor: pg_sys::TupleDesc,
    ) -> pg_sys::HeapTuple {
        let (mut values, mut nulls) = (self.values.to_vec(), self.nulls.to_vec());
        for (attnum, value) in changes {
            let place = usize::try_from(*attnum).unwrap_or_default().wrapping_sub(1);
            if let (Some(old), Some(null)) = (values.get_mut(place), nulls.get_mut(place)) {
                (*old, *null) = (*value, false);
            }
        }
        // SAFETY: per contract; the new tuple is told to be the same row, as heap_modify_tuple tells it.
        unsafe {
            let made = pg_sys::heap_form_tuple(descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
            (*(*made).t_data).t_ctid = (*(*like).t_data).t_ctid;
            (*made).t_self = (*like).t_self;
            (*made).t_tableOid = (*like).t_tableOid;
            made
        }
    }

    /// A uuid column; `None` when null.
    pub fn uuid(&self, attnum: i16) -> Option<Uuid> {
        // SAFETY: attach and the plan use this for columns of type uuid only: 16 bytes by reference.
        self.value(attnum).map(|datum| unsafe { Uuid::from_bytes(*datum.cast_mut_ptr::<[u8; 16]>()) })
    }

    /// Whether a column holds another value than in `other`, a row of the same table.
    pub fn differs(&self, other: &Self, column: &Column) -> bool {
        let (old, new) = (self.value(column.attnum), other.value(column.attnum));
        // The bits of a value that is passed by value are the value; of others they are an address.
        if old.is_none() && new.is_none() || column.by_value && old.is_some() && old == new {
            return false;
        }
        diff::differs(self.image(column), other.image(column), || !self.expanded_equals(other, column))
    }

    /// The image of a column: what is stored, without expanding it.
    fn image(&self, column: &Column) -> Image<'a> {
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
    fn expanded_equals(&self, other: &Self, column: &Column) -> bool {
        let (Some(a), Some(b)) = (self.value(column.attnum), other.value(column.attnum)) else {
            return false;
        };
        // SAFETY: both are varlena datums (only they are stored compressed or out of line); the expanded copies live
        // in the trigger's memory context.
        unsafe {
            if pg_sys::toast_raw_datum_size(a) != pg_sys::toast_raw_datum_size(b) {
                return false;
            }
            payload(a) == payload(b)
        }
    }
}

/// # Safety
/// `pointer` must be a live varlena.
unsafe fn varlena_image<'a>(pointer: *mut pg_sys::varlena) -> Image<'a> {
    // SAFETY: the header says how long the value is, in each of its three forms.
    unsafe {
        if is_plain(pointer) {
            Image::Plain(pgrx::varlena_to_byte_slice(pointer))
        } else {
            Image::Stored(std::slice::from_raw_parts(pointer.cast::<u8>(), pgrx::varsize_any(pointer)))
        }
    }
}
