//! Mutations.

use async_graphql::{Context, ID, Object};

use super::error::{optional_uuid, uuid};
use super::model::{
    ActiveSession, JoinQuoteSessionInput, QuoteCollaborationResult, QuoteLineCollaborationResult,
    UpdateSessionHeartbeatInput, VersionedQuoteLineUpdateInput, VersionedQuoteUpdateInput,
};
use super::size::Selected;
use super::{ask::Caller, identity};
use crate::failure::Failure;
use crate::postgres::{Heartbeat, Save};
use crate::unread::Size;

/// A session, or a yes or no.
const SMALL: Size = Size::of(256);

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
        let (save, selected) = (Save::try_from(input)?, Selected::of(context));
        let saved = Caller::in_turn(context)?.change(
            move |database, of| async move { database.save_quote(of, &save).await },
            move |saved| selected.saved(saved),
        );
        Ok(saved.await?.into())
    }

    /// Saves fields of a line, and the quote's totals, if nobody else was first
    async fn update_quote_line_with_version_check(
        &self,
        context: &Context<'_>,
        input: VersionedQuoteLineUpdateInput,
    ) -> Result<QuoteLineCollaborationResult, Failure> {
        let (save, selected) = (Save::try_from(input)?, Selected::of(context));
        let saved = Caller::in_turn(context)?.change(
            move |database, of| async move { database.save_line(of, &save).await },
            move |saved| selected.saved(saved),
        );
        Ok(saved.await?.into())
    }

    /// Joins a quote, or renews a session
    async fn join_quote_session(
        &self,
        context: &Context<'_>,
        input: JoinQuoteSessionInput,
    ) -> Result<ActiveSession, Failure> {
        let identity = identity(context)?.clone();
        let quote = uuid("quoteId", &input.quote_id)?;
        let session = optional_uuid("sessionId", input.session_id.as_ref())?;
        let joined = Caller::in_turn(context)?.change(
            move |database, of| async move {
                let person = (identity.username.as_deref(), identity.email.as_deref());
                database.join(of, quote, session, person).await
            },
            |_| SMALL,
        );
        Ok(joined.await?.into())
    }

    /// Leaves; false when there was no such session
    async fn leave_quote_session(&self, context: &Context<'_>, session_id: ID) -> Result<bool, Failure> {
        let session = uuid("sessionId", &session_id)?;
        let left = Caller::in_turn(context)?
            .change(move |database, of| async move { database.leave(of, session).await }, |_| SMALL);
        left.await
    }

    /// Renews a session; false when it is unknown or stale: join again
    async fn update_session_heartbeat(
        &self,
        context: &Context<'_>,
        input: UpdateSessionHeartbeatInput,
    ) -> Result<bool, Failure> {
        let beat = Heartbeat::try_from(input)?;
        let beaten = Caller::in_turn(context)?
            .change(move |database, of| async move { database.heartbeat(of, &beat).await }, |_| SMALL);
        beaten.await
    }
}
