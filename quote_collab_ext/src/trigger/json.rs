//! Values as jsonb, exactly as `to_jsonb` gives them in a session of PostgreSQL's own settings, whatever this one is set to but for its time
//! zone, which a `timestamptz` names, its currency (`money`), and its search path (names of objects, as `regclass` prints them): by calling it, or for the types that quotes are made of by doing what it does without its way over text.

#![expect(unsafe_code, reason = "reads PostgreSQL's datums and calls its to_jsonb")]

use std::ffi::{CStr, c_int};

use pgrx::{FromDatum, pg_sys};
use quote_collab_core::jsonb::{LONGEST, Value, holds, root};

use crate::error::Error;
use crate::memory;
use crate::varlena::{expanded_size, payload};

/// Room for a time in ISO 8601; PostgreSQL's `MAXDATELEN`.
const LONGEST_TIME: usize = 128;

/// `to_jsonb` prepared for one argument type.
pub struct ToJsonb {
    function: *mut pg_sys::FmgrInfo,
    base_type: pg_sys::Oid,
}

impl ToJsonb {
    /// Prepares the call. `to_jsonb` takes any type and learns which from the expression it stands in, so it is given
    /// an expression: a call with one null constant of that type.
    ///
    /// # Safety
    /// `context` must outlive the result: everything is allocated there.
    pub unsafe fn new(type_oid: pg_sys::Oid, context: pg_sys::MemoryContext) -> Self {
        // SAFETY: per contract.
        unsafe {
            let _scope = memory::Scope::enter(context);
            let function = pg_sys::palloc0(size_of::<pg_sys::FmgrInfo>()).cast::<pg_sys::FmgrInfo>();
            let oid = pg_sys::Oid::from(pg_sys::F_TO_JSONB);
            pg_sys::fmgr_info_cxt(oid, function, context);
            let argument = pg_sys::makeNullConst(type_oid, -1, pg_sys::InvalidOid);
            let arguments = pg_sys::lappend(std::ptr::null_mut(), argument.cast());
            let call = pg_sys::makeFuncExpr(
                oid,
                pg_sys::JSONBOID,
                arguments,
                pg_sys::InvalidOid,
                pg_sys::InvalidOid,
                pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
            );
            (*function).fn_expr = call.cast();
            Self { function, base_type: pg_sys::getBaseType(type_oid) }
        }
    }

    /// The value as jsonb. It may point into `value` and into the current memory context, and lives as long as both. An error for a text
    /// that no jsonb holds.
    ///
    /// # Safety
    /// `value` must be a datum of the type this was prepared for.
    pub unsafe fn value<'a>(&self, value: pg_sys::Datum) -> Result<Value<'a>, Error> {
        // SAFETY: per contract; what to_jsonb gives is a jsonb of its own, neither compressed nor out of line.
        unsafe {
            if matches!(self.base_type, pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::BPCHAROID) {
                let fits = expanded_size(value) <= LONGEST;
                return if fits { Ok(Value::Text(payload(value))) } else { Err(Error::TooLarge) };
            }
            Ok(self.direct(value).unwrap_or_else(|| {
                let _styles = Styles::pin();
                let jsonb = pg_sys::FunctionCall1Coll(self.function, pg_sys::InvalidOid, value);
                root(payload(jsonb)).unwrap_or(Value::Null)
            }))
        }
    }

    /// What is no text and needs no `to_jsonb`.
    ///
    /// # Safety
    /// As [`Self::value`].
    unsafe fn direct<'a>(&self, value: pg_sys::Datum) -> Option<Value<'a>> {
        // SAFETY: the datum is of this type, in a database in UTF-8 as jsonb wants its texts.
        unsafe {
            Some(match self.base_type {
                pg_sys::NUMERICOID => Value::Number(Some(payload(value)).filter(|digits| is_short(digits))?),
                // What jsonb does not hold, and json does, is told as its text: the row must be written and deleted all the same.
                pg_sys::JSONOID => {
                    Value::Text(Some(payload(value)).filter(|text| text.len() <= LONGEST && !holds(text))?)
                }
                pg_sys::BOOLOID => Value::Bool(value.value() != 0),
                pg_sys::INT2OID => whole(i64::from(i16::from_datum(value, false)?)),
                pg_sys::INT4OID => whole(i64::from(i32::from_datum(value, false)?)),
                pg_sys::INT8OID => whole(i64::from_datum(value, false)?),
                pg_sys::DATEOID | pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID => {
                    let room = pg_sys::palloc(LONGEST_TIME).cast();
                    pg_sys::JsonEncodeDateTime(room, value, self.base_type, std::ptr::null());
                    Value::Text(CStr::from_ptr(room).to_bytes())
                }
                pg_sys::UUIDOID => {
                    let id = uuid::Uuid::from_bytes(*value.cast_mut_ptr::<[u8; 16]>());
                    let room = pg_sys::palloc(uuid::fmt::Hyphenated::LENGTH).cast::<u8>();
                    let room = std::slice::from_raw_parts_mut(room, uuid::fmt::Hyphenated::LENGTH);
                    Value::Text(id.hyphenated().encode_lower(room).as_bytes())
                }
                _ => return None,
            })
        }
    }
}

unsafe extern "C" {
    /// How `bytea` is written, a setting of the session.
    static mut bytea_output: c_int;
}

/// `USE_ISO_DATES`.
const ISO_DATES: c_int = 1;
/// `INTSTYLE_POSTGRES`.
const POSTGRES_INTERVALS: c_int = 0;
/// The shortest text that gives the same number again.
const SHORTEST_FLOATS: c_int = 1;
/// `BYTEA_OUTPUT_HEX`.
const HEX_BYTES: c_int = 1;

/// Settings of the session by which output functions write times, numbers and bytes; what is recorded must not depend on them.
/// They are PostgreSQL's defaults while this lives, and what they were afterwards, also when an error passes.
struct Styles([c_int; 4]);

impl Styles {
    /// # Safety
    /// In the backend's only thread; the last one pinned must be dropped first.
    unsafe fn pin() -> Self {
        // SAFETY: variables of the backend that output functions read.
        unsafe {
            let before =
                Self([pg_sys::DateStyle, pg_sys::IntervalStyle, pg_sys::extra_float_digits, bytea_output]);
            Self([ISO_DATES, POSTGRES_INTERVALS, SHORTEST_FLOATS, HEX_BYTES]).apply();
            before
        }
    }

    /// # Safety
    /// In the backend's only thread.
    unsafe fn apply(&self) {
        // SAFETY: as above.
        unsafe {
            [pg_sys::DateStyle, pg_sys::IntervalStyle, pg_sys::extra_float_digits, bytea_output] = self.0;
        }
    }
}

impl Drop for Styles {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe {
            self.apply();
        }
    }
}

/// The short form of a numeric, which each number has that fits into it, and no NaN or infinity (`numeric.c`). Others
/// `to_jsonb` writes: JSON has to spell what is no number, and a data file from before PostgreSQL 9.1 holds long forms of short
/// numbers, which a dump and its restore would shorten and a seal would take for another value.
fn is_short(digits: &[u8]) -> bool {
    digits.first_chunk().is_some_and(|first| u16::from_ne_bytes(*first) & 0xC000 == 0x8000)
}

/// # Safety
/// Allocates in the current memory context, inside a transaction.
unsafe fn whole<'a>(number: i64) -> Value<'a> {
    // SAFETY: per contract.
    unsafe { Value::Number(payload(pg_sys::Datum::from(pg_sys::int64_to_numeric(number)))) }
}
