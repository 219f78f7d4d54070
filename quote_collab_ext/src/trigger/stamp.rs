//! Before update, for each row: version + 1 and `updated_at` when the row really changes.

#![expect(unsafe_code, reason = "builds PostgreSQL's tuples")]

use pgrx::{FromDatum, IntoDatum, pg_sys};
use quote_collab_core::change::Entity;

use super::call::{Call, Operation, replays};
use super::plan::{Column, Plan};
use super::row::Row;
use crate::error::Error;
use crate::hooks::statement;
use crate::identity::attribution;

/// The trigger function. A row that did not change keeps its version, unless the statement itself counts it up by one.
///
/// # Safety
/// `fcinfo` must come from PostgreSQL's function manager.
pub unsafe fn stamp(fcinfo: pg_sys::FunctionCallInfo) -> Result<pg_sys::Datum, Error> {
    const NAME: &str = "increment_quote_version";
    // SAFETY: per contract.
    let call = unsafe { Call::from_fcinfo(fcinfo) }.ok_or(Error::TriggerProtocol(NAME))?;
    if call.row_operation() != Some(Operation::Update) || !call.is_before() {
        return Err(Error::TriggerProtocol(NAME));
    }
    statement::fires_before();
    let plan = Plan::of(call)?;
    let (old, new) = (call.first_row(), call.new_row());
    let counts = |column: &&Column| column.audited && !column.generated;
    let changed = plan.columns.iter().filter(counts).any(|column| old.differs(&new, column));
    let stamps = Stamps::of(&plan, call, &old, &new, changed)?;
    if stamps.0.is_empty() {
        return Ok(pg_sys::Datum::from(call.new_tuple()));
    }
    // SAFETY: the row is in that tuple, and the values have the types of their columns.
    Ok(pg_sys::Datum::from(unsafe { new.with(&stamps.0, call.new_tuple(), call.relation().rd_att) }))
}

/// Columns to overwrite in the new row.
#[derive(Default)]
struct Stamps(Vec<(i16, pg_sys::Datum)>);

impl Stamps {
    fn of(plan: &Plan, call: Call<'_>, old: &Row<'_>, new: &Row<'_>, changed: bool) -> Result<Self, Error> {
        let mut stamps = Self::default();
        let roles = &plan.roles;
        let before = version(plan, old);
        let given = version(plan, new);
        let replays = replays();
        let next = match changed {
            // By the statement itself: an ORM that locks by the version goes on from there, and so does what is replayed, where nothing may be said to
            // be assigned, or raised behind the versions of an earlier life.
            false if given > before && (replays || call.assigns(roles.version)) => {
                let is_due = given == before + 1 || replays || leaves_former_life(plan, old, given);
                if is_due { given } else { before }
            }
            false => before,
            // A replayed change brings its version along; one that does not is counted here. So does what leaves an earlier life, where a trigger of the
            // ERP changed the row as well.
            true if given > before
                && (replays || call.assigns(roles.version) && leaves_former_life(plan, old, given)) =>
            {
                given
            }
            true => before.checked_add(1).ok_or(Error::VersionExhausted)?,
        };
        if next != given {
            stamps.push(roles.version, version_datum(plan, next)?);
        }
        if changed && !replays {
            if let Some(attnum) =
                roles.updated_at.filter(|attnum| !names_local_time(plan, call, old, new, *attnum))
            {
                stamps.push_now(plan, attnum);
            }
            // The column is ours, so that whoever saves a row as he read it names nobody by it.
            if let Some((attnum, user)) =
                roles.updated_by.filter(|_| roles.stamps_user).zip(attribution::current_user()?)
            {
                stamps.push(
                    attnum,
                    pgrx::Uuid::from_bytes(user.into_bytes()).into_datum().unwrap_or(pg_sys::Datum::null()),
                );
            }
        }
        Ok(stamps)
    }

    fn push(&mut self, attnum: i16, value: pg_sys::Datum) {
        self.0.push((attnum, value));
    }

    /// The transaction's time, in the column's type; a column of another type is the ERP's own affair.
    fn push_now(&mut self, plan: &Plan, attnum: i16) {
        // SAFETY: plain functions of a running transaction.
        let now = unsafe { pg_sys::GetCurrentTransactionStartTimestamp() };
        let now = pg_sys::Datum::from(now);
        let Some(column) = plan.column(attnum) else { return };
        let (time, to_precision) = match column.type_oid {
            pg_sys::TIMESTAMPTZOID => (now, pg_sys::F_TIMESTAMPTZ_TIMESTAMPTZ_INT4),
            pg_sys::TIMESTAMPOID => {
                let to_local = pg_sys::Oid::from(pg_sys::F_TIMESTAMP_TIMESTAMPTZ);
                // SAFETY: timestamp(timestamptz) takes one timestamptz.
                let local = unsafe { pg_sys::OidFunctionCall1Coll(to_local, pg_sys::InvalidOid, now) };
                (local, pg_sys::F_TIMESTAMP_TIMESTAMP_INT4)
            }
            _ => return,
        };
        let time = if column.precision < 0 {
            time
        } else {
            let precision = pg_sys::Datum::from(column.precision);
            // SAFETY: these functions take a time of that type and its precision.
            unsafe {
                pg_sys::OidFunctionCall2Coll(
                    pg_sys::Oid::from(to_precision),
                    pg_sys::InvalidOid,
                    time,
                    precision,
                )
            }
        };
        self.push(attnum, time);
    }
}

/// Whether the statement itself sets a time without time zone: in the zone that its author keeps such times in, which may be another than
/// this session's.
fn names_local_time(plan: &Plan, call: Call<'_>, old: &Row<'_>, new: &Row<'_>, attnum: i16) -> bool {
    let is_local = |column: &Column| column.type_oid == pg_sys::TIMESTAMPOID && old.differs(new, column);
    call.assigns(attnum) && new.value(attnum).is_some() && plan.column(attnum).is_some_and(is_local)
}

/// Whether a version is the first that a row has not had in an earlier life.
fn leaves_former_life(plan: &Plan, row: &Row<'_>, version: i64) -> bool {
    let former = plan.log.former().zip(row.uuid(plan.roles.id));
    former.and_then(|(former, id)| former.version(id, plan.entity == Entity::QuoteLine)) == Some(version - 1)
}

/// The version of a row; 0 when null.
pub fn version(plan: &Plan, row: &Row<'_>) -> i64 {
    let Some(datum) = row.value(plan.roles.version) else { return 0 };
    // SAFETY: decodes a datum of the type that its length says: smallint, integer or bigint.
    unsafe {
        match plan.column(plan.roles.version).map(|column| column.length) {
            Some(2) => i16::from_datum(datum, false).map(i64::from),
            Some(4) => i32::from_datum(datum, false).map(i64::from),
            _ => i64::from_datum(datum, false),
        }
    }
    .unwrap_or_default()
}

fn version_datum(plan: &Plan, version: i64) -> Result<pg_sys::Datum, Error> {
    let exhausted = |_| Error::VersionExhausted;
    Ok(match plan.column(plan.roles.version).map(|column| column.length) {
        Some(2) => pg_sys::Datum::from(i16::try_from(version).map_err(exhausted)?),
        Some(4) => pg_sys::Datum::from(i32::try_from(version).map_err(exhausted)?),
        _ => pg_sys::Datum::from(version),
    })
}
