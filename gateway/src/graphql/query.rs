//! Queries.

use async_graphql::{Context, ID, Object};

use super::ask::Caller;
use super::error::uuid;
use super::json::{Json, front_end_quote, front_end_rows};
use super::model::{ActiveSession, QuoteChangeRecord};
use super::size::{Selected, of_quote, of_rows};
use crate::failure::Failure;
use crate::unread::Size;

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
        let (quote, selected) = (uuid("quoteId", &quote_id)?, Selected::of(context));
        let sessions = Caller::of(context)?.read(
            move |database, of| async move { database.sessions(of, quote).await },
            move |sessions: &Vec<_>| selected.sessions(sessions),
        );
        Ok(sessions.await?.into_iter().map(ActiveSession::from).collect())
    }

    /// The latest changes of a quote and its lines, newest first
    async fn get_quote_change_history(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        limit: Option<i32>,
    ) -> Result<Vec<QuoteChangeRecord>, Failure> {
        let (quote, selected) = (uuid("quoteId", &quote_id)?, Selected::of(context));
        let limit = limit.unwrap_or(HISTORY_ROWS);
        let records = Caller::of(context)?.for_much().read(
            move |database, of| async move { database.history(of, quote, limit).await },
            move |records: &Vec<_>| selected.records(records),
        );
        Ok(records.await?.into_iter().map(QuoteChangeRecord::from).collect())
    }

    /// Whether a quote has a later version than this
    async fn has_quote_been_updated(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        since_version: i32,
    ) -> Result<bool, Failure> {
        let quote = uuid("quoteId", &quote_id)?;
        let is_updated = Caller::of(context)?.read(
            move |database, of| async move { database.updated_since(of, quote, since_version).await },
            |_| Size::of(0),
        );
        is_updated.await
    }

    /// A quote and its lines as they are now: `{quote, lines}`, camelCase, money as text
    async fn quote(&self, context: &Context<'_>, quote_id: ID) -> Result<Json, Failure> {
        let quote = uuid("quoteId", &quote_id)?;
        let quote = Caller::of(context)?
            .read(move |database, of| async move { database.quote(of, quote).await }, of_quote);
        Ok(front_end_quote(quote.await?))
    }

    /// The newest quotes of the tenant: `[{id, quoteNumber, customerName, status, totalAmount, version}]`
    async fn quotes(&self, context: &Context<'_>, limit: Option<i32>) -> Result<Json, Failure> {
        let limit = limit.unwrap_or(LISTED_QUOTES);
        let quotes = Caller::of(context)?.read(
            move |database, of| async move { database.quotes(of, limit).await },
            |quotes: &Vec<_>| of_rows(quotes),
        );
        Ok(front_end_rows(quotes.await?))
    }
}
