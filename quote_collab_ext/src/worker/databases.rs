//! The databases of the cluster, as the launcher sees them: it is connected to none of them.

#![expect(unsafe_code, reason = "PostgreSQL's catalogs")]
#![expect(clippy::cast_ptr_alignment, reason = "PostgreSQL aligns the rows of its catalogs")]

use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys;

/// The limit of connections of a database of which an interrupted DROP DATABASE has left a part; PostgreSQL's `DATCONNLIMIT_INVALID_DB`.
const HALF_DROPPED: i32 = -2;

/// Every database that takes connections and is no template.
pub fn all() -> Vec<pg_sys::Oid> {
    BackgroundWorker::transaction(|| {
        let mut found = Vec::new();
        // SAFETY: the scan of a shared catalog in a transaction with a snapshot, as the autovacuum launcher makes it;
        // each tuple is read before the next is asked for.
        unsafe {
            let mode = pg_sys::AccessShareLock.cast_signed();
            let catalog = pg_sys::table_open(pg_sys::DatabaseRelationId, mode);
            let scan = pg_sys::table_beginscan_catalog(catalog, 0, std::ptr::null_mut());
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    break;
                }
                let row = pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>();
                if is_open(&*row) && !(*row).datistemplate {
                    found.push((*row).oid);
                }
            }
            pg_sys::heap_endscan(scan);
            pg_sys::table_close(catalog, mode);
        }
        found
    })
}

/// Whether a database takes connections; `None` when it is not there any more.
pub fn takes_connections(database: pg_sys::Oid) -> Option<bool> {
    // SAFETY: a look-up in a shared catalog, in a transaction; the row is read before it is given back.
    BackgroundWorker::transaction(move || unsafe {
        let cache = pg_sys::SysCacheIdentifier::DATABASEOID.cast_signed();
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(database));
        if tuple.is_null() {
            return None;
        }
        let is_open = is_open(&*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_database>());
        pg_sys::ReleaseSysCache(tuple);
        Some(is_open)
    })
}

fn is_open(row: &pg_sys::FormData_pg_database) -> bool {
    row.datallowconn && row.datconnlimit != HALF_DROPPED
}
