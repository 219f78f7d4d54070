//! One call of a trigger, checked against the trigger protocol.

#![expect(unsafe_code, reason = "reads PostgreSQL's trigger data")]
#![expect(
    clippy::cast_ptr_alignment,
    reason = "PostgreSQL's nodes are cast by their tag, and allocated aligned"
)]

use pgrx::{is_a, pg_sys};

use super::row::Row;

/// What fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Insert,
    Update,
    Delete,
}

/// A trigger call; valid for the duration of the call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    data: &'a pg_sys::TriggerData,
}

impl<'a> Call<'a> {
    /// The call behind `fcinfo`, or `None` when the function was not called by the trigger manager.
    ///
    /// # Safety
    /// `fcinfo` must come from PostgreSQL's function manager and outlive the result.
    pub unsafe fn from_fcinfo(fcinfo: pg_sys::FunctionCallInfo) -> Option<Self> {
        // SAFETY: per contract fcinfo is valid; context is null or a node, and a TriggerData when its tag says so.
        unsafe {
            let context = (*fcinfo).context;
            if context.is_null() || !is_a(context, pg_sys::NodeTag::T_TriggerData) {
                return None;
            }
            Some(Self { data: &*context.cast::<pg_sys::TriggerData>() })
        }
    }

    /// The row operation; `None` for a statement trigger or TRUNCATE.
    pub fn row_operation(self) -> Option<Operation> {
        let event = self.data.tg_event;
        if event & pg_sys::TRIGGER_EVENT_ROW == 0 {
            return None;
        }
        match event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Some(Operation::Insert),
            pg_sys::TRIGGER_EVENT_UPDATE => Some(Operation::Update),
            pg_sys::TRIGGER_EVENT_DELETE => Some(Operation::Delete),
            _ => None,
        }
    }

    /// Whether the trigger fires before the change.
    pub fn is_before(self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE
    }

    /// The trigger's definition.
    pub fn trigger(self) -> &'a pg_sys::Trigger {
        // SAFETY: the trigger manager sets tg_trigger for every call.
        unsafe { &*self.data.tg_trigger }
    }

    /// The relation that fired, open and locked by the executor.
    pub fn relation(self) -> &'a pg_sys::RelationData {
        // SAFETY: the trigger manager sets tg_relation for every call.
        unsafe { &*self.data.tg_relation }
    }

    /// The row before an update or delete, or the inserted row.
    pub fn first_row(self) -> Row<'a> {
        // SAFETY: the trigger manager keeps this row in its slot during the call, null where there is none.
        unsafe { Row::of(self.data.tg_trigslot) }
    }

    /// The row after an update.
    pub fn new_row(self) -> Row<'a> {
        // SAFETY: as above.
        unsafe { Row::of(self.data.tg_newslot) }
    }

    /// The row after an update, as a tuple.
    pub fn new_tuple(self) -> pg_sys::HeapTuple {
        self.data.tg_newtuple
    }

    /// The command of this transaction that did what fired: made the new row version, or ended the old one.
    pub fn command(self) -> pg_sys::CommandId {
        let is_update = self.row_operation() == Some(Operation::Update);
        let row = if is_update { self.data.tg_newtuple } else { self.data.tg_trigtuple };
        // SAFETY: the trigger manager keeps the row version in its buffer during the call, null where there is none.
        let Some(header) = (unsafe { row.as_ref().and_then(|row| row.t_data.as_ref()) }) else { return 0 };
        let (is_shared, number) = number(header);
        match (is_shared, self.row_operation()) {
            (false, _) => number,
            // SAFETY: the row version was ended, or made, by this transaction.
            (true, Some(Operation::Delete)) => unsafe { pg_sys::HeapTupleHeaderGetCmax((*row).t_data) },
            // SAFETY: as above.
            (true, _) => unsafe { pg_sys::HeapTupleHeaderGetCmin((*row).t_data) },
        }
    }

    /// Which command of this transaction made the row version that was changed; none for what other transactions made.
    pub fn command_before(self) -> Option<pg_sys::CommandId> {
        // SAFETY: as above.
        unsafe {
            let row = self.data.tg_trigtuple.as_ref()?;
            let header = row.t_data.as_ref()?;
            // Known as committed, hence another's: not asked, which is the rule. COPY may freeze what it brings.
            let known = u32::from(header.t_infomask) & pg_sys::HEAP_XMIN_FROZEN;
            let is_over = known == pg_sys::HEAP_XMIN_COMMITTED;
            let is_ours =
                !is_over && pg_sys::TransactionIdIsCurrentTransactionId(header.t_choice.t_heap.t_xmin);
            is_ours.then(|| pg_sys::HeapTupleHeaderGetCmin(row.t_data))
        }
    }

    /// Whether the statement itself assigned this column, whatever the value.
    pub fn assigns(self, attnum: i16) -> bool {
        let member = i32::from(attnum) - pg_sys::FirstLowInvalidHeapAttributeNumber;
        // SAFETY: tg_updatedcols is null (the empty set) or a Bitmapset that lives as long as the call.
        unsafe { pg_sys::bms_is_member(member, self.data.tg_updatedcols.cast_mut()) }
    }
}

/// Whether rows come as another server made them, from a replication role: logical replication applies them so.
pub fn replays() -> bool {
    // SAFETY: reads a variable of this backend.
    unsafe { pg_sys::SessionReplicationRole == pg_sys::SESSION_REPLICATION_ROLE_REPLICA.cast_signed() }
}

/// The number in the header of a row version, and whether it stands for two commands: one that made it and one that ended it.
fn number(header: &pg_sys::HeapTupleHeaderData) -> (bool, pg_sys::CommandId) {
    let is_shared = u32::from(header.t_infomask) & pg_sys::HEAP_COMBOCID != 0;
    // SAFETY: a row version of a table has this form; the number is of either kind.
    (is_shared, unsafe { header.t_choice.t_heap.t_field3.t_cid })
}
