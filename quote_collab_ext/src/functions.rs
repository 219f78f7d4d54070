//! SQL functions that need Rust.

use pgrx::prelude::*;

use crate::attribution;
use crate::worker::board;

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

/// Asks for the background worker that wakes the listeners of this database; false when the library is not preloaded, and
/// transactions notify by themselves. The worker comes within moments, and stays while something is attached.
#[pg_extern(volatile, parallel_restricted)]
pub fn start_quote_worker() -> bool {
    let slot = board::mine();
    if let Some(slot) = slot.filter(|slot| !slot.is_served()) {
        slot.want();
    }
    slot.is_some()
}

extension_sql!(
    r"
comment on function uuid_generate_v7() is 'a new UUID of version 7, ascending with time';
comment on function current_quote_tenant() is 'tenant of the current transaction, from app.current_tenant_id; null when none is set';
comment on function start_quote_worker() is 'asks for the background worker of this database; false when the library is not preloaded';
revoke execute on function start_quote_worker() from public;
",
    name = "function_comments",
    requires = [uuid_generate_v7, current_quote_tenant, start_quote_worker]
);
