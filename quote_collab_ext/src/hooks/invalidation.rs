//! What PostgreSQL says has changed in its catalogs, for all of the library that keeps anything of them: a process has ten places for
//! callbacks of tables, and every library wants one.

#![expect(unsafe_code, reason = "PostgreSQL's cache invalidations")]

use pgrx::{pg_guard, pg_sys};

use crate::feed::kept_query;
use crate::memory::allocator;
use crate::trigger::plan;

/// Registers once per backend: tables and their columns, owners and rights; schemas; functions; roles and their members.
pub fn watch() {
    let catalogs = [
        pg_sys::SysCacheIdentifier::NAMESPACEOID,
        pg_sys::SysCacheIdentifier::PROCOID,
        pg_sys::SysCacheIdentifier::AUTHOID,
        pg_sys::SysCacheIdentifier::AUTHMEMMEMROLE,
    ];
    // SAFETY: the callbacks are static functions of this library.
    unsafe {
        pg_sys::CacheRegisterRelcacheCallback(Some(on_table), pg_sys::Datum::null());
        for catalog in catalogs {
            pg_sys::CacheRegisterSyscacheCallback(
                catalog.cast_signed(),
                Some(on_catalog),
                pg_sys::Datum::null(),
            );
        }
    }
}

#[pg_guard]
extern "C-unwind" fn on_table(_arg: pg_sys::Datum, relation: pg_sys::Oid) {
    if !allocator::is_over() {
        plan::forget(relation);
        kept_query::forget();
    }
}

#[pg_guard]
extern "C-unwind" fn on_catalog(_arg: pg_sys::Datum, _cache: i32, _hash: u32) {
    if !allocator::is_over() {
        kept_query::forget();
    }
}
