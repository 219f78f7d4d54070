//! COPY into tables: the executor does not run it, and yet it calls functions for defaults and conditions before its triggers fire.

#![expect(unsafe_code, reason = "PostgreSQL's statements and relations")]

use pgrx::{pg_guard, pg_sys};

use super::{RUNNING, Work, begin, end_newest};
use crate::{audit, server, trigger};

/// A COPY from a client or a file begins, if the statement is one that no trigger runs: how many statements run with it, else 0. Looks the name of
/// its table up as COPY will; no lock is taken for that.
///
/// # Safety
/// The statement must be about to run.
#[pg_guard]
pub unsafe extern "C-unwind" fn begin_copy(statement: *mut pg_sys::PlannedStmt) -> usize {
    // SAFETY: the node's tag says what it is; looks into the catalogs inside a transaction.
    unsafe {
        let node = (*statement).utilityStmt;
        if (*node).type_ != pg_sys::NodeTag::T_CopyStmt {
            return 0;
        }
        #[expect(clippy::cast_ptr_alignment, reason = "PostgreSQL allocates nodes aligned for every type")]
        let copy = node.cast::<pg_sys::CopyStmt>();
        if !(*copy).is_from || (*copy).relation.is_null() || server::trigger_depth() > 0 {
            return 0;
        }
        let no_lock = pg_sys::NoLock.cast_signed();
        let is_optional = pg_sys::RVROption::RVR_MISSING_OK;
        let table = pg_sys::RangeVarGetRelidExtended(
            (*copy).relation,
            no_lock,
            is_optional,
            None,
            std::ptr::null_mut(),
        );
        if table == pg_sys::InvalidOid {
            return 0;
        }
        begin(Work::Copy(table), pg_sys::GetCurrentCommandId(false), audit::next_note());
        RUNNING.with_borrow(Vec::len)
    }
}

/// It has ended, and so have all that it called: so many were running when it began.
#[pg_guard]
pub unsafe extern "C-unwind" fn end_copy(depth: usize) {
    RUNNING.with_borrow_mut(|running| running.truncate(depth));
    end_newest();
}

/// Whether COPY into this table changes rows of attached tables, as far as it is known: a partitioned one may have any partitions.
///
/// # Safety
/// COPY must be filling it, so that it is locked.
pub unsafe fn changes_ours(table: pg_sys::Oid) -> bool {
    // SAFETY: per contract.
    unsafe {
        let relation = pg_sys::relation_open(table, pg_sys::NoLock.cast_signed());
        let is_partitioned =
            u8::try_from((*(*relation).rd_rel).relkind) == Ok(pg_sys::RELKIND_PARTITIONED_TABLE);
        let is_of_ours = is_partitioned || trigger::any_captures((*relation).trigdesc);
        pg_sys::relation_close(relation, pg_sys::NoLock.cast_signed());
        is_of_ours
    }
}
