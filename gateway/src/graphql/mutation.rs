//! Mutations.

use async_graphql::{Context, ID, Object};

use super::error::{optional_uuid, uuid};
use super::model::{
    ActiveSession, JoinQuoteSessionInput, QuoteCollaborationResult, QuoteLineCollaborationResult,
    UpdateSessionHeartbeatInput, VersionedQuoteLineUpdateInput, VersionedQuoteUpdateInput,
};
use super::{caller, identity};
use crate::failure::Failure;
use crate::postgres::{Heartbeat, Save};

/// The root of mutations.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Saves header fields if nobody else was first
    async fn update_quote_with_version_check(
        &self,
        context: &Context<'_>,
        input: VersionedQuoteUpdateInput,
    ) -> Result<QuoteCollaborationResult, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(database.save_quote(of, &Save::try_from(input)?).await?.into())
    }

    /// Saves fields of a line, and the quote's totals, if nobody else was first
    async fn update_quote_line_with_version_check(
        &self,
        context: &Context<'_>,
        input: VersionedQuoteLineUpdateInput,
    ) -> Result<QuoteLineCollaborationResult, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(database.save_line(of, &Save::try_from(input)?).await?.into())
    }

    /// Joins a quote, or renews a session
    async fn join_quote_session(
        &self,
        context: &Context<'_>,
        input: JoinQuoteSessionInput,
    ) -> Result<ActiveSession, Failure> {
        let (database, of, _turn) = caller(context).await?;
        let identity = identity(context)?;
        let quote = uuid("quoteId", &input.quote_id)?;
        let session = optional_uuid("sessionId", input.session_id.as_ref())?;
        let person = (identity.username.as_deref(), identity.email.as_deref());
        Ok(database.join(of, quote, session, person).await?.into())
    }

    /// Leaves; false when there was no such session
    async fn leave_quote_session(&self, context: &Context<'_>, session_id: ID) -> Result<bool, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(database.leave(of, uuid("sessionId", &session_id)?).await?)
    }

    /// Renews a session; false when it is unknown or stale: join again
    async fn update_session_heartbeat(
        &self,
        context: &Context<'_>,
        input: UpdateSessionHeartbeatInput,
    ) -> Result<bool, Failure> {
        let (database, of, _turn) = caller(context).await?;
        Ok(database.heartbeat(of, &Heartbeat::try_from(input)?).await?)
    }
}
