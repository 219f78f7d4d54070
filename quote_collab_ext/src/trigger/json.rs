//! Values as jsonb, exactly as `to_jsonb` gives them: by calling it, or for the types that prices and texts have by
//! doing what it does without its way over text.

#![expect(unsafe_code, reason = "calls PostgreSQL's to_jsonb")]

use pgrx::pg_sys;

use crate::memory;

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

    /// The value as a jsonb datum in the current memory context.
    ///
    /// # Safety
    /// `value` must be a datum of the type this was prepared for.
    pub unsafe fn call(&self, value: pg_sys::Datum) -> pg_sys::Datum {
        // SAFETY: the function is prepared for this type and takes one argument.
        unsafe {
            match self.direct(value) {
                Some(mut scalar) => pg_sys::Datum::from(pg_sys::JsonbValueToJsonb(&raw mut scalar)),
                None => pg_sys::FunctionCall1Coll(self.function, pg_sys::InvalidOid, value),
            }
        }
    }

    /// The value as a scalar of jsonb; `None` when it is an array or an object. It may point into `value`.
    ///
    /// # Safety
    /// As [`Self::call`].
    pub unsafe fn scalar(&self, value: pg_sys::Datum) -> Option<pg_sys::JsonbValue> {
        // SAFETY: per contract; to_jsonb gives jsonb.
        unsafe {
            self.direct(value).or_else(|| {
                let jsonb = self.call(value).cast_mut_ptr::<pg_sys::Jsonb>();
                let mut scalar = NULL;
                pg_sys::JsonbExtractScalar(&raw mut (*jsonb).root, &raw mut scalar).then_some(scalar)
            })
        }
    }

    /// What needs no function: a finite numeric, a text.
    ///
    /// # Safety
    /// As [`Self::call`].
    unsafe fn direct(&self, value: pg_sys::Datum) -> Option<pg_sys::JsonbValue> {
        let mut scalar = NULL;
        // SAFETY: the datum is of this type, in a database in UTF-8 as jsonb wants its texts; the expanded copy lives in
        // the current memory context. JSON has no NaN and no infinity: to_jsonb spells them.
        unsafe {
            match self.base_type {
                pg_sys::NUMERICOID => {
                    let numeric =
                        pg_sys::pg_detoast_datum(value.cast_mut_ptr()).cast::<pg_sys::NumericData>();
                    if pg_sys::numeric_is_nan(numeric) || pg_sys::numeric_is_inf(numeric) {
                        return None;
                    }
                    scalar.type_ = pg_sys::jbvType::jbvNumeric;
                    scalar.val.numeric = numeric;
                }
                pg_sys::TEXTOID | pg_sys::VARCHAROID => {
                    let text = pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr());
                    scalar.type_ = pg_sys::jbvType::jbvString;
                    scalar.val.string.val = pgrx::vardata_any(text).cast_mut();
                    scalar.val.string.len = i32::try_from(pgrx::varsize_any_exhdr(text)).ok()?;
                }
                _ => return None,
            }
        }
        Some(scalar)
    }
}

/// The scalar null.
pub const NULL: pg_sys::JsonbValue = pg_sys::JsonbValue {
    type_: pg_sys::jbvType::jbvNull,
    // SAFETY: no member of the union is read for a null.
    val: unsafe { std::mem::zeroed() },
};

/// A jsonb object of scalars, in the current memory context. `None` for no members.
///
/// # Safety
/// What the values point to must be alive.
pub unsafe fn object(
    members: impl IntoIterator<Item = (&'static str, pg_sys::JsonbValue)>,
) -> Option<pg_sys::Datum> {
    // SAFETY: the push API of jsonb, in the order that it wants: begin, key, value, …, end; key texts are static.
    unsafe {
        let mut state: *mut pg_sys::JsonbParseState = std::ptr::null_mut();
        let begin = pg_sys::JsonbIteratorToken::WJB_BEGIN_OBJECT;
        pg_sys::pushJsonbValue(&raw mut state, begin, std::ptr::null_mut());
        let mut empty = true;
        for (name, mut scalar) in members {
            let mut key = pg_sys::JsonbValue { type_: pg_sys::jbvType::jbvString, ..NULL };
            key.val.string.val = name.as_ptr().cast_mut().cast();
            key.val.string.len = i32::try_from(name.len()).unwrap_or_default();
            pg_sys::pushJsonbValue(&raw mut state, pg_sys::JsonbIteratorToken::WJB_KEY, &raw mut key);
            pg_sys::pushJsonbValue(&raw mut state, pg_sys::JsonbIteratorToken::WJB_VALUE, &raw mut scalar);
            empty = false;
        }
        let end = pg_sys::JsonbIteratorToken::WJB_END_OBJECT;
        let result = pg_sys::pushJsonbValue(&raw mut state, end, std::ptr::null_mut());
        (!empty).then(|| pg_sys::Datum::from(pg_sys::JsonbValueToJsonb(result)))
    }
}
