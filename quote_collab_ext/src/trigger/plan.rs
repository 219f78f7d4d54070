//! What a trigger needs to know of its table, worked out once per backend and again when PostgreSQL says that the table
//! changed: a column that is added, dropped, renamed or retyped is noticed with the next row.

#![expect(unsafe_code, reason = "reads PostgreSQL's catalog structures")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;
use std::rc::Rc;

use pgrx::pg_sys;
use quote_collab_core::arguments::Arguments;
use quote_collab_core::change::{Entity, WHOLE_ROW};

use super::call::Call;
use super::generated;
use super::json::ToJsonb;
use super::roles::Roles;
use crate::audit::{self, Log};
use crate::error::Error;
use crate::memory;

/// A column of the table.
pub struct Column {
    pub attnum: i16,
    pub name: String,
    /// The name as a datum of type text.
    pub stored_name: Rc<[u8]>,
    pub type_oid: pg_sys::Oid,
    /// The type below a domain.
    pub base_type: pg_sys::Oid,
    pub by_value: bool,
    pub length: i16,
    /// Digits of a time's fraction and the like, as the type counts them; negative for none in particular.
    pub precision: i32,
    /// Its change is a change of the row.
    pub audited: bool,
    /// Computed after the before-triggers ran: not to be compared there.
    pub generated: bool,
    pub to_jsonb: ToJsonb,
}

/// Everything a trigger call needs beside the row.
pub struct Plan {
    pub entity: Entity,
    pub columns: Vec<Column>,
    pub roles: Roles,
    /// Places in `columns`, in the order in which jsonb keeps the members of an object.
    pub by_name: Vec<usize>,
    /// `*` as a datum of type text.
    pub whole_row: Rc<[u8]>,
    pub log: Rc<Log>,
    pub system_user: Option<uuid::Uuid>,
    /// Whoever assigns one of these names the author: `updated_by`, or what it is generated of. PostgreSQL counts every generated
    /// column among those that an UPDATE assigns.
    pub naming_author: Vec<i16>,
    /// Whether two rows may have one id in the middle of a statement.
    pub is_checked_late: bool,
    relation: pg_sys::Oid,
    /// Where the prepared functions live.
    _memory: memory::Owned,
}

thread_local! {
    static PLANS: RefCell<HashMap<pg_sys::Oid, Rc<Plan>>> = RefCell::new(HashMap::new());
}

/// A table has changed, or all may have, with none named.
pub fn forget(relation: pg_sys::Oid) {
    // A borrow can only be held while a plan is looked up, stored or taken out, which runs no PostgreSQL code; dropping one does.
    let gone: Vec<_> = PLANS.with_borrow_mut(|plans| {
        let is_gone = |plan: &Plan| {
            relation == pg_sys::InvalidOid || plan.relation == relation || plan.log.relation == relation
        };
        plans.extract_if(|_, plan| is_gone(plan)).collect()
    });
    drop(gone);
}

impl Plan {
    /// The plan of the trigger that fired.
    pub fn of(call: Call<'_>) -> Result<Rc<Self>, Error> {
        let key = call.trigger().tgoid;
        if let Some(plan) = PLANS.with_borrow(|plans| plans.get(&key).cloned()) {
            return Ok(plan);
        }
        let plan = Rc::new(Self::compile(call)?);
        PLANS.with_borrow_mut(|plans| plans.insert(key, Rc::clone(&plan)));
        Ok(plan)
    }

