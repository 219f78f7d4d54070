//! Writes row changes into the audit log with one INSERT, as the log's owner: a writer of quotes needs no rights on the
//! log, and the row security forced on the log does not refuse a DBA's repair.

#![expect(unsafe_code, reason = "PostgreSQL's server programming interface")]

use std::ffi::CString;

use pgrx::{IntoDatum, pg_sys};
use quote_collab_core::change::Entity;

use super::{Log, Mint, RowChange};
use crate::error::Error;

/// Writes the rows of `changes`, which all go to one log.
pub fn insert(changes: &[RowChange]) -> Result<(), Error> {
    let Some(first) = changes.first() else { return Ok(()) };
    let _owner = ActingOwner::begin(first.log.owner);
    // SAFETY: connect and finish are paired; an ERROR between them ends the (sub)transaction, which cleans up.
    unsafe {
        let connected = pg_sys::SPI_connect();
        if connected != pg_sys::SPI_OK_CONNECT as i32 {
            return Err(Error::Audit("connecting", connected));
        }
        let plan = prepared(&first.log)?;
        let mut values = arguments(changes);
        let done = pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), std::ptr::null(), false, 0);
        if done != pg_sys::SPI_OK_INSERT as i32 {
            return Err(Error::Audit("inserting", done));
        }
        pg_sys::SPI_finish();
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
    let text = CString::new(format!(
        "insert into {} (id, tenant_id, quote_id, quote_line_id, changed_by, session_id, event_id, changed_at, \
         entity_type, change_type, field_name, old_value, new_value, context, entity_version_before, \
         entity_version_after, position, was_conflict, xid, origin) \
         select u.*, false, pg_catalog.pg_current_xact_id(), $18 from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
         $11, $12, $13, $14, $15, $16, $17) u",
        log.name
    ))
    .map_err(|_| Error::MissingLog(log.name.clone()))?;
    let mut types = TYPES;
    // SAFETY: SPI is connected per contract; the plan is kept beyond it.
    unsafe {
        let plan = pg_sys::SPI_prepare(text.as_ptr(), types.len() as i32, types.as_mut_ptr());
        if plan.is_null() {
            return Err(Error::Audit("preparing", pg_sys::SPI_result));
        }
        pg_sys::SPI_keepplan(plan);
        Ok(*log.insert.get_or_init(|| plan))
    }
}

const TYPES: [pg_sys::Oid; 18] = [
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::UUIDARRAYOID,
    pg_sys::TIMESTAMPTZARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::TEXTARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::JSONBARRAYOID,
    pg_sys::INT4ARRAYOID,
    pg_sys::INT4ARRAYOID,
    pg_sys::INT8ARRAYOID,
    pg_sys::INT8OID,
];

/// The columns of the rows, as the arrays that the prepared INSERT takes.
fn arguments(changes: &[RowChange]) -> Vec<pg_sys::Datum> {
    let mut columns: [Vec<Option<pg_sys::Datum>>; 17] = Default::default();
    let uuid = |id: uuid::Uuid| pgrx::Uuid::from_bytes(id.into_bytes()).into_datum();
    for change in changes {
        let mint = &change.mint;
        for (index, field) in change.fields.iter().enumerate() {
            let row = [
                uuid(uuid::Uuid::now_v7()),
                uuid(change.tenant),
                uuid(change.quote),
                change.line.and_then(uuid),
                change.actor.and_then(uuid),
                change.session.and_then(uuid),
                uuid(mint.event_id),
                Some(pg_sys::Datum::from(mint.at)),
                entity_word(change.entity).into_datum(),
                change.kind.word().into_datum(),
                field.name.as_str().into_datum(),
                field.old,
                field.new,
                change.context.filter(|_| index == 0),
                change.version_before.map(pg_sys::Datum::from),
                change.version_after.map(pg_sys::Datum::from),
                Some(pg_sys::Datum::from(mint.position)),
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
    }
    // SAFETY: each column's values are of its element type.
    let mut values: Vec<pg_sys::Datum> =
        columns.iter().zip(TYPES).map(|(column, array_type)| unsafe { array(column, array_type) }).collect();
    // SAFETY: reads the control data of this cluster.
    values.push(pg_sys::Datum::from(unsafe { pg_sys::GetSystemIdentifier() }.cast_signed()));
    values
}

impl Mint {
    /// Names a row change that is being made. The row's lock is held until commit, so that positions of one row ascend
    /// with its versions.
    pub fn new(log: &Log) -> Self {
        let _owner = ActingOwner::begin(log.owner);
        // SAFETY: the clock and the sequence of this database, inside a transaction, as the sequence's owner.
        let (at, position) = unsafe { (pg_sys::GetCurrentTimestamp(), next_value(log.sequence)) };
        Self { event_id: uuid::Uuid::now_v7(), at, position }
    }
}

fn entity_word(entity: Entity) -> &'static str {
    match entity {
        Entity::Quote => "QUOTE",
        Entity::QuoteLine => "QUOTE_LINE",
    }
}

/// # Safety
/// `sequence` must be a sequence that the acting user may use, inside a transaction.
unsafe fn next_value(sequence: pg_sys::Oid) -> i64 {
    // SAFETY: nextval(regclass) takes the oid of a sequence.
    unsafe { pg_sys::OidFunctionCall1Coll(pg_sys::Oid::from(pg_sys::F_NEXTVAL), pg_sys::InvalidOid, pg_sys::Datum::from(sequence)) }.value() as i64
}

/// # Safety
/// The values must be of the element type of `array_type`, one of [`TYPES`].
unsafe fn array(column: &[Option<pg_sys::Datum>], array_type: pg_sys::Oid) -> pg_sys::Datum {
    let (element, length, by_value, align) = match array_type {
        pg_sys::UUIDARRAYOID => (pg_sys::UUIDOID, 16, false, b'c'),
        pg_sys::TIMESTAMPTZARRAYOID => (pg_sys::TIMESTAMPTZOID, 8, true, b'd'),
        pg_sys::INT4ARRAYOID => (pg_sys::INT4OID, 4, true, b'i'),
        pg_sys::INT8ARRAYOID => (pg_sys::INT8OID, 8, true, b'd'),
        pg_sys::JSONBARRAYOID => (pg_sys::JSONBOID, -1, false, b'i'),
        _ => (pg_sys::TEXTOID, -1, false, b'i'),
    };
    let mut values: Vec<pg_sys::Datum> = column.iter().map(|value| value.unwrap_or(pg_sys::Datum::null())).collect();
    let mut nulls: Vec<bool> = column.iter().map(Option::is_none).collect();
    let mut dimension = i32::try_from(column.len()).unwrap_or_default();
    let mut lower = 1;
    // SAFETY: per contract; one dimension with as many elements as the arrays have.
    unsafe {
        pg_sys::Datum::from(pg_sys::construct_md_array(
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            &raw mut dimension,
            &raw mut lower,
            element,
            length,
            by_value,
            align.cast_signed(),
        ))
    }
}
