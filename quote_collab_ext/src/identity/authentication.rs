//! SQL functions about who is asking.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::json;

use crate::error::Error;
use crate::guc::arrival;
use crate::identity::attribution;
use crate::identity::tenant::{self, Source};
use crate::identity::token::{self, Identity, keys, keys::Keys};
use crate::{local_setting, worker};

/// The tenant of the current transaction, from `app.current_tenant_id`; null when none is set, and every policy then
/// shows nothing. STABLE, never IMMUTABLE: a cached plan must not keep another tenant. SQLSTATE 22P02 for nonsense.
#[pg_extern(stable, parallel_safe)]
pub fn current_quote_tenant() -> Option<pgrx::Uuid> {
    tenant::current().unwrap_or_else(|error| error.raise()).map(to_sql)
}

/// Whom a token has verified for this transaction; null for nobody. The settings that say so are gone after RESET ALL, this is not: but parallel
/// workers do not know it.
#[pg_extern(stable, parallel_restricted)]
pub fn verified_quote_user() -> Option<pgrx::Uuid> {
    attribution::verified_user().map(to_sql)
}

/// Who acts: the verified user of the transaction, else who is claimed to, else `app.current_user_id`.
#[pg_extern(stable, parallel_restricted)]
pub fn current_quote_user(claimed: default!(Option<pgrx::Uuid>, "null")) -> Option<pgrx::Uuid> {
    attribution::verified_user()
        .map(to_sql)
        .or(claimed)
        .or_else(|| attribution::current_user().unwrap_or_else(|error| error.raise()).map(to_sql))
}

/// Verifies a token and makes its tenant and user those of the transaction, until it ends or the token does. Returns
/// the user. No verdict is kept: each call verifies. SQLSTATE 28000 for a token that is refused, 55000 where ordinary
/// roles could set the tenant although they must not.
#[pg_extern(volatile, parallel_unsafe)]
pub fn authenticate_quote_user(token: Option<&str>) -> pgrx::Uuid {
    match authenticate(token.unwrap_or_default()) {
        Ok(identity) => to_sql(identity.user),
        Err(error) => error.raise(),
    }
}

fn authenticate(token: &str) -> Result<Identity, Error> {
    if arrival::in_doubt() || tenant::source() == Source::Verified && !tenant::is_guarded() {
        return Err(Error::NotGuarded);
    }
    // SAFETY: reads the clock.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    let now = tenant::unix_seconds(unsafe { pg_sys::GetCurrentTimestamp() });
    let identity = token::verify(token, &Keys::configured(), now).map_err(Error::TokenRefused)?;
    set_local(c"app.current_tenant_id", identity.tenant.to_string());
    set_local(c"quote_collab.verified_user", identity.user.to_string());
    set_local(c"quote_collab.verified_until", identity.expires_at.to_string());
    attribution::vouch(identity.user);
    Ok(identity)
}

/// With the rights of a superuser, which the caller need not have.
fn set_local(name: &CStr, value: String) {
    local_setting::set(name, value, pg_sys::GucContext::PGC_SUSET);
}

/// How this process keeps tenants apart, for the doctor. Tells nothing of a key but whether there is one.
#[pg_extern(stable, parallel_restricted)]
pub fn quote_tenant_guard() -> pgrx::JsonB {
    let keys = Keys::configured();
    pgrx::JsonB(json!({
        "verified": tenant::source() == Source::Verified,
        "guarded": tenant::is_guarded(),
        "in_doubt": arrival::in_doubt(),
        "preloaded": worker::is_preloaded(),
        "keyless": keys.is_empty(),
        "unusable_keys": keys.is_partly_unusable(),
        "secret": keys::has_secret(),
        "short_secret": keys::is_secret_short(),
    }))
}

fn to_sql(id: uuid::Uuid) -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(id.into_bytes())
}

extension_sql!(
    r"
comment on function current_quote_tenant() is 'tenant of the current transaction, from app.current_tenant_id; null when none is set';
comment on function current_quote_user(uuid) is 'who acts: the verified user, else who is claimed to, else app.current_user_id';
comment on function verified_quote_user() is 'whom a token has verified for this transaction; null for nobody';
comment on function authenticate_quote_user(text) is 'verifies a token and makes its tenant and user those of the transaction';
comment on function quote_tenant_guard() is 'doctor: how this process keeps tenants apart';
revoke execute on function quote_tenant_guard() from public;
",
    name = "authentication_comments",
    requires = [
        current_quote_tenant,
        verified_quote_user,
        current_quote_user,
        authenticate_quote_user,
        quote_tenant_guard
    ]
);
