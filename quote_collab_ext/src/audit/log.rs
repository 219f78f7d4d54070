//! The table that a trigger writes to.

#![expect(unsafe_code, reason = "PostgreSQL's catalog look-ups")]

use std::cell::{Cell, OnceCell};
use std::ffi::CString;
use std::rc::Rc;

use pgrx::pg_sys;

use super::former::Former;
use super::partition::Month;
use super::spi::Prepared;
use crate::error::Error;

/// Columns of the log in their order, and their types; a log that looks otherwise is written by SQL, not directly.
pub const COLUMNS: [(&str, pg_sys::Oid); 21] = [
    ("id", pg_sys::UUIDOID),
    ("tenant_id", pg_sys::UUIDOID),
    ("quote_id", pg_sys::UUIDOID),
    ("quote_line_id", pg_sys::UUIDOID),
    ("changed_by", pg_sys::UUIDOID),
    ("changed_at", pg_sys::TIMESTAMPTZOID),
    ("entity_type", pg_sys::VARCHAROID),
    ("field_name", pg_sys::VARCHAROID),
    ("old_value", pg_sys::JSONBOID),
    ("new_value", pg_sys::JSONBOID),
    ("change_type", pg_sys::VARCHAROID),
    ("session_id", pg_sys::UUIDOID),
    ("was_conflict", pg_sys::BOOLOID),
    ("conflict_resolution", pg_sys::VARCHAROID),
    ("entity_version_before", pg_sys::INT4OID),
    ("entity_version_after", pg_sys::INT4OID),
    ("event_id", pg_sys::UUIDOID),
    ("position", pg_sys::INT8OID),
    ("xid", pg_sys::XID8OID),
    ("origin", pg_sys::INT8OID),
    ("context", pg_sys::JSONBOID),
];

/// Places in [`COLUMNS`] of those that may be null.
pub const NULLABLE: [usize; 9] = [3, 4, 8, 9, 11, 13, 14, 15, 20];

/// An audit log, found by name once per trigger plan.
pub struct Log {
    pub relation: pg_sys::Oid,
    pub owner: pg_sys::Oid,
    /// `schema.table`, quoted.
    pub name: String,
    pub sequence: pg_sys::Oid,
    /// The prepared INSERT, kept for the life of the plan.
    pub insert: OnceCell<Prepared>,
    /// Function of the extension whose trigger writes here.
    function: pg_sys::Oid,
    former: OnceCell<Former>,
    /// Somebody put a trigger on the log itself that an INSERT fires: only SQL does.
    pub has_triggers: bool,
    /// The partition of the month that was written last.
    pub month: Cell<Option<Month>>,
}

impl Log {
    /// Finds a log by its quoted, schema-qualified name, for a trigger that calls this function of the extension.
    pub fn find(name: &str, function: pg_sys::Oid) -> Result<Rc<Self>, Error> {
        let find = |name: &str| relation(name).ok_or_else(|| Error::MissingLog(name.to_owned()));
        let relation = find(name)?;
        // The sequence stands beside the table under a fixed name, in the same quoting.
        let schema = name.strip_suffix(".quote_changes").ok_or_else(|| Error::MissingLog(name.to_owned()))?;
        let sequence = find(&format!("{schema}.quote_changes_position_seq"))?;
        let (owner, has_triggers) = owner_and_triggers(relation);
        Ok(Rc::new(Self {
            relation,
            owner,
            has_triggers,
            name: name.to_owned(),
            sequence,
            insert: OnceCell::new(),
            function,
            former: OnceCell::new(),
            month: Cell::new(None),
        }))
    }

    /// Where the last versions of deleted rows are kept; `None` as long as the extension's SQL is of a release before.
    pub fn former(&self) -> Option<&Former> {
        match self.former.get() {
            None => Former::beside(self.function).map(|former| self.former.get_or_init(|| former)),
            found => found,
        }
    }
}

/// The relation of a schema-qualified name: a schema as `quote_ident` gives it, and a name of ours. Nobody is asked for rights
/// on the schema: whoever may write a quote leaves a history, wherever it is kept.
pub fn relation(name: &str) -> Option<pg_sys::Oid> {
    let (schema, table) = name.rsplit_once('.')?;
    let unquoted = match schema.strip_prefix('"').and_then(|schema| schema.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => schema.to_owned(),
    };
    let (schema, table) = (CString::new(unquoted).ok()?, CString::new(table).ok()?);
    // SAFETY: look-ups in the catalogs by live C strings, inside a transaction.
    let oid = unsafe {
        let namespace = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        pg_sys::get_relname_relid(table.as_ptr(), namespace)
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// Who owns a relation, and whether somebody put triggers on it that an INSERT fires.
fn owner_and_triggers(relation: pg_sys::Oid) -> (pg_sys::Oid, bool) {
    // SAFETY: the relation exists; opening it without a lock of our own is safe because the caller's statement fires
    // its trigger, and what is wanted is read at once. PostgreSQL tells when it changes: then the log is found anew.
    unsafe {
        let opened = pg_sys::RelationIdGetRelation(relation);
        if opened.is_null() {
            return (pg_sys::InvalidOid, false);
        }
        let found = ((*(*opened).rd_rel).relowner, fires_on_insert(opened));
        pg_sys::RelationClose(opened);
        found
    }
}

/// Whether an INSERT into a relation fires a trigger.
///
/// # Safety
/// `relation` must be open.
pub unsafe fn fires_on_insert(relation: pg_sys::Relation) -> bool {
    // SAFETY: per contract; the description of its triggers lives as long, where it has one.
    unsafe { (*relation).trigdesc.as_ref() }.is_some_and(|triggers| {
        triggers.trig_insert_before_row
            || triggers.trig_insert_after_row
            || triggers.trig_insert_instead_row
            || triggers.trig_insert_before_statement
            || triggers.trig_insert_after_statement
    })
}
