//! Numbers from a sequence as `nextval()` gives them, with `lastval()` left alone: an ERP asks that for the id of the row it has just
//! inserted, and must not be answered with a position of ours.
//!
//! After `nextval_internal()` of PostgreSQL's `commands/sequence.c`: one number at a time under the lock of the sequence's only page, with a
//! record of write-ahead log that says 32 more than was given, so that the next 32 need none. After a crash the sequence goes on behind all
//! that was given, and leaves out at most those 32.

#![expect(unsafe_code, reason = "PostgreSQL's buffers and write-ahead log")]
#![expect(clippy::cast_ptr_alignment, reason = "PostgreSQL aligns pages, and tuples on them")]

use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;

/// So many numbers are logged ahead: `SEQ_LOG_VALS`.
const LOGGED_AHEAD: i64 = 32;
/// What stands at the end of a sequence's page: `SEQ_MAGIC`.
const MAGIC: u32 = 0x1717;
/// Who recovers the record, and its kind: `XLOG_SEQ_LOG`.
const MANAGER: u8 = pg_sys::RmgrIds::RM_SEQ_ID.to_le_bytes()[0];
const LOG: u8 = 0;
/// The record makes the page anew.
const MAKES_PAGE: u8 = pg_sys::REGBUF_WILL_INIT.to_le_bytes()[0];
/// `InvalidSubTransactionId`.
const NO_SUBTRANSACTION: pg_sys::SubTransactionId = 0;
const EXCLUSIVE: std::ffi::c_int = 2;
const UNLOCKED: std::ffi::c_int = 0;

/// A row of `pg_sequence`, which is what a sequence was declared as.
#[repr(C)]
struct Declared {
    relation: pg_sys::Oid,
    kind: pg_sys::Oid,
    start: i64,
    increment: i64,
    max: i64,
    min: i64,
    cache: i64,
    cycles: bool,
}

/// The only row of a sequence: `FormData_pg_sequence_data`.
#[repr(C)]
struct State {
    last: i64,
    logged: i64,
    is_called: bool,
}

/// The page of a sequence, locked, and the row on it.
struct Page {
    buffer: pg_sys::Buffer,
    header: *mut pg_sys::PageHeaderData,
    tuple: *mut std::ffi::c_char,
    length: u32,
}

mod declared {
    use pgrx::pg_sys;

    // Called behind one guard for all of them.
    unsafe extern "C-unwind" {
        /// `commands/sequence.h`
        pub fn nextval_internal(relid: pg_sys::Oid, check_permissions: bool) -> i64;
        /// `access/relation.h`
        pub fn relation_open(relation: pg_sys::Oid, mode: pg_sys::LOCKMODE) -> pg_sys::Relation;
        /// `access/relation.h`
        pub fn relation_close(relation: pg_sys::Relation, mode: pg_sys::LOCKMODE);
        /// `utils/syscache.h`
        pub fn SearchSysCache1(cache: std::ffi::c_int, key: pg_sys::Datum) -> pg_sys::HeapTuple;
        /// `utils/syscache.h`
        pub fn ReleaseSysCache(tuple: pg_sys::HeapTuple);
        /// `storage/bufmgr.h`
        pub fn ReadBuffer(relation: pg_sys::Relation, block: pg_sys::BlockNumber) -> pg_sys::Buffer;
        /// `storage/bufmgr.h`
        pub fn LockBuffer(buffer: pg_sys::Buffer, mode: std::ffi::c_int);
        /// `storage/bufmgr.h`
        pub fn ReleaseBuffer(buffer: pg_sys::Buffer);
        /// `storage/bufmgr.h`
        pub fn MarkBufferDirty(buffer: pg_sys::Buffer);
        /// `access/xlog.h`
        pub fn GetRedoRecPtr() -> pg_sys::XLogRecPtr;
        /// `access/xact.h`
        pub fn GetTopTransactionId() -> pg_sys::TransactionId;
        /// `access/xloginsert.h`
        pub fn XLogBeginInsert();
        /// `access/xloginsert.h`
        pub fn XLogRegisterBuffer(block: u8, buffer: pg_sys::Buffer, flags: u8);
        /// `access/xloginsert.h`
        pub fn XLogRegisterData(data: *mut std::ffi::c_char, length: u32);
        /// `access/xloginsert.h`
        pub fn XLogInsert(manager: pg_sys::RmgrId, info: u8) -> pg_sys::XLogRecPtr;
    }
}

