//! Whose rows a transaction sees, and who vouches for that: nobody, or PostgreSQL itself.
//!
//! In verified mode `app.current_tenant_id` is a setting of the library's own, which ordinary roles are refused, in
//! whatever way they try to set it. It is then as good as the token that `authenticate_quote_user` has verified, and no
//! better than the roles that were granted SET on it. Other settings that begin with `app.` stay as free as they were.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum, pg_sys};
use uuid::Uuid;

use crate::error::Error;
use crate::guc::arrival;
use crate::identity::attribution::uuid_setting;
use crate::identity::token::Refusal;

/// Where the tenant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum Source {
    /// A setting that every SQL user may set.
    #[name = c"setting"]
    Setting,
    /// A verified token, or a role that was granted SET.
    #[name = c"verified"]
    Verified,
}

static SOURCE: GucSetting<Source> = GucSetting::<Source>::new(Source::Setting);
static TENANT: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static USER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static UNTIL: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
/// Seconds for which a statement that began before its token's end may ask for the tenant behind it.
const LINGER: u64 = 10;
/// This process defines the tenant's setting itself.
static GUARDED: AtomicBool = AtomicBool::new(false);

/// Defines the settings about tenants.
pub fn define() {
    arrival::define_enum(
        c"quote_collab.tenant_source",
        [
            c"Who vouches for app.current_tenant_id.",
            c"setting lets every SQL user set it. verified lets nobody set it but authenticate_quote_user(), superusers and roles that were granted SET on it. Preload the library, and restart after a change: a process that loaded the library before shows nobody any row.",
        ],
        &SOURCE,
    );
    define_verdict(
        c"quote_collab.verified_user",
        c"User that authenticate_quote_user() has verified for this transaction.",
        &USER,
    );
    define_verdict(
        c"quote_collab.verified_until",
        c"When the token of this transaction ends, in seconds since 1970.",
        &UNTIL,
    );
}

/// Takes the tenant's setting from ordinary roles where that is asked for, or cannot be known. PostgreSQL throws away
/// what a session has set it to before. Call it when all other settings are defined.
pub fn guard() {
    if SOURCE.get() == Source::Verified || arrival::in_doubt() {
        define_verdict(
            c"app.current_tenant_id",
            c"Tenant whose rows are visible in this transaction.",
            &TENANT,
        );
        GUARDED.store(true, Ordering::Relaxed);
    }
}

fn define_verdict(
    name: &'static std::ffi::CStr,
    text: &'static std::ffi::CStr,
    setting: &'static GucSetting<Option<CString>>,
) {
    let long = c"Set by authenticate_quote_user() until the transaction ends. Ordinary roles cannot set it.";
    GucRegistry::define_string_guc(name, text, long, setting, GucContext::Suset, GucFlags::default());
}

/// Where the tenant comes from, as configured.
pub fn source() -> Source {
    SOURCE.get()
}

/// Whether ordinary roles are refused the tenant's setting in this process.
pub fn is_guarded() -> bool {
    GUARDED.load(Ordering::Relaxed)
}

/// The tenant of the current transaction. None, so that nobody sees a row, when the guard is wanted and missing in this
/// process, and in statements that begin after the transaction's token has ended. Refused when a statement that began before goes on for long:
/// it may be a block of many queries.
pub fn current() -> Result<Option<Uuid>, Error> {
    if source() == Source::Verified && !is_guarded() {
        return Ok(None);
    }
    if let Some(end) = end() {
        // SAFETY: reads a variable of the backend, and the clock.
        #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
        let (begun, now) =
            unsafe { (pg_sys::GetCurrentStatementStartTimestamp(), pg_sys::GetCurrentTimestamp()) };
        if unix_seconds(begun) >= end {
            return Ok(None);
        }
        if unix_seconds(now) >= end.saturating_add(LINGER) {
            return Err(Error::TokenRefused(Refusal::Expired));
        }
    }
    uuid_setting(c"app.current_tenant_id", "app.current_tenant_id")
}

/// The verified user of the current transaction; only this library and superusers can have set it.
pub fn verified_user() -> Option<Uuid> {
    USER.get().and_then(|text| Uuid::try_parse_ascii(text.as_bytes()).ok())
}

/// When the token of this transaction ends, in seconds since 1970; one whose end cannot be read has ended.
fn end() -> Option<u64> {
    let text = UNTIL.get().filter(|text| !text.is_empty())?;
    Some(text.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Seconds since 1970, from PostgreSQL's microseconds since 2000.
pub fn unix_seconds(at: pg_sys::TimestampTz) -> u64 {
    const SECONDS_BEFORE_2000: i64 = 946_684_800;
    u64::try_from(at.div_euclid(1_000_000) + SECONDS_BEFORE_2000).unwrap_or_default()
}
