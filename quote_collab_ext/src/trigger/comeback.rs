//! A row that was deleted comes back under its id: it goes on behind the last version that it had.
//!
//! Told apart when the row is there: before that, whoever deleted it may not have committed yet. So the version is raised by an UPDATE,
//! as the owner of the table; RETURNING has given the one before.

#![expect(unsafe_code, reason = "PostgreSQL's server programming interface")]

use std::cell::Cell;

use pgrx::{IntoDatum, pg_sys};
use quote_collab_core::change::Entity;
use uuid::Uuid;

use super::call::Call;
use super::plan::Plan;
use super::row::Row;
use super::stamp::version;
use crate::audit::spi;
use crate::error::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Raise {
    relation: pg_sys::Oid,
    row: Uuid,
    to: i64,
}

thread_local! {
    /// What is being raised, for the trigger that stamps versions.
    static RAISED: Cell<Option<Raise>> = const { Cell::new(None) };
}

/// Raises the version of a row that was inserted, where it had that version or a later one in an earlier life; the version it has now.
pub fn raise(plan: &Plan, call: Call<'_>, row: &Row<'_>) -> Result<Option<i64>, Error> {
    let Some((former, id)) = plan.log.former.as_ref().zip(row.uuid(plan.roles.id)) else { return Ok(None) };
    let Some(last) =
        former.version(id, plan.entity == Entity::QuoteLine).filter(|last| *last >= version(plan, row))
    else {
        return Ok(None);
    };
    let to = last.checked_add(1).ok_or(Error::VersionExhausted)?;
    let relation = call.relation();
    // SAFETY: an open relation has a row in pg_class.
    let owner = unsafe { (*relation.rd_rel).relowner };
    let _raising = Raising(RAISED.replace(Some(Raise { relation: relation.rd_id, row: id, to })));
    spi::as_owner(owner, || update(plan, relation.rd_id, id, to))?;
    Ok(Some(to))
}

/// Puts back what was being raised before, also when an ERROR ends it.
struct Raising(Option<Raise>);

impl Drop for Raising {
    fn drop(&mut self) {
        RAISED.set(self.0);
    }
}

/// The version that this row is being given, if it is.
pub fn raised(plan: &Plan, call: Call<'_>, row: &Row<'_>) -> Option<i64> {
    let raise = RAISED.get().filter(|raise| raise.relation == call.relation().rd_id)?;
    (row.uuid(plan.roles.id) == Some(raise.row)).then_some(raise.to)
}

fn update(plan: &Plan, relation: pg_sys::Oid, row: Uuid, to: i64) -> Result<(), Error> {
    let column = |attnum| plan.column(attnum).map_or_else(String::new, |column| spi::quoted(&column.name));
    let text = format!(
        "update only {} set {} = $2 where {} operator(pg_catalog.=) $1",
        spi::qualified_name(relation),
        column(plan.roles.version),
        column(plan.roles.id)
    );
    let values = [pgrx::Uuid::from_bytes(row.into_bytes()).into_datum(), to.into_datum()];
    spi::update(
        &text,
        [pg_sys::UUIDOID, pg_sys::INT8OID],
        values.map(|value| value.unwrap_or(pg_sys::Datum::null())),
    )
}