    fn compile(call: Call<'_>) -> Result<Self, Error> {
        let relation = call.relation();
        let arguments = arguments(call.trigger())?;
        let memory = memory::Owned::new(c"quote_collab trigger plan");
        let columns = columns(relation.rd_att, &arguments, &memory);
        let entity = match arguments.one("entity") {
            Some("QUOTE") => Entity::Quote,
            Some("QUOTE_LINE") => Entity::QuoteLine,
            _ => return Err(Error::TriggerArgument("entity")),
        };
        let mut by_name: Vec<usize> = (0..columns.len()).collect();
        by_name.sort_by_key(|place| (columns[*place].name.len(), columns[*place].name.as_bytes()));
        let roles = Roles::of(entity, &arguments, &columns)?;
        let is_generated = |attnum| columns.iter().any(|column| column.attnum == attnum && column.generated);
        let naming_author = match roles.updated_by {
            // SAFETY: the executor holds the relation open and locked; what its descriptor says of the column was just read.
            Some(attnum) if is_generated(attnum) => unsafe { generated::sources(relation, attnum) },
            named => named.into_iter().collect(),
        };
        Ok(Self {
            entity,
            naming_author,
            // SAFETY: the executor holds the relation open and locked.
            is_checked_late: !unsafe { is_unique_at_once(call.relation(), roles.id) },
            roles,
            columns,
            by_name,
            whole_row: audit::text(WHOLE_ROW),
            log: Log::find(
                arguments.one("log").ok_or(Error::TriggerArgument("log"))?,
                call.trigger().tgfoid,
            )?,
            system_user: arguments.one("system_user").and_then(|user| user.parse().ok()),
            relation: relation.rd_id,
            _memory: memory,
        })
    }

    /// A column by attribute number.
    pub fn column(&self, attnum: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.attnum == attnum)
    }
}

/// Whether an index refuses a second row with the value of this column at once.
///
/// # Safety
/// The relation must be open and locked.
unsafe fn is_unique_at_once(relation: &pg_sys::RelationData, attnum: i16) -> bool {
    // SAFETY: per contract; PostgreSQL only reads the relation. The look-up in its catalog keeps the row until it is released.
    unsafe {
        let indexes = pg_sys::RelationGetIndexList(std::ptr::from_ref(relation).cast_mut());
        let indexes = pgrx::PgList::<std::ffi::c_void>::from_pg(indexes);
        let indexes_by_oid = pg_sys::SysCacheIdentifier::INDEXRELID.cast_signed();
        indexes.iter_oid().any(|oid| {
            let index = pg_sys::SearchSysCache1(indexes_by_oid, oid.into());
            if index.is_null() {
                return false;
            }
            #[expect(clippy::cast_ptr_alignment, reason = "PostgreSQL aligns what follows a tuple's header")]
            let form = &*pg_sys::GETSTRUCT(index).cast::<pg_sys::FormData_pg_index>();
            let is_of_this = form.indnkeyatts == 1 && form.indkey.values.as_slice(1)[0] == attnum;
            let predicate = pg_sys::Anum_pg_index_indpred.cast_signed();
            let is_whole = pg_sys::heap_attisnull(index, predicate, std::ptr::null_mut());
            let refuses = form.indisunique && form.indimmediate && form.indisvalid && is_of_this && is_whole;
            pg_sys::ReleaseSysCache(index);
            refuses
        })
    }
}

fn arguments(trigger: &pg_sys::Trigger) -> Result<Arguments, Error> {
    let count = usize::try_from(trigger.tgnargs).unwrap_or_default();
    // SAFETY: tgargs has tgnargs C strings.
    let texts =
        (0..count).map(|index| unsafe { CStr::from_ptr(*trigger.tgargs.add(index)) }.to_string_lossy());
    Arguments::parse(texts).ok_or(Error::TriggerArgument("arguments"))
}

fn columns(descriptor: pg_sys::TupleDesc, arguments: &Arguments, memory: &memory::Owned) -> Vec<Column> {
    // SAFETY: the descriptor of an open relation, with natts attributes behind it.
    let attributes = unsafe { pgrx::PgTupleDesc::from_pg_unchecked(descriptor) };
    attributes
        .iter()
        // What is worked out when it is read is nowhere in the row.
        .filter(|attribute| !attribute.attisdropped && attribute.attgenerated != b'v'.cast_signed())
        .map(|attribute| {
            let name = attribute.name().to_owned();
            Column {
                attnum: attribute.attnum,
                type_oid: attribute.atttypid,
                // SAFETY: a catalog look-up for a type that a column has.
                base_type: unsafe { pg_sys::getBaseType(attribute.atttypid) },
                by_value: attribute.attbyval,
                length: attribute.attlen,
                precision: attribute.atttypmod,
                audited: !arguments.all("ignore").any(|ignored| ignored == name),
                generated: attribute.attgenerated != 0,
                // SAFETY: the plan keeps the context beside the columns.
                to_jsonb: unsafe { ToJsonb::new(attribute.atttypid, memory.context()) },
                stored_name: audit::text(&name),
                name,
            }
        })
        .collect()
}
