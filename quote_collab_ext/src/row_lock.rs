//! Whether a row is locked, and how: what `pgrowlocks` shows, of one row and this transaction.

#![expect(unsafe_code, reason = "reads PostgreSQL's tuple headers")]

use pgrx::pg_sys;

use crate::c_function::c_function;

c_function!(
    /// `quote_place_is_locked(oid, tid) returns boolean`: this transaction holds the row version there FOR NO KEY UPDATE, or stronger.
    quote_place_is_locked,
    pg_finfo_quote_place_is_locked,
    |fcinfo| {
        // SAFETY: the function is strict, and declared for these types; a tid is passed by reference.
        let is_locked = unsafe {
            match (
                pgrx::pg_getarg::<pg_sys::Oid>(fcinfo, 0),
                pgrx::pg_getarg_datum(fcinfo, 1).map(|place| *place.cast_mut_ptr::<pg_sys::ItemPointerData>()),
            ) {
                (Some(relation), Some(place)) => is_locked(relation, place),
                _ => false,
            }
        };
        Ok(pg_sys::Datum::from(is_locked))
    }
);

/// # Safety
/// Needs a transaction. The place must be one of a heap.
unsafe fn is_locked(relation: pg_sys::Oid, place: pg_sys::ItemPointerData) -> bool {
    // SAFETY: the page is pinned and locked while the header is read.
    unsafe {
        let table = pg_sys::try_table_open(relation, pg_sys::AccessShareLock.cast_signed());
        if table.is_null() {
            return false;
        }
        let mut row = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        let mut buffer = pg_sys::Buffer::default();
        let any = &raw mut pg_sys::SnapshotAnyData;
        let is_heap = (*(*table).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID && is_there(table, &place);
        #[cfg(feature = "pg14")]
        let found = is_heap && pg_sys::heap_fetch(table, any, &raw mut row, &raw mut buffer);
        #[cfg(not(feature = "pg14"))]
        let found = is_heap && pg_sys::heap_fetch(table, any, &raw mut row, &raw mut buffer, false);
        let mut is_locked = false;
        if found {
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE.cast_signed());
            is_locked = holds(&*row.t_data);
            pg_sys::UnlockReleaseBuffer(buffer);
        }
        pg_sys::table_close(table, pg_sys::AccessShareLock.cast_signed());
        is_locked
    }
}

/// Whether a table may have a place: asking for a page behind its end may make one, and no row is the page's number 0.
///
/// # Safety
/// The table must be open.
unsafe fn is_there(table: pg_sys::Relation, place: &pg_sys::ItemPointerData) -> bool {
    // SAFETY: per contract; a partitioned table has no pages, and may say all the same how those of its partitions are kept.
    unsafe {
        let has_pages = (*(*table).rd_rel).relkind.cast_unsigned() != pg_sys::RELKIND_PARTITIONED_TABLE;
        has_pages
            && pgrx::itemptr::item_pointer_get_offset_number_no_check(*place) > 0
            && pgrx::itemptr::item_pointer_get_block_number_no_check(*place)
                < pg_sys::RelationGetNumberOfBlocksInFork(table, pg_sys::ForkNumber::MAIN_FORKNUM)
    }
}

/// Whether this transaction, or a part of it that was not rolled back, is named in the header with a lock of that strength.
fn holds(row: &pg_sys::HeapTupleHeaderData) -> bool {
    let mask = u32::from(row.t_infomask);
    if mask & pg_sys::HEAP_XMAX_INVALID != 0 {
        return false;
    }
    // SAFETY: a row version of a table has this form.
    let holder = unsafe { row.t_choice.t_heap.t_xmax };
    if mask & pg_sys::HEAP_XMAX_IS_MULTI != 0 {
        return any_member_holds(holder, mask & pg_sys::HEAP_XMAX_LOCK_ONLY != 0);
    }
    // The bits of both locks together stand for the one that readers of the row share.
    let is_shared = mask & pg_sys::HEAP_XMAX_EXCL_LOCK == 0 || mask & pg_sys::HEAP_XMAX_KEYSHR_LOCK != 0;
    let is_lock = mask & pg_sys::HEAP_XMAX_LOCK_ONLY != 0;
    // SAFETY: looks into the state of this transaction.
    !(is_lock && is_shared) && unsafe { pg_sys::TransactionIdIsCurrentTransactionId(holder) }
}

fn any_member_holds(several: pg_sys::MultiXactId, is_lock_only: bool) -> bool {
    let mut members = std::ptr::null_mut();
    // SAFETY: the number comes from a row version; the list is allocated in the current memory context.
    unsafe {
        let count = pg_sys::GetMultiXactIdMembers(several, &raw mut members, false, is_lock_only);
        let count = usize::try_from(count).unwrap_or_default();
        (0..count).map(|place| &*members.add(place)).any(|member| {
            member.status > pg_sys::MultiXactStatus::MultiXactStatusForShare
                && pg_sys::TransactionIdIsCurrentTransactionId(member.xid)
        })
    }
}
