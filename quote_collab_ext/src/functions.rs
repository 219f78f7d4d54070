//! SQL functions that need Rust.

use pgrx::prelude::*;

use crate::attribution;

/// A UUID of version 7: 48 bits of milliseconds, then a counter and random bits; ascending within a backend.
#[pg_extern(volatile, parallel_safe)]
pub fn uuid_generate_v7() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

/// The tenant of the current transaction, from `app.current_tenant_id`; null when none is set, and every policy then
/// shows nothing. STABLE, never IMMUTABLE: a cached plan must not keep another tenant. SQLSTATE 22P02 for nonsense.
#[pg_extern(stable, parallel_safe)]
pub fn current_quote_tenant() -> Option<pgrx::Uuid> {
    match attribution::uuid_setting(c"app.current_tenant_id", "app.current_tenant_id") {
        Ok(tenant) => tenant.map(|id| pgrx::Uuid::from_bytes(id.into_bytes())),
        Err(error) => error.raise(),
    }
}

extension_sql!(
    r"
comment on function uuid_generate_v7() is 'a new UUID of version 7, ascending with time';
comment on function current_quote_tenant() is 'tenant of the current transaction, from app.current_tenant_id; null when none is set';
",
    name = "function_comments",
    requires = [uuid_generate_v7, current_quote_tenant]
);
