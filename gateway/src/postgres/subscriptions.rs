//! What a subscriber needs from the database: the right to look, once, and what it has missed.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::change_log::{logged, position};
use super::context::RequestContext;
use super::database::{Database, unexpected};
use super::error::DatabaseError;
use crate::cursor::Cursor;
use crate::ports::Logged;

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

    /// The events of a quote behind `after` up to and including `until`, oldest first, at most `limit`. A place whose
    /// event cannot be read has none.
    ///
    /// # Errors
    ///
    /// When `after` is no longer known, or the database is away.
    pub async fn events_between(
        &self,
        context: RequestContext,
        quote: Uuid,
        (after, until): (Cursor, Cursor),
        limit: i32,
    ) -> Result<Vec<(Cursor, Option<Logged>)>, DatabaseError> {
        let parameters: [super::database::Parameter<'_>; 6] = [
            (&quote, Type::UUID),
            (&after.batch, Type::INT8),
            (&after.position, Type::INT8),
            (&until.batch, Type::INT8),
            (&until.position, Type::INT8),
            (&limit, Type::INT4),
        ];
        let rows = self.rows(context, &self.statements().events_between, &parameters).await?;
        rows.iter().map(located).collect()
    }
}

fn located(row: &Row) -> Result<(Cursor, Option<Logged>), DatabaseError> {
    let batch = row.try_get("batch").map_err(unexpected)?;
    Ok((Cursor { batch, position: position(row)? }, logged(row)?))
}
