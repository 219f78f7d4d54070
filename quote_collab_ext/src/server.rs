//! Functions of the server that pgrx does not declare, or guards at each call: behind its guard an ERROR becomes an unwinding panic. What is
//! not behind it says why.

#![expect(unsafe_code, reason = "PostgreSQL's C interface")]

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// The same on every system that PostgreSQL runs on.
const SIGTERM: std::ffi::c_int = 15;

mod declared {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        /// `utils/adt/trigfuncs.c`, which looks at no argument.
        pub fn pg_trigger_depth(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
        /// `catalog/partition.h`
        pub fn get_partition_parent(relid: pg_sys::Oid, even_if_detached: bool) -> pg_sys::Oid;
        /// `access/genam.h`
        pub fn index_insert(
            index: pg_sys::Relation,
            values: *mut pg_sys::Datum,
            nulls: *mut bool,
            place: pg_sys::ItemPointer,
            table: pg_sys::Relation,
            check: pg_sys::IndexUniqueCheck::Type,
            is_unchanged: bool,
            info: *mut pg_sys::IndexInfo,
        ) -> bool;
        /// `access/timeline.h`
        pub fn readTimeLineHistory(timeline: pg_sys::TimeLineID) -> *mut pg_sys::List;
        /// `access/timeline.h`
        pub fn tliInHistory(timeline: pg_sys::TimeLineID, history: *mut pg_sys::List) -> bool;
        /// `access/timeline.h`
        pub fn tliSwitchPoint(
            timeline: pg_sys::TimeLineID,
            history: *mut pg_sys::List,
            next: *mut pg_sys::TimeLineID,
        ) -> pg_sys::XLogRecPtr;
        /// `executor/tstoreReceiver.h`
        pub fn CreateTuplestoreDestReceiver() -> *mut pg_sys::DestReceiver;
        /// `executor/tstoreReceiver.h`
        pub fn SetTuplestoreDestReceiverParams(
            receiver: *mut pg_sys::DestReceiver,
            store: *mut pg_sys::Tuplestorestate,
            context: pg_sys::MemoryContext,
            detoast: bool,
            target: pg_sys::TupleDesc,
            mismatch: *const std::ffi::c_char,
        );
        /// `tcop/tcopprot.h`
        pub fn die(signal: std::ffi::c_int);
        /// `executor/executor.h`
        #[cfg(not(feature = "pg18"))]
        pub fn standard_ExecutorRun(
            query: *mut pg_sys::QueryDesc,
            direction: pg_sys::ScanDirection::Type,
            count: u64,
            is_once: bool,
        );
        /// `executor/executor.h`
        #[cfg(feature = "pg18")]
        pub fn standard_ExecutorRun(
            query: *mut pg_sys::QueryDesc,
            direction: pg_sys::ScanDirection::Type,
            count: u64,
        );
        /// `executor/executor.h`
        pub fn standard_ExecutorFinish(query: *mut pg_sys::QueryDesc);
        /// `tcop/utility.h`
        pub fn standard_ProcessUtility(
            statement: *mut pg_sys::PlannedStmt,
            query: *const std::ffi::c_char,
            read_only_tree: bool,
            context: pg_sys::ProcessUtilityContext::Type,
            parameters: pg_sys::ParamListInfo,
            environment: *mut pg_sys::QueryEnvironment,
            receiver: *mut pg_sys::DestReceiver,
            completion: *mut pg_sys::QueryCompletion,
        );
    }
}

/// Has SIGTERM end this process as it ends a session: at the next look of whatever SQL is running.
pub fn end_as_sessions_do() {
    // SAFETY: PostgreSQL's own handler, installed the way PostgreSQL does it.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(SIGTERM, Some(declared::die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(SIGTERM, Some(declared::die));
    }
}

