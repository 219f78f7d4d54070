//! The audit log: row changes are noted by the row trigger and written, many at once, when the statement ends.

mod batch;
mod direct;
mod early;
mod former;
mod held;
mod indexes;
mod insert;
mod lent;
mod log;
mod memory;
mod order;
mod partition;
mod pending;
mod silent;
mod snapshot;
mod spi;
mod text;
mod values;

use pgrx::pg_sys;
use quote_collab_core::chain::Deed;
use quote_collab_core::change::Entity;
use std::rc::Rc;
use uuid::Uuid;

use crate::error::Error;
use crate::memory::allocator::reserve;

pub use log::Log;
pub use memory::Memory;
pub use pending::{
    discard, discard_aborted, finish, flush, flush_table, forget, gather, hand_on, is_noted, next_note, note,
    write_ripe, written,
};
pub use silent::remember as pass_over;
pub use text::text;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Create,
    Update,
    Delete,
}

impl Kind {
    /// The word in `change_type`, as a datum of type text.
    pub fn word(self) -> &'static [u8] {
        match self {
            Self::Create => const { &text::short::<7>("CREATE") },
            Self::Update => const { &text::short::<7>("UPDATE") },
            Self::Delete => const { &text::short::<7>("DELETE") },
        }
    }

    /// What it does to the row.
    fn deed(self) -> Deed {
        match self {
            Self::Create => Deed::Begin,
            Self::Update => Deed::Change,
            Self::Delete => Deed::End,
        }
    }
}

/// One changed column; `old` and `new` are jsonb datums, `None` for SQL null.
#[derive(Clone)]
pub struct Field {
    /// As a datum of type text.
    pub name: Rc<[u8]>,
    pub old: Option<pg_sys::Datum>,
    pub new: Option<pg_sys::Datum>,
}

/// What a row change is given once, when it is noted.
#[derive(Clone, Copy)]
pub struct Mint {
    /// Shared by its rows; a UUID of version 7.
    pub event_id: Uuid,
    /// Microseconds since 2000-01-01 UTC, by the database's clock.
    pub at: pg_sys::TimestampTz,
    /// Place in the log.
    pub position: i64,
}

/// A quote or a line, by its id.
pub type Row = (Entity, Uuid);

/// One row change, noted and not yet written.
#[derive(Clone)]
pub struct RowChange {
    /// What its datums live in.
    pub memory: Memory,
    pub log: Rc<Log>,
    pub mint: Mint,
    pub entity: Entity,
    pub kind: Kind,
    pub tenant: Uuid,
    pub quote: Uuid,
    pub line: Option<Uuid>,
    /// The id under which a row was there before, where this begins it under another.
    pub former_id: Option<Uuid>,
    /// PostgreSQL looks whether this row's id is there once only when a statement, or the transaction, has ended.
    pub is_checked_late: bool,
    pub actor: Option<Uuid>,
    pub session: Option<Uuid>,
    pub version_before: Option<i32>,
    pub version_after: Option<i32>,
    /// The version at which a row was deleted, or left its key.
    pub last_version: Option<i64>,
    /// The command of this transaction that did it.
    pub command: pg_sys::CommandId,
    /// The command of this transaction that made the row version which was changed, if one did.
    pub stands_on: Option<pg_sys::CommandId>,
    pub fields: Vec<Field>,
    /// A jsonb object, or none.
    pub context: Option<pg_sys::Datum>,
}

impl RowChange {
    /// Which row: a line may move from quote to quote.
    fn row(&self) -> Row {
        (self.entity, self.line.unwrap_or(self.quote))
    }

    /// Bytes of its values.
    fn bytes(&self) -> usize {
        // SAFETY: they live in the memory that this change holds, each a jsonb with its length in front.
        #[expect(unsafe_code, reason = "PostgreSQL's datums")]
        let bytes = |value: pg_sys::Datum| unsafe { pgrx::varsize_any(value.cast_mut_ptr()) };
        self.values().flatten().map(bytes).sum()
    }

    /// Has its values kept in another memory. Where there is none for all of them, they stay where they are.
    fn move_to(&mut self, memory: &Memory) -> Result<(), Error> {
        let mut again = Vec::new();
        reserve(&mut again, 2 * self.fields.len() + 1)?;
        for value in self.values().flatten() {
            // SAFETY: they live in the memory that this change holds.
            #[expect(unsafe_code, reason = "PostgreSQL's memory contexts")]
            again.push(unsafe { memory.keep_again(value)? });
        }
        let fields = self.fields.iter_mut().flat_map(|field| [&mut field.old, &mut field.new]);
        for (value, again) in fields.chain([&mut self.context]).flatten().zip(again) {
            *value = again;
        }
        self.memory = memory.clone();
        Ok(())
    }

    /// Its values, the context last.
    fn values(&self) -> impl Iterator<Item = Option<pg_sys::Datum>> {
        self.fields.iter().flat_map(|field| [field.old, field.new]).chain([self.context])
    }
}
