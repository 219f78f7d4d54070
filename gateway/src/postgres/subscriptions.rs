//! What a subscriber needs from the database: the right to look, once, and what it has missed.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::change_log::{has_next, logged, position, size};
use super::context::RequestContext;
use super::database::{Database, unexpected};
use super::error::DatabaseError;
use crate::cursor::Cursor;
use crate::ports::{Logged, ReadLimit};

/// Some of what a subscriber has missed.
#[derive(Debug, Default)]
pub struct Missed {
    /// Oldest first. A place whose event cannot be read has none.
    pub events: Vec<(Cursor, Option<Logged>)>,
    /// About so many bytes.
    pub bytes: usize,
    /// Behind this place there may be more.
    pub rest: Option<Cursor>,
}

impl Database {
    /// Whether this person may see the quote, asked under row-level security.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn is_accessible(&self, context: RequestContext, quote: Uuid) -> Result<bool, DatabaseError> {
        let answer: Option<bool> =
            self.value(context, &self.statements().is_accessible, &[(&quote, Type::UUID)]).await?;
        Ok(answer.unwrap_or(false))
    }

    /// The first events of a quote behind `after` up to and including `until`.
    ///
    /// # Errors
    ///
    /// When `after` is no longer known, or the database is away.
    pub async fn events_between(
        &self,
        context: RequestContext,
        quote: Uuid,
        (after, until): (Cursor, Cursor),
        limit: ReadLimit,
    ) -> Result<Missed, DatabaseError> {
        let (events, bytes) = limit.parameters();
        let parameters: [super::database::Parameter<'_>; 8] = [
            (&quote, Type::UUID),
            (&after.batch, Type::INT8),
            (&after.position, Type::INT8),
            (&until.batch, Type::INT8),
            (&until.position, Type::INT8),
            (&events, Type::INT4),
            (&bytes, Type::INT8),
            (&limit.first_at_any_rate, Type::BOOL),
        ];
        missed(self.rows(context, &self.statements().events_between, &parameters).await?, limit)
    }
}

/// Takes each row only as long as its event is read, so that no more than one is in memory twice.
fn missed(rows: Vec<Row>, limit: ReadLimit) -> Result<Missed, DatabaseError> {
    let is_full = rows.len() >= usize::from(limit.events);
    let mut missed = Missed::default();
    for row in rows {
        let batch = row.try_get("batch").map_err(unexpected)?;
        let place = Cursor { batch, position: position(&row)? };
        missed.bytes += size(&row)?;
        missed.rest = (is_full || has_next(&row)?).then_some(place);
        missed.events.push((place, logged(&row)?));
    }
    Ok(missed)
}