/// The next number of a sequence, without asking for the caller's rights on it. One that somebody has declared anew, with a cache, a cycle or
/// another increment, PostgreSQL itself is asked, and so it is for the error at the end of a sequence.
///
/// # Safety
/// `sequence` must be the oid of a sequence, inside a transaction that may write.
pub unsafe fn next(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: per contract. Nothing in here has to be dropped when an ERROR leaves it.
    unsafe {
        pg_guard_ffi_boundary(|| {
            take(sequence).unwrap_or_else(|| declared::nextval_internal(sequence, false))
        })
    }
}

/// `None` for a sequence that is another than attach makes, or at its end.
///
/// # Safety
/// As [`next`], behind a guard.
unsafe fn take(sequence: pg_sys::Oid) -> Option<i64> {
    // SAFETY: per contract; the lock is kept until the transaction ends, as nextval() keeps it.
    unsafe {
        let relation = declared::relation_open(sequence, pg_sys::RowExclusiveLock.cast_signed());
        let max = declared_max(sequence).filter(|_| is_logged(relation));
        let number = max.and_then(|max| take_from(relation, max));
        declared::relation_close(relation, pg_sys::NoLock.cast_signed());
        number
    }
}

/// The greatest number of a sequence that counts one by one to its end.
///
/// # Safety
/// As [`take`].
unsafe fn declared_max(sequence: pg_sys::Oid) -> Option<i64> {
    // SAFETY: the row is read while the cache holds it.
    unsafe {
        let by_oid = pg_sys::SysCacheIdentifier::SEQRELID.cast_signed();
        let row = declared::SearchSysCache1(by_oid, sequence.into());
        let found = row.as_ref()?.t_data;
        let declared = &*found.cast::<u8>().add(usize::from((*found).t_hoff)).cast::<Declared>();
        let is_plain = declared.increment == 1 && declared.cache == 1 && !declared.cycles;
        let max = is_plain.then_some(declared.max);
        declared::ReleaseSysCache(row);
        max
    }
}

/// Whether what is done to a relation is in the write-ahead log, also where the server logs no more than it must.
///
/// # Safety
/// The relation must be open.
unsafe fn is_logged(relation: pg_sys::Relation) -> bool {
    // SAFETY: per contract.
    unsafe {
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        let file_made_in = (*relation).rd_firstRelfilenodeSubid;
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        let file_made_in = (*relation).rd_firstRelfilelocatorSubid;
        let is_new = (*relation).rd_createSubid != NO_SUBTRANSACTION || file_made_in != NO_SUBTRANSACTION;
        let is_permanent =
            (*(*relation).rd_rel).relpersistence == pg_sys::RELPERSISTENCE_PERMANENT.cast_signed();
        is_permanent && !is_new
    }
}

/// # Safety
/// The relation must be a sequence, open and locked.
unsafe fn take_from(relation: pg_sys::Relation, max: i64) -> Option<i64> {
    // SAFETY: per contract. Whoever holds the page's lock alone reads and writes the row.
    unsafe {
        let page = Page::lock(relation);
        let number = page.state().and_then(|state| {
            let (state, last) = (state.cast::<State>(), (*state).last);
            let number = if (*state).is_called { last.checked_add(1)? } else { last };
            (number <= max).then(|| {
                page.give(relation, state, number, max);
                number
            })
        });
        declared::LockBuffer(page.buffer, UNLOCKED);
        declared::ReleaseBuffer(page.buffer);
        number
    }
}

