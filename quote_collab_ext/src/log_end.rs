//! Where the log ends, as far as its months tell.

#![expect(unsafe_code, reason = "PostgreSQL's partitions are structures of C")]

use pgrx::pg_sys;
use pgrx::prelude::*;

/// No row of the log was made at this time or later: the end of its newest month that holds anything, by the size of its files. Whoever
/// asks the log for less need not open the months ahead. Infinite where a month without an end, the default partition or a
/// table without months holds anything. What commits later may lie behind it.
#[pg_extern(stable, parallel_safe)]
pub fn quote_log_end(log: pg_sys::Oid) -> TimestampWithTimeZone {
    // SAFETY: the relation stays open, and locked until the transaction ends, while its description is read.
    unsafe {
        let lock = pg_sys::AccessShareLock.cast_signed();
        let relation = pg_sys::relation_open(log, lock);
        let end = if is_of_kind(relation, pg_sys::RELKIND_PARTITIONED_TABLE) {
            end_of_months(&*pg_sys::RelationGetPartitionDesc(relation, true))
        } else {
            None
        };
        pg_sys::relation_close(relation, pg_sys::NoLock.cast_signed());
        end.and_then(|end| TimestampWithTimeZone::try_from(end).ok())
            .unwrap_or_else(TimestampWithTimeZone::positive_infinity)
    }
}

/// The end of the newest month that holds anything; none where there is no end.
///
/// # Safety
/// `months` must be the description of an open table that is partitioned by ranges of one column of time.
unsafe fn end_of_months(months: &pg_sys::PartitionDescData) -> Option<pg_sys::TimestampTz> {
    // SAFETY: per contract: behind each bound, and behind the last one, stands the place of the partition below it, negative for none.
    unsafe {
        if months.nparts == 0 {
            return Some(BEGINNING);
        }
        let bounds = &*months.boundinfo;
        let is_empty =
            |place: i32| usize::try_from(place).map_or(true, |place| is_empty_table(*months.oids.add(place)));
        let count = usize::try_from(bounds.ndatums).unwrap_or_default();
        if !is_empty(bounds.default_index) || !is_empty(*bounds.indexes.add(count)) {
            return None;
        }
        let newest = (0..count).rev().find(|bound| !is_empty(*bounds.indexes.add(*bound)));
        let Some(newest) = newest else { return Some(BEGINNING) };
        let is_value =
            **bounds.kind.add(newest) == pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE;
        is_value.then(|| (**bounds.datums.add(newest)).value().cast_signed() as pg_sys::TimestampTz)
    }
}

/// Before every time but the infinite one.
const BEGINNING: pg_sys::TimestampTz = i64::MIN;

/// Whether no row was ever written to a table; one that is gone holds nothing, and one that keeps its rows elsewhere may hold any.
///
/// # Safety
/// `table` must be an oid, inside a transaction.
unsafe fn is_empty_table(table: pg_sys::Oid) -> bool {
    // SAFETY: per contract: a relation that can still be opened stays so while it is locked.
    unsafe {
        let relation = pg_sys::try_relation_open(table, pg_sys::AccessShareLock.cast_signed());
        if relation.is_null() {
            return true;
        }
        let is_empty = is_of_kind(relation, pg_sys::RELKIND_RELATION)
            && pg_sys::RelationGetNumberOfBlocksInFork(relation, pg_sys::ForkNumber::MAIN_FORKNUM) == 0;
        pg_sys::relation_close(relation, pg_sys::NoLock.cast_signed());
        is_empty
    }
}

/// # Safety
/// `relation` must be open.
unsafe fn is_of_kind(relation: pg_sys::Relation, kind: u8) -> bool {
    // SAFETY: per contract.
    unsafe { (*(*relation).rd_rel).relkind.cast_unsigned() == kind }
}

extension_sql!(
    r"
comment on function quote_log_end(oid) is 'end of the newest month of a log that holds anything, infinity where there is no end';
revoke execute on function quote_log_end(oid) from public;
",
    name = "log_end_comments",
    requires = [quote_log_end]
);
