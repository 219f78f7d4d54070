//! After each row: compares it before and after and notes what changed for the audit log.

#![expect(unsafe_code, reason = "reads PostgreSQL's tuples")]

use std::rc::Rc;

use pgrx::pg_sys;
use quote_collab_core::change::Entity;
use quote_collab_core::jsonb::Value;
use uuid::Uuid;

use super::call::{Call, Operation, replays};
use super::plan::{Column, Plan};
use super::roles::Roles;
use super::row::Row;
use super::stamp::version;
use crate::audit::{self, Field, Kind, Memory, Mint, RowChange};
use crate::error::Error;
use crate::identity::attribution;
use crate::wakeup;

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
        Operation::Insert => note_whole(&plan, call, Kind::Create, &call.first_row(), None)?,
        Operation::Delete => note_whole(&plan, call, Kind::Delete, &call.first_row(), None)?,
        Operation::Update => capture_update(&plan, call)?,
    }
    Ok(pg_sys::Datum::null())
}

fn capture_update(plan: &Plan, call: Call<'_>) -> Result<(), Error> {
    let (old, new) = (call.first_row(), call.new_row());
    let audited = plan.columns.iter().filter(|column| column.audited);
    let changed: Vec<&Column> = audited.filter(|column| old.differs(&new, column)).collect();
    // What PostgreSQL generates follows from other columns: where none of those counts, nothing has changed.
    let roles = &plan.roles;
    if changed.iter().all(|column| column.generated) {
        if let Some(id) = new.uuid(roles.id) {
            audit::pass_over((plan.entity, id), call.command(), call.command_before());
        }
        return Ok(());
    }
    let keys = [Some(roles.id), Some(roles.tenant), roles.quote];
    if changed.iter().any(|column| keys.contains(&Some(column.attnum))) {
        // The row went elsewhere: gone for those who saw it there, new for those who see it here.
        note_whole(plan, call, Kind::Delete, &old, None)?;
        return note_whole(plan, call, Kind::Create, &new, old.uuid(roles.id));
    }
    let Some(keys) = Keys::of(roles, &new) else { return Ok(()) };
    let totals_changed =
        changed.iter().any(|column| roles.totals.iter().any(|(_, total)| *total == column.attnum));
    audit::note(|memory| {
        let fields = changed
            .iter()
            .map(|column| {
                let keep = |row: &Row<'_>| {
                    let value = column_value(column, row.value(column.attnum))?;
                    value.map(|value| memory.keep(value)).transpose()
                };
                // What was there before the table was attached may be larger than any history: it must not stay for that.
                let old = match keep(&old) {
                    Err(Error::TooLarge) => None,
                    old => old?,
                };
                Ok(Field { name: Rc::clone(&column.stored_name), old, new: keep(&new)? })
            })
            .collect::<Result<_, Error>>()?;
        let mut context = context(plan, &new, totals_changed);
        let told = [("named", roles.named.stored(&changed)), ("roles", roles.renamed.stored(&changed))];
        let told = told.iter().filter(|(_, stored)| !stored.is_empty());
        // Shorter than the name of any total, hence before it.
        context.splice(0..0, told.map(|(name, stored)| (*name, Value::Container(stored))));
        let context = memory.keep_object(&context)?;
        let mut change = row_change(plan, call, Kind::Update, &new, keys, memory)?;
        change.version_before = i32::try_from(version(plan, &old)).ok();
        change.version_after = i32::try_from(version(plan, &new)).ok();
        Ok(RowChange { fields, context, ..change })
    })?;
    wakeup::at_commit();
    Ok(())
}

/// A value of a column as jsonb; `None` for SQL null.
fn column_value<'a>(column: &Column, value: Option<pg_sys::Datum>) -> Result<Option<Value<'a>>, Error> {
    // SAFETY: the rows that values are taken from here live as long as the trigger call, and so does its memory context.
    value.map(|value| unsafe { column.to_jsonb.value(value) }).transpose()
}

/// To whom a row belongs.
#[derive(Clone, Copy)]
struct Keys {
    tenant: Uuid,
    quote: Uuid,
    line: Option<Uuid>,
}

impl Keys {
    /// `None` for a row that belongs to nobody, or to no quote: a key is null. It has no history while that is so; being
    /// given its keys creates it, and losing one deletes it.
    fn of(roles: &Roles, row: &Row<'_>) -> Option<Self> {
        let (tenant, id) = (row.uuid(roles.tenant)?, row.uuid(roles.id)?);
        let (quote, line) = match roles.quote {
            Some(quote) => (row.uuid(quote)?, Some(id)),
            None => (id, None),
        };
        Some(Self { tenant, quote, line })
    }
}

/// The columns of a row by name, in the order of jsonb. One that no jsonb holds does not keep its row from being deleted: it is left out.
fn members<'a>(plan: &'a Plan, kind: Kind, row: &Row<'_>) -> Result<Vec<(&'a str, Value<'a>)>, Error> {
    let mut members = Vec::with_capacity(plan.by_name.len());
    for column in plan.by_name.iter().map(|place| &plan.columns[*place]) {
        match column_value(column, row.value(column.attnum)) {
            Err(Error::TooLarge) if kind == Kind::Delete => {}
            value => members.push((column.name.as_str(), value?.unwrap_or(Value::Null))),
        }
    }
    Ok(members)
}

