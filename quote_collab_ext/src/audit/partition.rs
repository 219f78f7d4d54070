//! The monthly partition that a time belongs to, found once per backend and month.

#![expect(unsafe_code, reason = "PostgreSQL's relation cache and executor")]

use pgrx::{PgTupleDesc, pg_sys};

use super::log::{COLUMNS, Log, relation};
use crate::server;

const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// A month in UTC, in microseconds since 2000-01-01, and the partition that holds all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    from: i64,
    to: i64,
    /// `None`: no partition of the expected shape covers the month; write through SQL.
    pub partition: Option<pg_sys::Oid>,
}

impl Log {
    /// The partition to write a time to directly, or `None` when the general way must be taken.
    pub fn partition_of(&self, at: pg_sys::TimestampTz) -> Option<pg_sys::Oid> {
        if let Some(month) = self.month.get().filter(|month| (month.from..month.to).contains(&at)) {
            return month.partition;
        }
        let (year, number, from, to) = month_of(at);
        let schema = self.name.strip_suffix(".quote_changes")?;
        let partition = relation(&format!("{schema}.quote_changes_{year:04}_{number:02}"))
            // SAFETY: the relation was found just now; is_month locks it before it looks.
            .filter(|oid| unsafe { is_month(self.relation, *oid, from, to) });
        self.month.set(Some(Month { from, to, partition }));
        partition
    }
}

/// Whether a relation is a partition of the log, looks like it and takes both ends of a month, hence all of it.
///
/// # Safety
/// Needs a transaction.
unsafe fn is_month(log: pg_sys::Oid, oid: pg_sys::Oid, from: i64, to: i64) -> bool {
    // SAFETY: the lock is kept to the end of the transaction; the executor state is freed before the relation closes.
    unsafe {
        let opened = pg_sys::try_table_open(oid, pg_sys::RowExclusiveLock.cast_signed());
        if opened.is_null() {
            return false;
        }
        let fits = (*(*opened).rd_rel).relispartition
            && server::partition_parent(oid) == log
            && has_columns(opened)
            && takes(opened, from)
            && takes(opened, to - 1);
        pg_sys::table_close(opened, pg_sys::NoLock.cast_signed());
        fits
    }
}

/// # Safety
/// `opened` must be an open relation.
unsafe fn has_columns(opened: pg_sys::Relation) -> bool {
    // SAFETY: an open relation has a descriptor.
    let descriptor = unsafe { PgTupleDesc::from_pg_unchecked((*opened).rd_att) };
    descriptor.len() == COLUMNS.len()
        && descriptor.iter().zip(COLUMNS).all(|(attribute, (name, type_oid))| {
            !attribute.attisdropped && attribute.name() == name && attribute.atttypid == type_oid
        })
}

/// # Safety
/// `opened` must be an open partition with the columns of a log.
unsafe fn takes(opened: pg_sys::Relation, at: i64) -> bool {
    // SAFETY: a row of nulls but for changed_at, which alone the partition's bounds look at.
    unsafe {
        let state = pg_sys::CreateExecutorState();
        let result = pg_sys::palloc0(size_of::<pg_sys::ResultRelInfo>()).cast::<pg_sys::ResultRelInfo>();
        (*result).type_ = pg_sys::NodeTag::T_ResultRelInfo;
        pg_sys::InitResultRelInfo(result, opened, 0, std::ptr::null_mut(), 0);
        let slot = pg_sys::table_slot_create(opened, std::ptr::null_mut());
        pg_sys::ExecClearTuple(slot);
        for (index, (column, _)) in COLUMNS.iter().enumerate() {
            *(*slot).tts_isnull.add(index) = *column != "changed_at";
            *(*slot).tts_values.add(index) = pg_sys::Datum::from(at);
        }
        pg_sys::ExecStoreVirtualTuple(slot);
        let fits = pg_sys::ExecPartitionCheck(result, slot, state, false);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
        pg_sys::FreeExecutorState(state);
        fits
    }
}

/// Year, month, first microsecond of the month and of the next one. Days to civil date after Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms".
fn month_of(at: i64) -> (i64, i64, i64, i64) {
    let (year, month) = civil(at.div_euclid(MICROSECONDS_PER_DAY));
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    let start = |year, month| days(year, month) * MICROSECONDS_PER_DAY;
    (year, month, start(year, month), start(next_year, next_month))
}

/// Days from 0000-03-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH: i64 = 730_425;

fn civil(day: i64) -> (i64, i64) {
    let day = day + EPOCH;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// Days from 2000-01-01 to the first of a month.
fn days(year: i64, month: i64) -> i64 {
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH
}