/// A receiver of rows that keeps them in a store, given columns of these types. It lives in the current memory context.
///
/// # Safety
/// The store must live in the same context as its description, and both outlive the receiver.
pub unsafe fn into_store(
    store: *mut pg_sys::Tuplestorestate,
    columns: pg_sys::TupleDesc,
) -> *mut pg_sys::DestReceiver {
    // SAFETY: per contract; the text is static.
    unsafe {
        let context = pg_sys::GetMemoryChunkContext(columns.cast());
        pg_guard_ffi_boundary(|| {
            let receiver = declared::CreateTuplestoreDestReceiver();
            let mismatch = c"the columns of the query are not those that are expected".as_ptr();
            declared::SetTuplestoreDestReceiverParams(receiver, store, context, false, columns, mismatch);
            receiver
        })
    }
}

/// Flushes the write-ahead log up to what has been inserted into it. Returns at once where that is done already.
pub fn flush_wal() {
    const PAGE: u64 = pg_sys::XLOG_BLCKSZ as u64;
    const FIRST_HEADER: u64 = size_of::<pg_sys::XLogLongPageHeaderData>() as u64;
    const HEADER: u64 = size_of::<pg_sys::XLogPageHeaderData>() as u64;
    // SAFETY: reads positions of the write-ahead log, outside of a critical section.
    unsafe {
        let next = pg_sys::GetXLogInsertRecPtr();
        let segment = u64::from(pg_sys::wal_segment_size.unsigned_abs());
        // Where the last record ended with its page, the next one begins behind a header that nobody has written yet.
        let ahead = match (next % segment, next % PAGE) {
            (FIRST_HEADER, _) => FIRST_HEADER,
            (_, HEADER) => HEADER,
            _ => 0,
        };
        pg_sys::XLogFlush(next - ahead);
    }
}

/// The timeline that this server writes, or follows while it is in recovery.
pub fn timeline() -> pg_sys::TimeLineID {
    let mut timeline = 0;
    // SAFETY: reads shared memory.
    unsafe {
        if pg_sys::RecoveryInProgress() {
            pg_sys::GetXLogReplayRecPtr(&raw mut timeline);
            return timeline;
        }
        #[cfg(feature = "pg14")]
        return pg_sys::ThisTimeLineID;
        #[cfg(not(feature = "pg14"))]
        pg_sys::GetWALInsertionTimeLine()
    }
}

/// How far the write-ahead log of an earlier timeline is the past of a timeline, by the file that its promotion left beside the log;
/// none where it is none of its past, or the file is gone. Recovery to a point may leave a timeline before the place where the one that it
/// goes on as began: that far back all timelines between them are left, too.
pub fn timeline_end(timeline: pg_sys::TimeLineID, earlier: pg_sys::TimeLineID) -> Option<pg_sys::XLogRecPtr> {
    // SAFETY: reads a file, into memory of the current context.
    unsafe {
        pg_guard_ffi_boundary(|| {
            let history = declared::readTimeLineHistory(timeline);
            if !declared::tliInHistory(earlier, history) {
                return None;
            }
            let mut next = earlier;
            let switch_points = std::iter::from_fn(|| {
                let left = next;
                (left != timeline && left != 0)
                    .then(|| declared::tliSwitchPoint(left, history, &raw mut next))
            });
            switch_points.min()
        })
    }
}

/// How deep in triggers this backend is: 1 in the trigger of a statement that no trigger ran.
pub fn trigger_depth() -> usize {
    // SAFETY: reads a counter of this backend and cannot fail.
    unsafe { declared::pg_trigger_depth(std::ptr::null_mut()).value() }
}

/// The table that a partition belongs to.
///
/// # Safety
/// `partition` must be the oid of a partition, inside a transaction.
pub unsafe fn partition_parent(partition: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: per contract.
    unsafe { pg_guard_ffi_boundary(|| declared::get_partition_parent(partition, false)) }
}

