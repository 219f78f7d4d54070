//! Which months of the log hold anything.

#![expect(unsafe_code, reason = "PostgreSQL's partitions are structures of C")]

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::error::Error;

/// The partitions of the log that hold rows of this time or later, by their bounds and the size of their files; none where the log has no
/// months. Whoever reads them opens no other: neither months ahead that are empty, nor months of long ago, which somebody may have locked
/// for a while. What commits later may lie in others.
#[pg_extern(stable, parallel_safe)]
pub fn quote_log_months(log: pg_sys::Oid, since: TimestampWithTimeZone) -> Option<Vec<pg_sys::Oid>> {
    // SAFETY: the relation stays open, and locked until the transaction ends, while its description is read.
    unsafe {
        let lock = pg_sys::AccessShareLock.cast_signed();
        let relation = pg_sys::try_relation_open(log, lock);
        if relation.is_null() {
            Error::MissingLog(log.to_u32().to_string()).raise();
        }
        let months = is_of_kind(relation, pg_sys::RELKIND_PARTITIONED_TABLE)
            .then(|| filled(&*pg_sys::RelationGetPartitionDesc(relation, true), since.into()));
        pg_sys::relation_close(relation, pg_sys::NoLock.cast_signed());
        months
    }
}

/// The months that end after a time and hold anything; the default partition, too.
///
/// # Safety
/// `months` must be the description of an open table that is partitioned.
unsafe fn filled(months: &pg_sys::PartitionDescData, since: pg_sys::TimestampTz) -> Vec<pg_sys::Oid> {
    const RANGES: i64 = b'r' as i64;
    // SAFETY: per contract: behind each bound of ranges, and behind the last one, stands the place of the partition below it, negative for none.
    unsafe {
        let bounds = months.boundinfo.as_ref().filter(|bounds| i64::from(bounds.strategy) == RANGES);
        let Some(bounds) = bounds.filter(|_| months.nparts > 0) else { return Vec::new() };
        let count = usize::try_from(bounds.ndatums).unwrap_or_default();
        let ends_after = |bound: &usize| {
            **bounds.kind.add(*bound) != pg_sys::PartitionRangeDatumKind::PARTITION_RANGE_DATUM_VALUE
                || (**bounds.datums.add(*bound)).value().cast_signed() as pg_sys::TimestampTz > since
        };
        (0..count)
            .filter(ends_after)
            .map(|bound| *bounds.indexes.add(bound))
            .chain([*bounds.indexes.add(count), bounds.default_index])
            .filter_map(|place| Some(*months.oids.add(usize::try_from(place).ok()?)))
            .filter(|month| !is_empty_table(*month))
            .collect()
    }
}

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

/// What an extension of 0.6.0 calls until it is updated, and the way from 0.5.0 passes by: the end of the log, as far as nothing is known of it.
#[pg_extern(sql = false)]
fn quote_log_end(_log: pg_sys::Oid) -> TimestampWithTimeZone {
    TimestampWithTimeZone::positive_infinity()
}

extension_sql!(
    r"
comment on function quote_log_months(oid, timestamptz) is 'partitions of a log that hold rows of a time or later';
revoke execute on function quote_log_months(oid, timestamptz) from public;
",
    name = "log_months_comments",
    requires = [quote_log_months]
);
