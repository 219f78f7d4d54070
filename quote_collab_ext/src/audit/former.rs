//! Versions of rows that were deleted: one that comes back under its id goes on behind the last it had. Else a save that is based on its
//! earlier life would pass for one that is based on this.

#![expect(unsafe_code, reason = "PostgreSQL's relations and scans")]

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;

use pgrx::{IntoDatum, pg_sys};
use uuid::Uuid;

use super::log::owner_and_triggers;
use super::spi::{self, Prepared};
use super::{Kind, RowChange};
use crate::error::Error;

/// A row: its id, and whether it is a line.
type Key = (Uuid, bool);

thread_local! {
    /// What this transaction deleted and has not written yet. Of what was rolled back since too: a version that is passed over hurts nobody.
    static DELETED: RefCell<HashMap<Key, i64>> = RefCell::default();
}

/// The table of former versions beside the extension.
pub struct Former {
    relation: pg_sys::Oid,
    owner: pg_sys::Oid,
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
        (relation != pg_sys::InvalidOid).then(|| {
            let (owner, _) = owner_and_triggers(relation);
            Self { relation, owner, insert: OnceCell::new() }
        })
    }

    /// The last version that a row had in an earlier life, if it had one.
    pub fn version(&self, row: Uuid, is_line: bool) -> Option<i64> {
        let noted = DELETED.with_borrow(|deleted| deleted.get(&(row, is_line)).copied());
        // SAFETY: inside a transaction.
        noted.max(unsafe { self.written(row, is_line) })
    }

    /// # Safety
    /// Needs a transaction.
    unsafe fn written(&self, row: Uuid, is_line: bool) -> Option<i64> {
        // SAFETY: the table is locked while it is read; its columns are as it was created, all of them not null. Whoever deleted the row has
        // committed, or its key could not be taken again: what is committed is looked at, whatever this transaction's snapshot is.
        unsafe {
            let table = pg_sys::try_table_open(self.relation, pg_sys::AccessShareLock.cast_signed());
            if table.is_null() {
                return None;
            }
            let version = (pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM)
                > 0)
            .then(|| read(table, row, is_line))
            .flatten();
            pg_sys::table_close(table, pg_sys::AccessShareLock.cast_signed());
            version
        }
    }

    /// Keeps the last versions of the rows that these changes deleted.
    pub fn remember(&self, changes: &[RowChange]) -> Result<(), Error> {
        let mut ended: HashMap<Key, i64> = HashMap::new();
        for change in changes.iter().filter(|change| change.kind == Kind::Delete) {
            let last = ended.entry(key(change)).or_default();
            *last = (*last).max(change.version_before.map_or(0, i64::from));
        }
        DELETED.with_borrow_mut(|deleted| deleted.retain(|row, _| !ended.contains_key(row)));
        if ended.is_empty() {
            return Ok(());
        }
        let (keys, versions): (Vec<Key>, Vec<i64>) = ended.into_iter().unzip();
        let (rows, are_lines): (Vec<pgrx::Uuid>, Vec<bool>) = keys
            .into_iter()
            .map(|(row, is_line)| (pgrx::Uuid::from_bytes(row.into_bytes()), is_line))
            .unzip();
        let mut values = [rows.into_datum(), are_lines.into_datum(), versions.into_datum()]
            .map(|array| array.unwrap_or(pg_sys::Datum::null()));
        spi::as_owner(self.owner, || {
            let plan = self.plan()?;
            plan.insert(&mut values, &[b' '.cast_signed(); 3])
        })
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

/// A row was deleted, or left its key, at this version.
pub fn note(change: &RowChange) {
    if change.kind == Kind::Delete {
        let at = change.version_before.map_or(0, i64::from);
        DELETED.with_borrow_mut(|deleted| {
            let last = deleted.entry(key(change)).or_default();
            *last = (*last).max(at);
        });
    }
}

/// Forgets what was not written: the transaction is over.
pub fn discard() {
    DELETED.with_borrow_mut(HashMap::clear);
}

fn key(change: &RowChange) -> Key {
    (change.line.unwrap_or(change.quote), change.line.is_some())
}

/// # Safety
/// `table` must be open and be that of former versions.
unsafe fn read(table: pg_sys::Relation, row: Uuid, is_line: bool) -> Option<i64> {
    const COLUMNS: usize = 4;
    // SAFETY: per contract; the keys outlive the scan, and the tuple is taken apart before it ends.
    unsafe {
        let equal = pg_sys::StrategyNumber::try_from(pg_sys::BTEqualStrategyNumber).unwrap_or_default();
        let mut keys: [pg_sys::ScanKeyData; 2] = std::array::from_fn(|_| pg_sys::ScanKeyData::default());
        let id = pg_sys::Datum::from(row.as_bytes().as_ptr());
        pg_sys::ScanKeyInit(&raw mut keys[0], 1, equal, pg_sys::Oid::from(pg_sys::F_UUID_EQ), id);
        pg_sys::ScanKeyInit(&raw mut keys[1], 2, equal, pg_sys::Oid::from(pg_sys::F_BOOLEQ), is_line.into());
        let _list = pg_sys::RelationGetIndexList(table);
        let index = (*table).rd_pkindex;
        let scan = pg_sys::systable_beginscan(
            table,
            index,
            index != pg_sys::InvalidOid,
            &raw mut pg_sys::SnapshotSelfData,
            2,
            keys.as_mut_ptr(),
        );
        let found = pg_sys::systable_getnext(scan);
        let version = (!found.is_null()).then(|| {
            let (mut values, mut nulls) = ([pg_sys::Datum::null(); COLUMNS], [true; COLUMNS]);
            pg_sys::heap_deform_tuple(found, (*table).rd_att, values.as_mut_ptr(), nulls.as_mut_ptr());
            values[2].value().cast_signed() as i64
        });
        pg_sys::systable_endscan(scan);
        version
    }
}
