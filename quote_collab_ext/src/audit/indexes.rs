//! The indexes of a partition of the log, for entries that are made row by row.

#![expect(unsafe_code, reason = "PostgreSQL's index access methods")]

use pgrx::{PgList, pg_sys};

use super::values::Rows;
use crate::server::{self, Entry, Index};

/// Open indexes; closed when dropped. Their locks stay until the transaction ends.
pub struct Indexes(Vec<Index>);

impl Indexes {
    /// Opens the indexes of a table; `None` when one of them is more than a plain index over columns, or just being
    /// built: that is the executor's affair.
    ///
    /// # Safety
    /// `table` must be open and locked for writing; the current memory context must outlive the result.
    pub unsafe fn open(table: pg_sys::Relation) -> Option<Self> {
        let mut opened = Self(Vec::new());
        // SAFETY: per contract: the list and the descriptions live in the current memory context.
        unsafe {
            let oids = PgList::<pg_sys::Oid>::from_pg(pg_sys::RelationGetIndexList(table));
            for oid in oids.iter_oid() {
                let relation = pg_sys::index_open(oid, pg_sys::RowExclusiveLock.cast_signed());
                let info = pg_sys::BuildIndexInfo(relation);
                let form = &*(*relation).rd_index;
                let check = if form.indisunique {
                    pg_sys::IndexUniqueCheck::UNIQUE_CHECK_YES
                } else {
                    pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO
                };
                opened.0.push(Index { relation, info, check, is_of_times: is_of_times(relation, info) });
                let is_plain = (*info).ii_ReadyForInserts
                    && (*info).ii_Expressions.is_null()
                    && (*info).ii_Predicate.is_null()
                    && (*info).ii_ExclusionOps.is_null()
                    && form.indimmediate;
                if !is_plain {
                    return None;
                }
            }
        }
        Some(opened)
    }

    /// Makes the entries of rows that are in the table.
    ///
    /// # Safety
    /// `table` must be the table that the indexes were opened for, and each row be in it at its place.
    pub unsafe fn insert(
        &self,
        table: pg_sys::Relation,
        rows: &Rows<'_>,
        places: &[pg_sys::ItemPointerData],
    ) {
        let mut entries = self.0.iter().flat_map(|index| {
            let told = told(index, rows, places);
            told.into_iter().map(move |row| Entry { index, row, place: places[row] })
        });
        // SAFETY: per contract.
        unsafe { server::insert_index_entries(table, &mut entries, |row, column| rows.value(row, column)) }
    }
}

/// The rows that an index is told of, in the best order for it: the unique one begins with what ascends anyway, others with the
/// quote, so that pages are visited one after the other.
fn told(index: &Index, rows: &Rows<'_>, places: &[pg_sys::ItemPointerData]) -> Vec<usize> {
    if index.is_of_times {
        ends_of_pages(rows, places)
    } else if index.check == pg_sys::IndexUniqueCheck::UNIQUE_CHECK_NO {
        rows.by_quote()
    } else {
        (0..places.len()).collect()
    }
}

/// The rows with the least and the greatest time of each page: what lies between them changes no summary.
fn ends_of_pages(rows: &Rows<'_>, places: &[pg_sys::ItemPointerData]) -> Vec<usize> {
    let time = |row: &usize| rows.change(*row).mint.at;
    let page = |place: &pg_sys::ItemPointerData| (place.ip_blkid.bi_hi, place.ip_blkid.bi_lo);
    let mut ends = Vec::new();
    let mut first = 0;
    for on_page in places.chunk_by(|a, b| page(a) == page(b)) {
        let rows = first..first + on_page.len();
        first = rows.end;
        let least = rows.clone().min_by_key(time);
        let greatest = rows.max_by_key(time);
        ends.extend(least);
        ends.extend(greatest.filter(|row| Some(time(row)) != least.as_ref().map(time)));
    }
    ends
}

/// Whether an index keeps the least and the greatest time of each range of pages, and nothing else: the only time of a row is when it changed.
///
/// # Safety
/// The index must be open, over columns of a log.
unsafe fn is_of_times(index: pg_sys::Relation, info: *mut pg_sys::IndexInfo) -> bool {
    // SAFETY: per contract: an open index has one operator class and at least one support function for each column.
    unsafe {
        (*(*index).rd_rel).relam == pg_sys::BRIN_AM_OID
            && (*info).ii_NumIndexAttrs == 1
            && *(*index).rd_opcintype == pg_sys::TIMESTAMPTZOID
            && *(*index).rd_support == pg_sys::Oid::from(pg_sys::F_BRIN_MINMAX_OPCINFO)
    }
}

impl Drop for Indexes {
    fn drop(&mut self) {
        for index in &self.0 {
            // SAFETY: opened by open() and not closed yet.
            unsafe {
                #[cfg(any(feature = "pg17", feature = "pg18"))]
                pg_sys::index_insert_cleanup(index.relation, index.info);
                pg_sys::index_close(index.relation, pg_sys::NoLock.cast_signed());
            }
        }
    }
}
