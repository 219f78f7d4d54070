//! The databases of the cluster, as the launcher sees them: it is connected to none of them.

#![expect(unsafe_code, reason = "PostgreSQL's catalogs")]
#![expect(clippy::cast_ptr_alignment, reason = "PostgreSQL aligns the rows of its catalogs")]

use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys;

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
                if (*row).datallowconn && !(*row).datistemplate {
                    found.push((*row).oid);
                }
            }
            pg_sys::heap_endscan(scan);
            pg_sys::table_close(catalog, mode);
        }
        found
    })
}

/// Whether a database is still there.
pub fn exists(database: pg_sys::Oid) -> bool {
    // SAFETY: a look-up in a shared catalog, in a transaction.
    BackgroundWorker::transaction(move || unsafe {
        pg_sys::SearchSysCacheExists(
            pg_sys::SysCacheIdentifier::DATABASEOID.cast_signed(),
            pg_sys::Datum::from(database),
            pg_sys::Datum::null(),
            pg_sys::Datum::null(),
            pg_sys::Datum::null(),
        )
    })
}
