//! Who acts: settings of the transaction, set by `set_config(…, true)` so that a pooler never mixes people.

use std::cell::RefCell;
use std::ffi::CStr;

use pgrx::pg_sys;
use uuid::Uuid;

use crate::error::Error;
use crate::hooks::transaction;
use crate::identity::tenant;

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

thread_local! {
    /// Users that this transaction has verified, each with the depth of the subtransaction that did.
    static VERIFIED: RefCell<Vec<(i32, Uuid)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers whom a token has verified. RESET ALL takes the setting away from whoever calls it, between the change of a row
/// and its record too; who made the change stays who he was until the transaction ends, or the savepoint is rolled back.
pub fn vouch(user: Uuid) {
    VERIFIED.with_borrow_mut(|verified| verified.push((transaction::depth(), user)));
}

/// The transaction has ended.
pub fn forget() {
    VERIFIED.with_borrow_mut(Vec::clear);
}

/// The subtransaction is rolled back.
pub fn forget_subtransaction() {
    let depth = transaction::depth();
    VERIFIED.with_borrow_mut(|verified| verified.retain(|(at, _)| *at < depth));
}

/// The subtransaction becomes part of the one around it.
pub fn hand_on() {
    let depth = transaction::depth();
    VERIFIED.with_borrow_mut(|verified| {
        for (at, _) in verified {
            *at = (*at).min(depth - 1);
        }
    });
}

/// Whom a token has verified for this transaction.
pub fn verified_user() -> Option<Uuid> {
    tenant::verified_user()
        .or_else(|| VERIFIED.with_borrow(|verified| verified.last().map(|(_, user)| *user)))
}

/// The acting user: whom a token has verified for this transaction, else `app.current_user_id`, which anybody may set.
pub fn current_user() -> Result<Option<Uuid>, Error> {
    if let Some(user) = verified_user() {
        return Ok(Some(user));
    }
    uuid_setting(c"app.current_user_id", "app.current_user_id")
}

/// The editing session, from `app.current_session_id`.
pub fn current_session() -> Result<Option<Uuid>, Error> {
    uuid_setting(c"app.current_session_id", "app.current_session_id")
}