/// An open index of columns, not of expressions.
pub struct Index {
    /// The index itself.
    pub relation: pg_sys::Relation,
    /// What PostgreSQL works out for inserting.
    pub info: *mut pg_sys::IndexInfo,
    /// Whether duplicates are refused.
    pub check: pg_sys::IndexUniqueCheck::Type,
    /// It keeps the least and the greatest time of each range of pages, and nothing of each row.
    pub is_of_times: bool,
}

/// What an index is told of one row.
pub struct Entry<'a> {
    /// The index.
    pub index: &'a Index,
    /// The number of the row.
    pub row: usize,
    /// Where the row is in the table.
    pub place: pg_sys::ItemPointerData,
}

/// Makes entries of rows that are in the table, behind one guard for all: setting one up for each of the calls would take as
/// long as forming the entries.
///
/// # Safety
/// The indexes must be open ones of `table`, each row be there with the values that `value` gives for its number and a column's, and neither
/// that nor the iterator call anything of PostgreSQL.
pub unsafe fn insert_index_entries<'a>(
    table: pg_sys::Relation,
    entries: &mut impl Iterator<Item = Entry<'a>>,
    value: impl Fn(usize, usize) -> Option<pg_sys::Datum>,
) {
    const KEYS: usize = pg_sys::INDEX_MAX_KEYS as usize;
    let insert = || {
        let (mut values, mut nulls) = ([pg_sys::Datum::null(); KEYS], [true; KEYS]);
        for Entry { index, row, mut place } in entries {
            // SAFETY: per contract; an ERROR passes over nothing that has to be dropped, the iterator lives outside. An index
            // without expressions takes the columns as they are, and has no system column.
            unsafe {
                let info = &*index.info;
                let count = usize::try_from(info.ii_NumIndexAttrs).unwrap_or_default();
                for (key, attribute) in info.ii_IndexAttrNumbers.iter().take(count).enumerate() {
                    let key_value = usize::try_from(attribute - 1).ok().and_then(|column| value(row, column));
                    nulls[key] = key_value.is_none();
                    values[key] = key_value.unwrap_or(pg_sys::Datum::null());
                }
                let (values, nulls, place) = (values.as_mut_ptr(), nulls.as_mut_ptr(), &raw mut place);
                declared::index_insert(
                    index.relation,
                    values,
                    nulls,
                    place,
                    table,
                    index.check,
                    false,
                    index.info,
                );
            }
        }
    };
    // SAFETY: per contract.
    unsafe { pg_guard_ffi_boundary(insert) }
}

/// What runs a query when no hook does, as a hook calls it.
#[cfg(not(feature = "pg18"))]
pub const STANDARD_RUN: unsafe extern "C-unwind" fn(
    *mut pg_sys::QueryDesc,
    pg_sys::ScanDirection::Type,
    u64,
    bool,
) = declared::standard_ExecutorRun;
/// What runs a query when no hook does, as a hook calls it.
#[cfg(feature = "pg18")]
pub const STANDARD_RUN: unsafe extern "C-unwind" fn(
    *mut pg_sys::QueryDesc,
    pg_sys::ScanDirection::Type,
    u64,
) = declared::standard_ExecutorRun;

/// What ends a query when no hook does, as a hook calls it: its triggers run there.
pub const STANDARD_FINISH: unsafe extern "C-unwind" fn(*mut pg_sys::QueryDesc) =
    declared::standard_ExecutorFinish;

/// What runs a utility statement when no hook does, as a hook calls it: without pgrx's guard, since some statements end
/// the transaction that the guard was set up in.
pub const STANDARD_UTILITY: unsafe extern "C-unwind" fn(
    *mut pg_sys::PlannedStmt,
    *const std::ffi::c_char,
    bool,
    pg_sys::ProcessUtilityContext::Type,
    pg_sys::ParamListInfo,
    *mut pg_sys::QueryEnvironment,
    *mut pg_sys::DestReceiver,
    *mut pg_sys::QueryCompletion,
) = declared::standard_ProcessUtility;
