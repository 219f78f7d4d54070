//! Who acts: settings of the transaction, set by `set_config(…, true)` so that a pooler never mixes people.

use std::ffi::CStr;

use pgrx::pg_sys;
use uuid::Uuid;

use crate::error::Error;
use crate::tenant;

/// A setting that holds a UUID; `None` when unset or empty.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub fn uuid_setting(name: &CStr, label: &'static str) -> Result<Option<Uuid>, Error> {
    // SAFETY: GetConfigOption returns null for an unknown name (missing_ok) or a C string that lives until the setting
    // changes; it is parsed before anything else runs.
    let text = unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() {
            return Ok(None);
        }
        CStr::from_ptr(value).to_bytes()
    };
    if text.is_empty() {
        return Ok(None);
    }
    Uuid::try_parse_ascii(text.trim_ascii()).map(Some).map_err(|_| Error::NotUuid { setting: label })
}

/// The acting user: whom a token has verified for this transaction, else `app.current_user_id`, which anybody may set.
pub fn current_user() -> Result<Option<Uuid>, Error> {
    if let Some(user) = tenant::verified_user() {
        return Ok(Some(user));
    }
    uuid_setting(c"app.current_user_id", "app.current_user_id")
}

/// The editing session, from `app.current_session_id`.
pub fn current_session() -> Result<Option<Uuid>, Error> {
    uuid_setting(c"app.current_session_id", "app.current_session_id")
}
