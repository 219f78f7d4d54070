//! Subscriptions. Access is asked once, under the token's tenant, when subscribing.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt, stream};
use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;

use super::ask::{Caller, room};
use super::error::uuid;
use super::model::{PresenceEvent, QuoteChangedEvent, QuoteLineChangedEvent};
use super::{identity, services};
use crate::failure::{Code, Failure};
use crate::feed::{self, Interest, Source};
use crate::hub::Event;
use crate::unread::Size;

/// A gateway that has just started has not looked at the sessions yet.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// The root of subscriptions.
pub struct Subscription;

#[Subscription]
impl Subscription {
    /// Changes of a quote's header, behind `after` or from now on
    async fn quote_changed(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<QuoteChangedEvent, Failure>> + use<>, Failure> {
        let events = events(context, &quote_id, after, Entity::Quote).await?;
        Ok(events.map(|event| Ok(QuoteChangedEvent(event?))))
    }

    /// Changes of a quote's lines, behind `after` or from now on
    async fn quote_line_changed(
        &self,
        context: &Context<'_>,
        quote_id: ID,
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<QuoteLineChangedEvent, Failure>> + use<>, Failure> {
        let events = events(context, &quote_id, after, Entity::QuoteLine).await?;
        Ok(events.map(|event| Ok(QuoteLineChangedEvent(event?))))
    }

    /// Who has a quote open: at once, then whenever it changes
    async fn presence_updated(
        &self,
        context: &Context<'_>,
        quote_id: ID,
    ) -> Result<impl Stream<Item = PresenceEvent> + use<>, Failure> {
        let (services, quote) = (services(context)?, uuid("quoteId", &quote_id)?);
        let people = services.board.watch(QuoteAddress { tenant: identity(context)?.tenant, quote });
        let is_accessible = Caller::of(context)?.read(
            move |database, of| async move { database.is_accessible(of, quote).await },
            |_| Size::of(0),
        );
        if !is_accessible.await? {
            return Err(Failure::quote_not_found());
        }
        if !services.board.looked(FIRST_LOOK).await {
            return Err(Failure::new(Code::ServiceUnavailable, "the database cannot be reached"));
        }
        Ok(stream::unfold((people, true), move |(mut people, first)| async move {
            if !first {
                people.changed().await.ok()?;
            }
            let event = PresenceEvent::new(quote, &people.borrow_and_update());
            Some((event, (people, false)))
        }))
    }
}

async fn events(
    context: &Context<'_>,
    quote_id: &ID,
    after: Option<String>,
    entity: Entity,
) -> Result<impl Stream<Item = Result<Arc<Event>, Failure>> + use<>, Failure> {
    let (services, identity) = (services(context)?, identity(context)?.clone());
    let interest = Interest { identity, quote: uuid("quoteId", quote_id)?, entity, after };
    let (database, turns) = (services.database.clone(), services.turns.clone());
    let source = Source { database, turns, room: room(context)? };
    feed::open(source, &services.hub, interest).await
}
