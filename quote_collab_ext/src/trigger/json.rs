//! Values as jsonb, exactly as `to_jsonb` gives them: by calling it.

#![expect(unsafe_code, reason = "calls PostgreSQL's to_jsonb")]

use pgrx::pg_sys;

use crate::memory;

/// `to_jsonb` prepared for one argument type.
pub struct ToJsonb {
    function: *mut pg_sys::FmgrInfo,
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
            Self { function }
        }
    }

    /// The value as a jsonb datum in the current memory context.
    ///
    /// # Safety
    /// `value` must be a datum of the type this was prepared for.
    pub unsafe fn call(&self, value: pg_sys::Datum) -> pg_sys::Datum {
        // SAFETY: the function is prepared for this type and takes one argument.
        unsafe { pg_sys::FunctionCall1Coll(self.function, pg_sys::InvalidOid, value) }
    }
}

/// A jsonb object of scalar jsonb values, in the current memory context. `None` for no members.
///
/// # Safety
/// Each value must be a jsonb datum; arrays and objects are left out.
pub unsafe fn object(
    members: impl IntoIterator<Item = (&'static str, Option<pg_sys::Datum>)>,
) -> Option<pg_sys::Datum> {
    // SAFETY: the push API of jsonb, in the order that it wants: begin, key, value, …, end; key texts are static.
    unsafe {
        let mut state: *mut pg_sys::JsonbParseState = std::ptr::null_mut();
        let begin = pg_sys::JsonbIteratorToken::WJB_BEGIN_OBJECT;
        pg_sys::pushJsonbValue(&raw mut state, begin, std::ptr::null_mut());
        let mut empty = true;
        for (name, value) in members {
            let mut scalar = pg_sys::JsonbValue { type_: pg_sys::jbvType::jbvNull, ..Default::default() };
            if let Some(datum) = value {
                let jsonb = datum.cast_mut_ptr::<pg_sys::Jsonb>();
                if !pg_sys::JsonbExtractScalar(&raw mut (*jsonb).root, &raw mut scalar) {
                    continue;
                }
            }
            let mut key = pg_sys::JsonbValue { type_: pg_sys::jbvType::jbvString, ..Default::default() };
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