/// Bytes of a value beyond which it is left out of what is told of a deleted row that no jsonb would hold.
const LARGE: usize = 1 << 20;

/// `former_id`: under which a row that begins here was there before.
fn note_whole(
    plan: &Plan,
    call: Call<'_>,
    kind: Kind,
    row: &Row<'_>,
    former_id: Option<Uuid>,
) -> Result<(), Error> {
    let Some(keys) = Keys::of(&plan.roles, row) else { return Ok(()) };
    audit::note(|memory| {
        let mut members = members(plan, kind, row)?;
        let whole = match memory.keep_object(&members) {
            // It grew field by field, and each is in the history. A row must not be kept because it is too large to be told: what makes it
            // so is left out.
            Err(Error::TooLarge) if kind == Kind::Delete => {
                members.retain(|(_, value)| value.size() <= LARGE);
                match memory.keep_object(&members) {
                    Err(Error::TooLarge) => None,
                    kept => kept?,
                }
            }
            whole => whole?,
        };
        let context = memory.keep_object(&context(plan, row, false))?;
        let mut change = row_change(plan, call, kind, row, keys, memory)?;
        let last = version(plan, row);
        let at = i32::try_from(last).ok();
        let (old, new) = match kind {
            Kind::Delete => (whole, None),
            _ => (None, whole),
        };
        (change.version_before, change.version_after, change.last_version) = match kind {
            Kind::Delete => (at, None, Some(last)),
            _ => (None, at, None),
        };
        Ok(RowChange {
            fields: vec![Field { name: Rc::clone(&plan.whole_row), old, new }],
            former_id,
            is_checked_late: plan.is_checked_late,
            context,
            ..change
        })
    })?;
    wakeup::at_commit();
    Ok(())
}

/// Keys and author of a change to `row`; versions, fields and context are the caller's.
fn row_change(
    plan: &Plan,
    call: Call<'_>,
    kind: Kind,
    row: &Row<'_>,
    Keys { tenant, quote, line }: Keys,
    memory: &Memory,
) -> Result<RowChange, Error> {
    Ok(RowChange {
        memory: memory.clone(),
        log: Rc::clone(&plan.log),
        mint: Mint::new(&plan.log),
        entity: plan.entity,
        kind,
        tenant,
        quote,
        line,
        former_id: None,
        is_checked_late: false,
        actor: actor(plan, call, kind, row)?,
        session: attribution::current_session()?,
        version_before: None,
        version_after: None,
        last_version: None,
        command: call.command(),
        stands_on: if kind == Kind::Create { None } else { call.command_before() },
        fields: Vec::new(),
        context: None,
    })
}

/// Who: the verified user, else `app.current_user_id`, else `updated_by` as this very statement, or a trigger in it, set it, else the
/// configured system user. An `updated_by` left over from an earlier change says nothing about this one.
fn actor(plan: &Plan, call: Call<'_>, kind: Kind, row: &Row<'_>) -> Result<Option<Uuid>, Error> {
    if let Some(user) = attribution::current_user()? {
        return Ok(Some(user));
    }
    let roles = &plan.roles;
    let named = |role: Option<i16>| role.and_then(|attnum| row.uuid(attnum));
    let from_row = match kind {
        Kind::Create => named(roles.updated_by).or_else(|| named(roles.created_by)),
        // Another value was set by somebody, also by a trigger of the ERP, or by who applies what another server did and says not what he assigns.
        // The same one may be meant, but not in the column that attach added, which is ours: whoever saves a row as he read it names nobody
        // by it. Nor does whoever replays, who assigns all columns.
        Kind::Update => named(roles.updated_by.filter(|attnum| {
            call.first_row().uuid(*attnum) != call.new_row().uuid(*attnum)
                || plan.naming_author.iter().any(|attnum| call.assigns(*attnum))
                    && !(roles.stamps_user || replays())
        })),
        Kind::Delete => None,
    };
    Ok(from_row.or(plan.system_user))
}

/// What a reader needs beside the changed fields: the line's number, or all totals when one of them changed.
fn context<'a>(plan: &Plan, row: &Row<'_>, totals_changed: bool) -> Vec<(&'static str, Value<'a>)> {
    let member = |(name, attnum): (&'static str, i16)| {
        let value = column_value(plan.column(attnum)?, row.value(attnum)).ok()?.unwrap_or(Value::Null);
        (!matches!(value, Value::Container(_))).then_some((name, value))
    };
    match plan.entity {
        Entity::QuoteLine => plan
            .roles
            .line_number
            .map(|attnum| ("line_number", attnum))
            .into_iter()
            .filter_map(member)
            .collect(),
        Entity::Quote if totals_changed => plan.roles.totals.iter().copied().filter_map(member).collect(),
        Entity::Quote => Vec::new(),
    }
}
