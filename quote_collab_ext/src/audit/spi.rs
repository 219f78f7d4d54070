//! Statements that are planned once and run as the owner of what they write: a writer of quotes needs no rights on the log, and the row
//! security forced on the log does not refuse a DBA's repair.

#![expect(unsafe_code, reason = "PostgreSQL's server programming interface")]

use std::ffi::{CStr, CString};

use pgrx::pg_sys;

use super::snapshot;
use crate::error::Error;

/// An INSERT, kept for the life of the value.
pub struct Prepared(pg_sys::SPIPlanPtr);

impl Prepared {
    /// Plans a statement with parameters of these types. SPI must be connected.
    pub fn new(text: &str, types: &mut [pg_sys::Oid]) -> Result<Self, Error> {
        let text = CString::new(text).map_err(|_| Error::Spi("reading a statement for the audit log", 0))?;
        // SAFETY: SPI is connected; the plan is kept beyond it.
        unsafe {
            let count = i32::try_from(types.len()).unwrap_or_default();
            let plan = pg_sys::SPI_prepare(text.as_ptr(), count, types.as_mut_ptr());
            if plan.is_null() {
                return Err(Error::Spi("preparing the insert into the audit log", pg_sys::SPI_result));
            }
            pg_sys::SPI_keepplan(plan);
            Ok(Self(plan))
        }
    }

    /// Runs it once. SPI must be connected; `nulls` has a letter for each value, `n` for SQL null.
    pub fn insert(&self, values: &mut [pg_sys::Datum], nulls: &[std::ffi::c_char]) -> Result<(), Error> {
        // SAFETY: the plan was kept, and has as many parameters as there are values.
        let done = unsafe { pg_sys::SPI_execute_plan(self.0, values.as_mut_ptr(), nulls.as_ptr(), false, 0) };
        if done == pg_sys::SPI_OK_INSERT.cast_signed() {
            Ok(())
        } else {
            Err(Error::Spi("inserting into the audit log", done))
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: the plan was kept by this value alone and is not running: a running insert holds it.
        unsafe {
            pg_sys::SPI_freeplan(self.0);
        }
    }
}

/// Runs statements as `owner`, connected to SPI.
pub fn as_owner<T>(owner: pg_sys::Oid, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let _owner = ActingOwner::begin(owner);
    // SAFETY: connect and finish are paired, also where the work fails; an ERROR between them ends the (sub)transaction, which
    // cleans up.
    snapshot::under_one(|| unsafe {
        let connected = pg_sys::SPI_connect();
        if connected != pg_sys::SPI_OK_CONNECT.cast_signed() {
            return Err(Error::Spi("connecting for the audit log", connected));
        }
        let done = work();
        pg_sys::SPI_finish();
        done
    })
}

/// The quoted name of a relation, with its schema.
pub fn qualified_name(relation: pg_sys::Oid) -> String {
    // SAFETY: look-ups in the catalogs inside a transaction; what they give lives in the current memory context.
    unsafe {
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(relation));
        let name = pg_sys::get_rel_name(relation);
        if schema.is_null() || name.is_null() {
            return String::new();
        }
        CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_string_lossy().into_owned()
    }
}

/// Acts as another user until dropped. An ERROR in between restores the user with the (sub)transaction.
struct ActingOwner {
    user: pg_sys::Oid,
    context: i32,
}

impl ActingOwner {
    fn begin(owner: pg_sys::Oid) -> Self {
        let (mut user, mut context) = (pg_sys::InvalidOid, 0);
        // SAFETY: as PostgreSQL's own foreign-key checks do it: act as the owner, without forced row security.
        unsafe {
            pg_sys::GetUserIdAndSecContext(&raw mut user, &raw mut context);
            let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
            pg_sys::SetUserIdAndSecContext(owner, context | flags.cast_signed());
        }
        Self { user, context }
    }
}

impl Drop for ActingOwner {
    fn drop(&mut self) {
        // SAFETY: restores what begin() found.
        unsafe { pg_sys::SetUserIdAndSecContext(self.user, self.context) }
    }
}
