//! The last versions of rows that were deleted. One that comes back under its id begins anew: a save that is based on a version which it had
//! before does not say which life it is based on.

#![expect(unsafe_code, reason = "PostgreSQL's relations and scans")]

use std::cell::OnceCell;
use std::collections::BTreeMap;

use pgrx::{IntoDatum, pg_sys};
use uuid::Uuid;

use super::Log;
use super::pending::Noted;
use super::spi::{self, Prepared};
use crate::error::Error;

/// The table of former versions beside the extension.
pub struct Former {
    relation: pg_sys::Oid,
    insert: OnceCell<Prepared>,
}

impl Former {
    /// That of the extension whose trigger function this is; `None` where its SQL is of a release before.
    pub fn beside(function: pg_sys::Oid) -> Option<Self> {
        // SAFETY: look-ups in the catalogs inside a transaction.
        let relation = unsafe {
            let namespace = pg_sys::get_func_namespace(function);
            pg_sys::get_relname_relid(c"quote_former_versions".as_ptr(), namespace)
        };
        (relation != pg_sys::InvalidOid).then(|| Self { relation, insert: OnceCell::new() })
    }

    /// Locks the table for writing, so that it stays its owner's; `None` where it is gone.
    fn lock(&self) -> Option<pg_sys::Oid> {
        // SAFETY: inside a transaction, which keeps the lock.
        unsafe {
            let table = pg_sys::try_table_open(self.relation, pg_sys::RowExclusiveLock.cast_signed());
            let owner = (*table.as_ref()?.rd_rel).relowner;
            pg_sys::table_close(table, pg_sys::NoLock.cast_signed());
            Some(owner)
        }
    }

    /// The last version that a row had in an earlier life, if it had one.
    pub fn version(&self, row: Uuid, is_line: bool) -> Option<i64> {
        // SAFETY: inside a transaction. The table is locked while it is read; its first columns are as it was created, all of them not null. What
        // is committed is looked at, whatever this transaction's snapshot is.
        unsafe {
            let table = pg_sys::try_table_open(self.relation, pg_sys::AccessShareLock.cast_signed());
            if table.is_null() {
                return None;
            }
            let version = read(table, row, is_line);
            pg_sys::table_close(table, pg_sys::AccessShareLock.cast_signed());
            version
        }
    }

    fn plan(&self) -> Result<&Prepared, Error> {
        if let Some(plan) = self.insert.get() {
            return Ok(plan);
        }
        let name = spi::qualified_name(self.relation);
        let text = format!(
            "insert into {name} as f select d.row_id, d.is_line, d.version, pg_catalog.now() from unnest($1, $2, $3) d (row_id, is_line, version) \
             on conflict (row_id, is_line) do update set version = greatest(f.version, excluded.version), ended_at = excluded.ended_at"
        );
        let plan =
            Prepared::new(&text, &mut [pg_sys::UUIDARRAYOID, pg_sys::BOOLARRAYOID, pg_sys::INT8ARRAYOID])?;
        Ok(self.insert.get_or_init(|| plan))
    }
}

/// Keeps the last versions of the rows that these changes deleted, in the order of their ids, so that nobody who does the same waits for
/// another who waits for him.
pub fn remember(log: &Log, noted: &[Noted]) -> Result<(), Error> {
    let mut ended: BTreeMap<(Uuid, bool), i64> = BTreeMap::new();
    for Noted { change, .. } in noted {
        let Some(version) = change.last_version else { continue };
        let last = ended.entry((change.line.unwrap_or(change.quote), change.line.is_some())).or_default();
        *last = (*last).max(version);
    }
    let Some(former) = log.former().filter(|_| !ended.is_empty()) else { return Ok(()) };
    let (keys, versions): (Vec<_>, Vec<i64>) = ended.into_iter().unzip();
    let (rows, are_lines): (Vec<pgrx::Uuid>, Vec<bool>) =
        keys.into_iter().map(|(row, is_line)| (pgrx::Uuid::from_bytes(row.into_bytes()), is_line)).unzip();
    let mut values = [rows.into_datum(), are_lines.into_datum(), versions.into_datum()]
        .map(|array| array.unwrap_or(pg_sys::Datum::null()));
    let Some(owner) = former.lock() else { return Ok(()) };
    spi::as_owner(owner, || former.plan()?.insert(&mut values, &[b' '.cast_signed(); 3]))
}

/// # Safety
/// `table` must be open and be that of former versions.
unsafe fn read(table: pg_sys::Relation, row: Uuid, is_line: bool) -> Option<i64> {
    // SAFETY: per contract; the keys outlive the scan, and the tuple is taken apart before it ends.
    unsafe {
        let equal = pg_sys::StrategyNumber::try_from(pg_sys::BTEqualStrategyNumber).unwrap_or_default();
        let mut keys: [pg_sys::ScanKeyData; 2] = std::array::from_fn(|_| pg_sys::ScanKeyData::default());
        let id = pg_sys::Datum::from(row.as_bytes().as_ptr());
        let (same_id, same_kind) =
            (pg_sys::Oid::from(pg_sys::F_UUID_EQ), pg_sys::Oid::from(pg_sys::F_BOOLEQ));
        pg_sys::ScanKeyInit(&raw mut keys[0], 1, equal, same_id, id);
        pg_sys::ScanKeyInit(&raw mut keys[1], 2, equal, same_kind, is_line.into());
        let _list = pg_sys::RelationGetIndexList(table);
        let (index, snapshot) = ((*table).rd_pkindex, &raw mut pg_sys::SnapshotSelfData);
        let is_indexed = index != pg_sys::InvalidOid;
        let scan = pg_sys::systable_beginscan(table, index, is_indexed, snapshot, 2, keys.as_mut_ptr());
        let found = pg_sys::systable_getnext(scan);
        let version = (!found.is_null()).then(|| {
            let columns = usize::try_from((*(*table).rd_att).natts).unwrap_or_default().max(3);
            let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); columns], vec![true; columns]);
            pg_sys::heap_deform_tuple(found, (*table).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            i64::try_from(values[2].value().cast_signed()).unwrap_or_default()
        });
        pg_sys::systable_endscan(scan);
        version
    }
}