impl Page {
    /// # Safety
    /// As [`take_from`].
    unsafe fn lock(relation: pg_sys::Relation) -> Self {
        // SAFETY: a sequence has one page with one row, and a buffer is as large as a page.
        unsafe {
            let buffer = declared::ReadBuffer(relation, 0);
            declared::LockBuffer(buffer, EXCLUSIVE);
            let header = pg_sys::BufferGetPage(buffer).cast::<pg_sys::PageHeaderData>();
            let item = *(*header).pd_linp.as_ptr();
            let tuple = header.cast::<std::ffi::c_char>().add(item.lp_off() as usize);
            Self { buffer, header, tuple, length: item.lp_len() }
        }
    }

    /// The row; `None` where the page is no sequence's, or its row was locked by a release of long ago.
    ///
    /// # Safety
    /// The page must be locked.
    unsafe fn state(&self) -> Option<*mut State> {
        // SAFETY: per contract; the special space begins where the header says.
        unsafe {
            let magic = self.header.cast::<u8>().add(usize::from((*self.header).pd_special)).cast::<u32>();
            let tuple = self.tuple.cast::<pg_sys::HeapTupleHeaderData>();
            let is_free = (*tuple).t_choice.t_heap.t_xmax == pg_sys::InvalidTransactionId;
            (*magic == MAGIC && is_free).then(|| self.tuple.add(usize::from((*tuple).t_hoff)).cast::<State>())
        }
    }

    /// Gives this number away, and logs it with those ahead where the log does not have it: none are left of the last record, or a checkpoint
    /// came since, from which a recovery would begin.
    ///
    /// # Safety
    /// The page must be locked, and the state be its own.
    unsafe fn give(&self, relation: pg_sys::Relation, state: *mut State, number: i64, max: i64) {
        // SAFETY: per contract. Between the marks of the critical section nothing unwinds: an error there ends the server, which recovers.
        unsafe {
            let position = (*self.header).pd_lsn;
            let written = u64::from(position.xlogid) << 32 | u64::from(position.xrecoff);
            let is_due = (*state).logged < 1 || !(*state).is_called || written <= declared::GetRedoRecPtr();
            let ahead = if is_due {
                number.saturating_add(LOGGED_AHEAD).min(max) - number
            } else {
                (*state).logged - 1
            };
            if is_due {
                // Its commit waits for the record.
                declared::GetTopTransactionId();
            }
            let critical = &raw mut pg_sys::CritSectionCount;
            critical.write_volatile(critical.read_volatile() + 1);
            declared::MarkBufferDirty(self.buffer);
            if is_due {
                // A column each: behind them the row ends.
                (*state).last = number + ahead;
                (*state).logged = 0;
                (*state).is_called = true;
                self.log(relation);
            }
            (*state).last = number;
            (*state).logged = ahead;
            critical.write_volatile(critical.read_volatile() - 1);
        }
    }

    /// # Safety
    /// As [`Page::give`], in its critical section.
    unsafe fn log(&self, relation: pg_sys::Relation) {
        // SAFETY: per contract. The record is the file's three numbers and the row, as the recovery of sequences reads it.
        unsafe {
            #[cfg(any(feature = "pg14", feature = "pg15"))]
            let file = &raw mut (*relation).rd_node;
            #[cfg(not(any(feature = "pg14", feature = "pg15")))]
            let file = &raw mut (*relation).rd_locator;
            declared::XLogBeginInsert();
            declared::XLogRegisterBuffer(0, self.buffer, MAKES_PAGE);
            declared::XLogRegisterData(file.cast(), u32::try_from(size_of_val(&*file)).unwrap_or_default());
            declared::XLogRegisterData(self.tuple, self.length);
            let end = declared::XLogInsert(MANAGER, LOG);
            let half = |half: u64| u32::try_from(half & u64::from(u32::MAX)).unwrap_or_default();
            (*self.header).pd_lsn = pg_sys::PageXLogRecPtr { xlogid: half(end >> 32), xrecoff: half(end) };
        }
    }
}
