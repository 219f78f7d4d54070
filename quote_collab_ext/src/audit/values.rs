//! Row changes as rows of the log: one per changed field, with a datum per column.

#![expect(unsafe_code, reason = "PostgreSQL's clock, sequence and control data")]

use std::marker::PhantomData;

use pgrx::pg_sys;
use quote_collab_core::change::Entity;
use uuid::Uuid;

use super::log::COLUMNS;
use super::{Log, Mint, RowChange, text};
use crate::error::Error;
use crate::memory::allocator::reserve;
use crate::sequence;

/// A datum; `None` for SQL null.
pub type Value = Option<pg_sys::Datum>;

/// Rows in the column order of the log. Their datums point into the changes and into the ids.
pub struct Rows<'a> {
    values: Vec<[Value; COLUMNS.len()]>,
    changes: &'a [RowChange],
    _ids: PhantomData<&'a [Uuid]>,
}

/// New ids for the rows of some changes, one per field.
pub fn mint_ids(changes: &[RowChange]) -> Result<Vec<Uuid>, Error> {
    let fields = changes.iter().map(|change| change.fields.len()).sum();
    let mut ids = Vec::new();
    reserve(&mut ids, fields)?;
    ids.extend(std::iter::repeat_with(Uuid::now_v7).take(fields));
    Ok(ids)
}

impl<'a> Rows<'a> {
    /// The rows of some changes under the ids that were made for them.
    pub fn of(changes: &'a [RowChange], ids: &'a [Uuid]) -> Result<Self, Error> {
        // SAFETY: assigns the transaction's id if it has none yet; reads the cluster's control data.
        let (transaction, origin) =
            unsafe { (pg_sys::GetTopFullTransactionId().value, pg_sys::GetSystemIdentifier().cast_signed()) };
        let mut rows = Vec::new();
        reserve(&mut rows, ids.len())?;
        let mut ids = ids.iter();
        for change in changes {
            push_rows(&mut rows, change, &mut ids, transaction, origin);
        }
        Ok(Self { values: rows, changes, _ids: PhantomData })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// One of them.
    pub fn row(&self, number: usize) -> &[Value] {
        &self.values[number]
    }

    /// Their numbers by quote, and of each quote in their order.
    pub fn by_quote(&self) -> Vec<usize> {
        let quote = |change: &'a RowChange| std::iter::repeat_n(&change.quote, change.fields.len());
        let quotes: Vec<&Uuid> = self.changes.iter().flat_map(quote).collect();
        let mut numbers: Vec<usize> = (0..quotes.len()).collect();
        numbers.sort_by_key(|number| quotes[*number]);
        numbers
    }

    /// The rows in groups of at most `size`.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = &[[Value; COLUMNS.len()]]> {
        self.values.chunks(size)
    }

    /// The rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Value; COLUMNS.len()]> {
        self.values.iter()
    }
}

fn push_rows(
    rows: &mut Vec<[Value; COLUMNS.len()]>,
    change: &RowChange,
    ids: &mut std::slice::Iter<'_, Uuid>,
    transaction: u64,
    origin: i64,
) {
    let entity: &[u8] = match change.entity {
        Entity::Quote => const { &text::short::<6>("QUOTE") },
        Entity::QuoteLine => const { &text::short::<11>("QUOTE_LINE") },
    };
    let (entity, kind) = (bytes(entity), bytes(change.kind.word()));
    for (index, (field, id)) in change.fields.iter().zip(ids).enumerate() {
        rows.push([
            Some(uuid(id)),
            Some(uuid(&change.tenant)),
            Some(uuid(&change.quote)),
            change.line.as_ref().map(uuid),
            change.actor.as_ref().map(uuid),
            Some(pg_sys::Datum::from(change.mint.at)),
            Some(entity),
            Some(bytes(&field.name)),
            field.old,
            field.new,
            Some(kind),
            change.session.as_ref().map(uuid),
            Some(pg_sys::Datum::from(false)),
            None,
            change.version_before.map(pg_sys::Datum::from),
            change.version_after.map(pg_sys::Datum::from),
            Some(uuid(&change.mint.event_id)),
            Some(pg_sys::Datum::from(change.mint.position)),
            Some(pg_sys::Datum::from(transaction)),
            Some(pg_sys::Datum::from(origin)),
            change.context.filter(|_| index == 0),
        ]);
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
