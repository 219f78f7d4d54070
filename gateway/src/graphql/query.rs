//! Queries.

use async_graphql::{Context, ID, Object};

use super::caller;
use super::error::uuid;
use super::json::{Json, front_end_quote, front_end_rows};
use super::model::{ActiveSession, QuoteChangeRecord};
use crate::failure::Failure;

/// Rows of the history when nobody says how many.
const HISTORY_ROWS: i32 = 50;
/// Quotes of a list when nobody says how many.
const LISTED_QUOTES: i32 = 50;

/// The root of queries.
pub struct Query;

#[Object]
impl Query {
    /// Who has a quote open, oldest session first
    async fn get_active_quote_sessions(
        &self,
        context: &Context<'_>,
        quote_id: ID,
    ) -> Result<Vec<ActiveSession>, Failure> {
        let (database, of, _turn) = caller(context).await?;
        let sessions = database.sessions(of, uuid("quoteId", &quote_id)?).await?;
        Ok(sessions.into_iter().map(ActiveSession::from).collect())
    }

    /// The latest changes of a quote and its lines, newest first
    async fn get_quote_change_history(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        limit: Option<i32>,
    ) -> Result<Vec<QuoteChangeRecord>, Failure> {
        let (database, of, _turn) = caller(context).await?;
        let limit = limit.unwrap_or(HISTORY_ROWS);
        let records = database.history(of, uuid("quoteId", &quote_id)?, limit).await?;
        Ok(records.into_iter().map(QuoteChangeRecord::from).collect())
    }

    /// Whether a quote has a later version than this
    async fn has_quote_been_updated(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        since_version: i32,
    ) -> Result<bool, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(database.updated_since(of, uuid("quoteId", &quote_id)?, since_version).await?)
    }

    /// A quote and its lines as they are now: `{quote, lines}`, camelCase, money as text
    async fn quote(&self, context: &Context<'_>, quote_id: ID) -> Result<Json, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(front_end_quote(database.quote(of, uuid("quoteId", &quote_id)?).await?))
    }

    /// The newest quotes of the tenant: `[{id, quoteNumber, customerName, status, totalAmount, version}]`
    async fn quotes(&self, context: &Context<'_>, limit: Option<i32>) -> Result<Json, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(front_end_rows(database.quotes(of, limit.unwrap_or(LISTED_QUOTES)).await?))
    }
}
