//! Texts of queries that are worked out from catalogs, kept in a session until a catalog changes. Working one out takes as long as the
//! query itself, and the relay asks many times a second.

#![expect(unsafe_code, reason = "PostgreSQL's function manager")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use pgrx::pg_sys;

use crate::c_function::c_function;
use crate::error::Error;
use crate::trigger::call::Call;
use crate::varlena;

/// Who writes a query, and who asks: what he may read decides what the query names.
type Key = (pg_sys::Oid, pg_sys::Oid);

thread_local! {
    static TEXTS: RefCell<HashMap<Key, Box<[u8]>>> = RefCell::new(HashMap::new());
    /// How often something has changed; a text that was begun before the last change is not kept.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// A catalog has changed. A borrow can only be held while a text is looked up or stored, which processes no invalidation.
pub fn forget() {
    CHANGES.set(CHANGES.get() + 1);
    TEXTS.with_borrow_mut(HashMap::clear);
}

c_function!(
    /// `quote_kept_query(writer oid) returns text`: what a function without parameters that returns text gave, now or before a catalog
    /// changed last. It must depend on catalogs, the settings and its caller alone.
    quote_kept_query,
    pg_finfo_quote_kept_query,
    kept_query
);

/// # Safety
/// `fcinfo` must come from PostgreSQL's function manager, of a strict function.
unsafe fn kept_query(fcinfo: pg_sys::FunctionCallInfo) -> Result<pg_sys::Datum, Error> {
    // SAFETY: the function is called as it is declared, and gives a text that lives in the current context. An ERROR takes the
    // snapshot back with its (sub)transaction.
    unsafe {
        let writer = pgrx::pg_getarg::<pg_sys::Oid>(fcinfo, 0).ok_or(Error::PreparedCall)?;
        let key = (writer, pg_sys::GetUserId());
        let kept = TEXTS.with_borrow(|texts| texts.get(&key).map(|text| text_of(text)));
        if let Some(text) = kept {
            return Ok(text);
        }
        let is_writer = !pg_sys::get_func_name(writer).is_null()
            && pg_sys::get_func_rettype(writer) == pg_sys::TEXTOID
            && pg_sys::get_func_nargs(writer) == 0
            && !pg_sys::get_func_retset(writer);
        if !is_writer {
            return Err(Error::PreparedCall);
        }
        // The caller's snapshot may be older than changes whose invalidations have come by.
        let begun = CHANGES.get();
        pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot());
        let text = pg_sys::OidFunctionCall0Coll(writer, pg_sys::InvalidOid);
        pg_sys::PopActiveSnapshot();
        if CHANGES.get() == begun {
            let bytes = varlena::payload(text).into();
            TEXTS.with_borrow_mut(|texts| texts.insert(key, bytes));
        }
        Ok(text)
    }
}

/// A text in the current memory context.
///
/// # Safety
/// Inside a memory context of PostgreSQL.
unsafe fn text_of(bytes: &[u8]) -> pg_sys::Datum {
    // SAFETY: the bytes are copied.
    unsafe {
        let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
        pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), length))
    }
}

c_function!(
    /// `quote_settings_changed()`: after any statement that may change the settings. All sessions forget what they keep of them.
    quote_settings_changed,
    pg_finfo_quote_settings_changed,
    |fcinfo| {
        // SAFETY: fcinfo comes from the function manager, and a trigger's table is open.
        unsafe {
            let call = Call::from_fcinfo(fcinfo).ok_or(Error::TriggerProtocol("quote_settings_changed"))?;
            pg_sys::CacheInvalidateRelcacheByRelid(call.relation().rd_id);
        }
        Ok(pg_sys::Datum::null())
    }
);
