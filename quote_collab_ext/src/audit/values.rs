//! Row changes as rows of the log: one per changed field, with a datum per column.

#![expect(unsafe_code, reason = "PostgreSQL's clock, sequence and control data")]

use pgrx::{IntoDatum, pg_sys};
use quote_collab_core::change::Entity;

use super::log::COLUMNS;
use super::{Log, Mint, RowChange};
use crate::server;

/// A datum; `None` for SQL null.
pub type Value = Option<pg_sys::Datum>;

/// Rows in the column order of the log.
pub struct Rows(Vec<[Value; COLUMNS.len()]>);

impl Rows {
    /// The rows of some changes; datums live in the current memory context.
    pub fn of(changes: &[RowChange]) -> Self {
        // SAFETY: assigns the transaction's id if it has none yet; reads the cluster's control data.
        let (transaction, origin) =
            unsafe { (pg_sys::GetTopFullTransactionId().value, pg_sys::GetSystemIdentifier().cast_signed()) };
        let mut rows = Vec::with_capacity(changes.iter().map(|change| change.fields.len()).sum());
        for change in changes {
            push_rows(&mut rows, change, transaction, origin);
        }
        Self(rows)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The rows in groups of at most `size`.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = &[[Value; COLUMNS.len()]]> {
        self.0.chunks(size)
    }

    /// The rows.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Value; COLUMNS.len()]> {
        self.0.iter()
    }
}

fn push_rows(rows: &mut Vec<[Value; COLUMNS.len()]>, change: &RowChange, transaction: u64, origin: i64) {
    let entity = match change.entity {
        Entity::Quote => "QUOTE",
        Entity::QuoteLine => "QUOTE_LINE",
    };
    let shared = [
        uuid(change.tenant),
        uuid(change.quote),
        change.line.and_then(uuid),
        change.actor.and_then(uuid),
        change.session.and_then(uuid),
        uuid(change.mint.event_id),
        entity.into_datum(),
        change.kind.word().into_datum(),
    ];
    let [tenant, quote, line, actor, session, event, entity, kind] = shared;
    for (index, field) in change.fields.iter().enumerate() {
        rows.push([
            uuid(uuid::Uuid::now_v7()),
            tenant,
            quote,
            line,
            actor,
            Some(pg_sys::Datum::from(change.mint.at)),
            entity,
            field.name.as_str().into_datum(),
            field.old,
            field.new,
            kind,
            session,
            Some(pg_sys::Datum::from(false)),
            None,
            change.version_before.map(pg_sys::Datum::from),
            change.version_after.map(pg_sys::Datum::from),
            event,
            Some(pg_sys::Datum::from(change.mint.position)),
            Some(pg_sys::Datum::from(transaction)),
            Some(pg_sys::Datum::from(origin)),
            change.context.filter(|_| index == 0),
        ]);
    }
}

fn uuid(id: uuid::Uuid) -> Value {
    pgrx::Uuid::from_bytes(id.into_bytes()).into_datum()
}

impl Mint {
    /// Names a row change that is being made. The row's lock is held until commit, so that positions of one row ascend
    /// with its versions.
    pub fn new(log: &Log) -> Self {
        // SAFETY: the clock and the sequence of this database, inside a transaction; the sequence belongs to the log.
        let (at, position) = unsafe { (pg_sys::GetCurrentTimestamp(), server::next_value(log.sequence)) };
        Self { event_id: uuid::Uuid::now_v7(), at, position }
    }
}
