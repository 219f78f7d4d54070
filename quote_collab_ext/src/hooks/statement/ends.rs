//! Which statements may end rows.

#![expect(unsafe_code, reason = "PostgreSQL's plans")]

use pgrx::pg_sys;

/// Whether a statement that changes rows may delete any, or give them other keys: all but those that only insert.
///
/// # Safety
/// The statement must be live.
pub unsafe fn may_end_rows(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: per contract; the node's tag says what it is.
    unsafe {
        if (*statement).hasModifyingCTE || (*statement).commandType != pg_sys::CmdType::CMD_INSERT {
            return true;
        }
        let plan = (*statement).planTree;
        if plan.is_null() || (*plan).type_ != pg_sys::NodeTag::T_ModifyTable {
            return true;
        }
        (*plan.cast::<pg_sys::ModifyTable>()).onConflictAction == pg_sys::OnConflictAction::ONCONFLICT_UPDATE
    }
}
