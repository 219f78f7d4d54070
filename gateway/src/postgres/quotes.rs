//! Quotes: saving with a version, reading, history.

use quote_collab_core::json::{JsonText, Members};
use serde::Deserialize;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::change_log::has_next;
use super::context::RequestContext;
use super::database::{Database, first, unexpected};
use super::error::DatabaseError;

/// Bytes of one answer from the history, save that a single record may have any size.
const LARGEST_HISTORY: i64 = 16 << 20;

/// What somebody wants to save.
#[derive(Clone, Debug)]
pub struct Save {
    /// The quote or the line.
    pub id: Uuid,
    /// The version it was edited from.
    pub expected_version: i32,
    /// New values by field.
    pub changes: JsonText,
    /// The editing session.
    pub session: Option<Uuid>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Saved {
    /// Whether it was saved.
    pub success: bool,
    /// The row now, by column.
    pub row: Option<Members>,
    /// For a line, the quote's header now.
    pub quote: Option<Members>,
    /// Version before.
    pub previous_version: Option<i32>,
    /// Version now.
    pub new_version: Option<i32>,
    /// Why not.
    pub conflicts: Vec<Conflict>,
}

/// A field that somebody else changed first.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Column name.
    pub field: String,
    /// The version the editor had.
    pub expected_version: Option<i32>,
    /// The version there is.
    pub actual_version: Option<i32>,
    /// The value both began with.
    #[serde(default)]
    pub base_value: JsonText,
    /// The value there is.
    #[serde(default)]
    pub current_value: JsonText,
    /// The value that was not saved.
    #[serde(default)]
    pub attempted_value: JsonText,
    /// Who was first.
    pub last_changed_by: Option<Uuid>,
    /// That user's name.
    pub last_changed_by_name: Option<String>,
    /// When.
    pub last_changed_at: Option<String>,
}

/// A quote with its lines, by column.
#[derive(Clone, Debug, Deserialize)]
pub struct WholeQuote {
    /// The header.
    pub quote: Members,
    /// The lines.
    pub lines: Vec<Members>,
}

/// One row of the history.
#[derive(Clone, Debug, Deserialize)]
pub struct HistoryRecord {
    /// Identity of the row.
    pub id: Uuid,
    /// The quote.
    pub quote_id: Uuid,
    /// The line, when it is about one.
    pub quote_line_id: Option<Uuid>,
    /// Who.
    pub changed_by: Option<Uuid>,
    /// That user's name.
    pub changed_by_name: Option<String>,
    /// When.
    pub changed_at: String,
    /// `QUOTE` or `QUOTE_LINE`.
    pub entity_type: String,
    /// Column name, `*` for the whole row.
    pub field_name: String,
    /// Value before.
    #[serde(default)]
    pub old_value: JsonText,
    /// Value after.
    #[serde(default)]
    pub new_value: JsonText,
    /// CREATE, UPDATE or DELETE.
    pub change_type: String,
    /// The editing session.
    pub session_id: Option<Uuid>,
    /// Whether it was part of a conflict.
    pub was_conflict: Option<bool>,
    /// What became of the conflict.
    pub conflict_resolution: Option<String>,
    /// Version before.
    pub entity_version_before: Option<i32>,
    /// Version after.
    pub entity_version_after: Option<i32>,
}

impl Database {
    /// Saves header fields if the version is still the expected one.
    ///
    /// # Errors
    ///
    /// When the input or the database is not in order; a conflict is no error.
    pub async fn save_quote(&self, context: RequestContext, save: &Save) -> Result<Saved, DatabaseError> {
        self.save(context, &self.statements().save_quote, save).await
    }

    /// Saves fields of a line if its version is still the expected one.
    ///
    /// # Errors
    ///
    /// When the input or the database is not in order; a conflict is no error.
    pub async fn save_line(&self, context: RequestContext, save: &Save) -> Result<Saved, DatabaseError> {
        self.save(context, &self.statements().save_line, save).await
    }

    async fn save(&self, context: RequestContext, sql: &str, save: &Save) -> Result<Saved, DatabaseError> {
        let changes = Json(&save.changes);
        let rows = self
            .rows(
                context.in_session(save.session),
                sql,
                &[
                    (&save.id, Type::UUID),
                    (&save.expected_version, Type::INT4),
                    (&changes, Type::JSONB),
                    (&save.session, Type::UUID),
                ],
            )
            .await?;
        saved(first(&rows)?)
    }

    /// The latest changes of a quote, newest first: all that are asked for, or none.
    ///
    /// # Errors
    ///
    /// When the quote is unknown, all of it would be too large or the database is away.
    pub async fn history(
        &self,
        context: RequestContext,
        quote: Uuid,
        limit: i32,
    ) -> Result<Vec<HistoryRecord>, DatabaseError> {
        let parameters: [super::database::Parameter<'_>; 3] =
            [(&quote, Type::UUID), (&limit, Type::INT4), (&LARGEST_HISTORY, Type::INT8)];
        let rows = self.rows(context, &self.statements().history, &parameters).await?;
        if rows.last().map(has_next).transpose()? == Some(true) {
            return Err(DatabaseError::TooLarge);
        }
        rows.into_iter().map(|row| record(&row)).collect()
    }

    /// Whether a quote has a later version than this.
    ///
    /// # Errors
    ///
    /// When the quote is unknown or the database is away.
    pub async fn updated_since(
        &self,
        context: RequestContext,
        quote: Uuid,
        version: i32,
    ) -> Result<bool, DatabaseError> {
        self.value(context, &self.statements().updated_since, &[(&quote, Type::UUID), (&version, Type::INT4)])
            .await
    }

    /// A quote with its lines, by column.
    ///
    /// # Errors
    ///
    /// When the quote is unknown or the database is away.
    pub async fn quote(&self, context: RequestContext, quote: Uuid) -> Result<WholeQuote, DatabaseError> {
        let quote = self.value(context, &self.statements().quote, &[(&quote, Type::UUID)]).await;
        quote.map(|Json(quote)| quote)
    }

    /// The tenant's newest quotes, for a list.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn quotes(&self, context: RequestContext, limit: i32) -> Result<Vec<Members>, DatabaseError> {
        self.objects(context, &self.statements().quotes, &[(&limit, Type::INT4)]).await
    }
}

fn record(row: &Row) -> Result<HistoryRecord, DatabaseError> {
    Ok(serde_json::from_str(row.try_get("event").map_err(unexpected)?)?)
}

fn saved(row: &Row) -> Result<Saved, DatabaseError> {
    let json = |column: &str| row.try_get::<_, Option<Json<Members>>>(column).map_err(unexpected);
    let conflicts = row.try_get::<_, Option<Json<Option<Vec<Conflict>>>>>("conflicts").map_err(unexpected)?;
    Ok(Saved {
        success: row.try_get("success").map_err(unexpected)?,
        row: json("row")?.map(|row| row.0),
        quote: json("quote")?.map(|quote| quote.0),
        previous_version: row.try_get("previous_version").map_err(unexpected)?,
        new_version: row.try_get("new_version").map_err(unexpected)?,
        conflicts: conflicts.and_then(|conflicts| conflicts.0).unwrap_or_default(),
    })
}
