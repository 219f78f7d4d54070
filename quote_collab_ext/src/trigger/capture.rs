//! After each row: compares it before and after and notes what changed for the audit log.

#![expect(unsafe_code, reason = "reads PostgreSQL's tuples")]

use pgrx::pg_sys;
use quote_collab_core::change::Entity;
use uuid::Uuid;

use super::call::{Call, Operation};
use super::json;
use super::plan::Plan;
use super::row::Row;
use super::stamp::{changed_columns, version};
use crate::audit::{self, Field, Kind, Mint, RowChange};
use crate::error::Error;
use crate::{attribution, wakeup};

/// The trigger function.
///
/// # Safety
/// `fcinfo` must come from PostgreSQL's function manager.
pub unsafe fn capture(fcinfo: pg_sys::FunctionCallInfo) -> Result<pg_sys::Datum, Error> {
    const NAME: &str = "capture_quote_change";
    // SAFETY: per contract.
    let call = unsafe { Call::from_fcinfo(fcinfo) }.ok_or(Error::TriggerProtocol(NAME))?;
    let operation = call.row_operation().ok_or(Error::TriggerProtocol(NAME))?;
    if call.is_before() {
        return Err(Error::TriggerProtocol(NAME));
    }
    let plan = Plan::of(call)?;
    match operation {
        Operation::Insert => note_whole(&plan, call, Kind::Create, call.first_tuple())?,
        Operation::Delete => note_whole(&plan, call, Kind::Delete, call.first_tuple())?,
        Operation::Update => capture_update(&plan, call)?,
    }
    Ok(pg_sys::Datum::null())
}

fn capture_update(plan: &Plan, call: Call<'_>) -> Result<(), Error> {
    let descriptor = call.relation().rd_att;
    // SAFETY: both tuples are the relation's, alive during the call.
    let (old, new) =
        unsafe { (Row::deform(call.first_tuple(), descriptor), Row::deform(call.new_tuple(), descriptor)) };
    let changed = changed_columns(plan, &old, &new, |column| column.audited);
    if changed.is_empty() {
        return Ok(());
    }
    let roles = &plan.roles;
    let keys = [Some(roles.id), Some(roles.tenant), roles.quote];
    if changed.iter().any(|column| keys.contains(&Some(column.attnum))) {
        // The row went elsewhere: gone for those who saw it there, new for those who see it here.
        note_whole(plan, call, Kind::Delete, call.first_tuple())?;
        return note_whole(plan, call, Kind::Create, call.new_tuple());
    }
    let totals_changed =
        changed.iter().any(|column| roles.totals.iter().any(|(_, total)| *total == column.attnum));
    audit::note(|memory| {
        let fields = changed
            .iter()
            .map(|column| {
                // SAFETY: the values are of the column's type.
                let keep = |value| memory.keep(unsafe { column.to_jsonb.call(value) });
                Field {
                    name: column.name.clone(),
                    old: old.value(column.attnum).map(keep),
                    new: new.value(column.attnum).map(keep),
                }
            })
            .collect();
        let context = context(plan, &new, totals_changed).map(|object| memory.keep(object));
        let mut change = row_change(plan, call, Kind::Update, &new)?;
        change.version_before = i32::try_from(version(plan, &old)).ok();
        change.version_after = i32::try_from(version(plan, &new)).ok();
        Ok(RowChange { fields, context, ..change })
    })?;
    wakeup::at_commit();
    Ok(())
}

fn note_whole(plan: &Plan, call: Call<'_>, kind: Kind, tuple: pg_sys::HeapTuple) -> Result<(), Error> {
    let descriptor = call.relation().rd_att;
    // SAFETY: the tuple is the relation's, alive during the call.
    let row = unsafe { Row::deform(tuple, descriptor) };
    audit::note(|memory| {
        // SAFETY: a tuple of the relation as a datum of the relation's row type.
        let whole = memory
            .keep(unsafe { plan.row_to_jsonb.call(pg_sys::heap_copy_tuple_as_datum(tuple, descriptor)) });
        let context = context(plan, &row, false).map(|object| memory.keep(object));
        let mut change = row_change(plan, call, kind, &row)?;
        let at = i32::try_from(version(plan, &row)).ok();
        let (old, new) = match kind {
            Kind::Delete => (Some(whole), None),
            _ => (None, Some(whole)),
        };
        (change.version_before, change.version_after) = (old.and(at), new.and(at));
        Ok(RowChange { fields: vec![Field { name: "*".to_owned(), old, new }], context, ..change })
    })?;
    wakeup::at_commit();
    Ok(())
}

/// Keys and author of a change to `row`; versions, fields and context are the caller's.
fn row_change(plan: &Plan, call: Call<'_>, kind: Kind, row: &Row) -> Result<RowChange, Error> {
    let roles = &plan.roles;
    let id = row.key(plan, roles.id)?;
    let (quote, line) = match roles.quote {
        Some(quote) => (row.key(plan, quote)?, Some(id)),
        None => (id, None),
    };
    Ok(RowChange {
        log: std::rc::Rc::clone(&plan.log),
        mint: Mint::new(&plan.log),
        entity: plan.entity,
        kind,
        tenant: row.key(plan, roles.tenant)?,
        quote,
        line,
        actor: actor(plan, call, kind, row)?,
        session: attribution::current_session()?,
        version_before: None,
        version_after: None,
        fields: Vec::new(),
        context: None,
    })
}

/// Who: `app.current_user_id`, else `updated_by` as this very statement set it, else the configured system user. An
/// `updated_by` left over from an earlier change says nothing about this one.
fn actor(plan: &Plan, call: Call<'_>, kind: Kind, row: &Row) -> Result<Option<Uuid>, Error> {
    if let Some(user) = attribution::current_user()? {
        return Ok(Some(user));
    }
    let roles = &plan.roles;
    let named = |role: Option<i16>| role.and_then(|attnum| row.uuid(attnum));
    let from_row = match kind {
        Kind::Create => named(roles.updated_by).or_else(|| named(roles.created_by)),
        Kind::Update => named(roles.updated_by.filter(|attnum| call.assigns(*attnum))),
        Kind::Delete => None,
    };
    Ok(from_row.or(plan.system_user))
}

/// What a reader needs beside the changed fields: the line's number, or all totals when one of them changed.
fn context(plan: &Plan, row: &Row, totals_changed: bool) -> Option<pg_sys::Datum> {
    // Null for a null; nothing for what is no scalar.
    let member = |name: &'static str, attnum: i16| {
        let column = plan.column(attnum)?;
        match row.value(attnum) {
            None => Some((name, json::NULL)),
            // SAFETY: the value is of the column's type and lives as long as its row.
            Some(value) => unsafe { column.to_jsonb.scalar(value) }.map(|scalar| (name, scalar)),
        }
    };
    match plan.entity {
        // SAFETY: the row is alive.
        Entity::QuoteLine => unsafe {
            json::object(plan.roles.line_number.and_then(|attnum| member("line_number", attnum)))
        },
        // SAFETY: as above.
        Entity::Quote if totals_changed => unsafe {
            json::object(plan.roles.totals.iter().filter_map(|(name, attnum)| member(name, *attnum)))
        },
        Entity::Quote => None,
    }
}
