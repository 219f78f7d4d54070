//! The general way into the audit log: one INSERT through SQL, as the log's owner. A writer of quotes needs no rights on
//! the log, and the row security forced on the log does not refuse a DBA's repair.

#![expect(unsafe_code, reason = "PostgreSQL's server programming interface")]

use std::ffi::CString;

use pgrx::pg_sys;

use super::log::COLUMNS;
use super::values::{Rows, mint_ids};
use super::{Log, RowChange};
use crate::error::Error;

/// Writes the rows of `changes`, which all go to `log`.
pub fn insert(log: &Log, changes: &[RowChange]) -> Result<(), Error> {
    let _owner = ActingOwner::begin(log.owner);
    // SAFETY: connect and finish are paired, and so is the snapshot, which nobody has taken before a commit; an ERROR between
    // them ends the (sub)transaction, which cleans up.
    unsafe {
        let has_snapshot = pg_sys::ActiveSnapshotSet();
        if !has_snapshot {
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let connected = pg_sys::SPI_connect();
        if connected != pg_sys::SPI_OK_CONNECT.cast_signed() {
            return Err(Error::Spi("connecting for the audit log", connected));
        }
        let plan = prepared(log)?;
        let ids = mint_ids(changes);
        for row in Rows::of(changes, &ids).iter() {
            let mut values = row.map(|value| value.unwrap_or(pg_sys::Datum::null()));
            let nulls = row.map(|value| if value.is_none() { b'n' } else { b' ' }.cast_signed());
            let done = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), false, 0);
            if done != pg_sys::SPI_OK_INSERT.cast_signed() {
                return Err(Error::Spi("inserting into the audit log", done));
            }
        }
        pg_sys::SPI_finish();
        if !has_snapshot {
            pg_sys::PopActiveSnapshot();
        }
    }
    Ok(())
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

/// # Safety
/// SPI must be connected.
unsafe fn prepared(log: &Log) -> Result<pg_sys::SPIPlanPtr, Error> {
    if let Some(plan) = log.insert.get() {
        return Ok(*plan);
    }
    let places: Vec<String> = (1..=COLUMNS.len()).map(|place| format!("${place}")).collect();
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let text = format!("insert into {} ({names}) values ({})", log.name, places.join(", "));
    let text = CString::new(text).map_err(|_| Error::MissingLog(log.name.clone()))?;
    let mut types = COLUMNS.map(|(_, type_oid)| type_oid);
    // SAFETY: SPI is connected per contract; the plan is kept beyond it.
    unsafe {
        let count = i32::try_from(types.len()).unwrap_or_default();
        let plan = pg_sys::SPI_prepare(text.as_ptr(), count, types.as_mut_ptr());
        if plan.is_null() {
            return Err(Error::Spi("preparing the insert into the audit log", pg_sys::SPI_result));
        }
        pg_sys::SPI_keepplan(plan);
        Ok(*log.insert.get_or_init(|| plan))
    }
}
