//! Statements that concern a waker, seen on their way: before a database is dropped, renamed, moved or copied its waker
//! leaves, since PostgreSQL wants nobody connected; after COMMIT PREPARED it is told, since no callback runs then.

#![expect(unsafe_code, reason = "PostgreSQL's statements and catalogs")]
#![expect(clippy::cast_ptr_alignment, reason = "PostgreSQL allocates nodes aligned for every type")]

use std::ffi::{CStr, c_char};

use pgrx::{pg_guard, pg_sys};

use super::board;

/// Sends the waker away that a statement concerns; whether it is a COMMIT PREPARED.
///
/// # Safety
/// The statement must be about to run.
#[pg_guard]
pub unsafe extern "C-unwind" fn release(statement: *mut pg_sys::PlannedStmt) -> bool {
    // SAFETY: the node's tag says what it is.
    unsafe {
        let node = (*statement).utilityStmt;
        let name = match (*node).type_ {
            pg_sys::NodeTag::T_DropdbStmt => (*node.cast::<pg_sys::DropdbStmt>()).dbname,
            pg_sys::NodeTag::T_AlterDatabaseStmt => (*node.cast::<pg_sys::AlterDatabaseStmt>()).dbname,
            pg_sys::NodeTag::T_RenameStmt => renamed(node.cast()),
            pg_sys::NodeTag::T_CreatedbStmt => copied(node.cast()),
            pg_sys::NodeTag::T_TransactionStmt => {
                return (*node.cast::<pg_sys::TransactionStmt>()).kind
                    == pg_sys::TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED;
            }
            _ => return false,
        };
        if !name.is_null() && pg_sys::IsTransactionState() {
            let database = pg_sys::get_database_oid(name, true);
            if let Some(slot) = board::find(database)
                && (is_owner(database)
                    || (*node).type_ == pg_sys::NodeTag::T_CreatedbStmt && may_create_databases())
            {
                slot.send_away();
            }
        }
        false
    }
}

/// A prepared transaction was committed: the waker of this database is told.
pub fn tell() {
    // SAFETY: reads a variable of this backend.
    if let Some(slot) = board::find(unsafe { pg_sys::MyDatabaseId }) {
        slot.tell();
    }
}

unsafe fn renamed(statement: *mut pg_sys::RenameStmt) -> *mut c_char {
    // SAFETY: a live node.
    unsafe {
        if (*statement).renameType == pg_sys::ObjectType::OBJECT_DATABASE {
            (*statement).subname
        } else {
            std::ptr::null_mut()
        }
    }
}

/// Whether this role may drop, rename or copy a database: PostgreSQL asks only after the waker has left, and who is refused must
/// not have sent it away.
unsafe fn is_owner(database: pg_sys::Oid) -> bool {
    // SAFETY: looks into the catalogs inside a transaction.
    unsafe {
        let role = pg_sys::GetUserId();
        #[cfg(any(feature = "pg14", feature = "pg15"))]
        return pg_sys::pg_database_ownercheck(database, role);
        #[cfg(not(any(feature = "pg14", feature = "pg15")))]
        return pg_sys::object_ownercheck(pg_sys::DatabaseRelationId, database, role);
    }
}

unsafe fn may_create_databases() -> bool {
    // SAFETY: looks into the catalogs inside a transaction; the tuple is one of pg_authid, and released.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::AUTHOID.cast_signed();
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(pg_sys::GetUserId()));
        if tuple.is_null() {
            return false;
        }
        let may = (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_authid>()).rolcreatedb;
        pg_sys::ReleaseSysCache(tuple);
        may
    }
}

/// The template of CREATE DATABASE: PostgreSQL's usual one when it names none.
unsafe fn copied(statement: *mut pg_sys::CreatedbStmt) -> *mut c_char {
    // SAFETY: a live node with a list of DefElem.
    unsafe {
        let options = pgrx::PgList::<pg_sys::DefElem>::from_pg((*statement).options);
        let named = options.iter_ptr().find(|option| CStr::from_ptr((**option).defname) == c"template");
        match named.filter(|option| !(**option).arg.is_null()) {
            Some(option) => pg_sys::defGetString(option),
            None => c"template1".as_ptr().cast_mut(),
        }
    }
}
