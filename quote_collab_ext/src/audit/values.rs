//! Row changes as rows of the log: one per changed field, with a datum per column.

#![expect(unsafe_code, reason = "PostgreSQL's clock, sequence and control data")]

use pgrx::pg_sys;
use quote_collab_core::change::Entity;
use uuid::Uuid;

use super::log::COLUMNS;
use super::pending::Noted;
use super::{Log, Mint, RowChange, text};
use crate::error::Error;
use crate::memory::allocator::reserve;
use crate::sequence;

/// A datum; `None` for SQL null.
pub type Value = Option<pg_sys::Datum>;

/// Rows in the column order of the log, put together when they are asked for: of a large statement they would be many times as large as its
/// changes. Their datums point into the changes and into this.
pub struct Rows<'a> {
    noted: &'a [Noted],
    places: Vec<Place>,
    transaction: u64,
    origin: i64,
}

/// Which change a row tells of, and which of its fields.
struct Place {
    id: Uuid,
    change: usize,
    field: usize,
}

impl<'a> Rows<'a> {
    /// The rows of some changes, each under a new id.
    pub fn of(noted: &'a [Noted]) -> Result<Self, Error> {
        // SAFETY: assigns the transaction's id if it has none yet; reads the cluster's control data.
        let (transaction, origin) =
            unsafe { (pg_sys::GetTopFullTransactionId().value, pg_sys::GetSystemIdentifier().cast_signed()) };
        let mut places = Vec::new();
        reserve(&mut places, noted.iter().map(|entry| entry.change.fields.len()).sum())?;
        for (change, entry) in noted.iter().enumerate() {
            let fields = 0..entry.change.fields.len();
            places.extend(fields.map(|field| Place { id: Uuid::now_v7(), change, field }));
        }
        Ok(Self { noted, places, transaction, origin })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The change that one of them tells of.
    pub fn change(&self, number: usize) -> &'a RowChange {
        &self.noted[self.places[number].change].change
    }

    /// One of them.
    pub fn row(&self, number: usize) -> [Value; COLUMNS.len()] {
        std::array::from_fn(|column| self.value(number, column))
    }

    /// What one of them has in a column, by its place in [`COLUMNS`]. An index asks for few, and of the rows in its own order.
    #[inline]
    pub fn value(&self, number: usize, column: usize) -> Value {
        let (change, place) = (self.change(number), &self.places[number]);
        let field = || &change.fields[place.field];
        match column {
            0 => Some(uuid(&place.id)),
            1 => Some(uuid(&change.tenant)),
            2 => Some(uuid(&change.quote)),
            3 => change.line.as_ref().map(uuid),
            4 => change.actor.as_ref().map(uuid),
            5 => Some(pg_sys::Datum::from(change.mint.at)),
            6 => Some(bytes(entity_word(change.entity))),
            7 => Some(bytes(&field().name)),
            8 => field().old,
            9 => field().new,
            10 => Some(bytes(change.kind.word())),
            11 => change.session.as_ref().map(uuid),
            12 => Some(pg_sys::Datum::from(false)),
            14 => change.version_before.map(pg_sys::Datum::from),
            15 => change.version_after.map(pg_sys::Datum::from),
            16 => Some(uuid(&change.mint.event_id)),
            17 => Some(pg_sys::Datum::from(change.mint.position)),
            18 => Some(pg_sys::Datum::from(self.transaction)),
            19 => Some(pg_sys::Datum::from(self.origin)),
            20 => change.context.filter(|_| place.field == 0),
            // Only a rejected change has a resolution.
            _ => None,
        }
    }

    /// Their numbers by quote, and of each quote in their order.
    pub fn by_quote(&self) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..self.len()).collect();
        numbers.sort_by_key(|number| &self.change(*number).quote);
        numbers
    }
}

/// The word in `entity_type`, as a datum of type text.
fn entity_word(entity: Entity) -> &'static [u8] {
    match entity {
        Entity::Quote => const { &text::short::<6>("QUOTE") },
        Entity::QuoteLine => const { &text::short::<11>("QUOTE_LINE") },
    }
}

/// A uuid is its sixteen bytes, by reference.
fn uuid(id: &Uuid) -> pg_sys::Datum {
    bytes(id.as_bytes())
}

fn bytes(stored: &[u8]) -> pg_sys::Datum {
    pg_sys::Datum::from(stored.as_ptr())
}

impl Mint {
    /// Names a row change that is being made. The row's lock is held until commit, so that positions of one row ascend
    /// with its versions.
    pub fn new(log: &Log) -> Self {
        // SAFETY: the clock and the sequence of this database, inside a transaction; the sequence belongs to the log.
        let (at, position) = unsafe { (pg_sys::GetCurrentTimestamp(), sequence::next(log.sequence)) };
        Self { event_id: Uuid::now_v7(), at, position }
    }
}
