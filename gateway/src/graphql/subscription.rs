//! Subscriptions. Access is asked once, under the token's tenant, when subscribing.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, Subscription};
use futures_util::{Stream, StreamExt, stream};
use quote_collab_core::change::Entity;
use quote_collab_core::subject::QuoteAddress;
use tokio::sync::watch;
use uuid::Uuid;

use super::ask::{Caller, room};
use super::error::uuid;
use super::model::{PresenceEvent, QuoteChangedEvent, QuoteLineChangedEvent};
use super::size::Selected;
use super::{identity, services};
use crate::failure::{Code, Failure};
use crate::feed::{self, Interest, Source};
use crate::hub::Event;
use crate::postgres::Session;
use crate::presence::People;
use crate::unread::{Room, Size};

/// A gateway that has just started has not looked at the sessions yet.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Bytes of one list of people, which is told anew whenever one of them moves.
const LARGEST_LIST: usize = 4 << 20;

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
    ) -> Result<impl Stream<Item = Result<PresenceEvent, Failure>> + use<>, Failure> {
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
        let (selected, room) = (Selected::of(context), room(context)?);
        let watching = Watching { quote, people, selected, room, list: None, state: State::First };
        Ok(stream::unfold(watching, |mut watching| async move {
            let item = watching.next().await?;
            Some((item, watching))
        }))
    }
}

/// Somebody who looks at a quote's people.
struct Watching {
    quote: Uuid,
    people: watch::Receiver<People>,
    selected: Selected,
    room: Arc<Room>,
    /// What the list takes. Whoever asks for the next one has sent the one before.
    list: Option<Room>,
    state: State,
}

enum State {
    First,
    Later,
    Ended,
}

impl Watching {
    async fn next(&mut self) -> Option<Result<PresenceEvent, Failure>> {
        self.list = None;
        match self.state {
            State::First => self.state = State::Later,
            State::Later => self.people.changed().await.ok()?,
            State::Ended => return None,
        }
        let people = Arc::clone(&self.people.borrow_and_update());
        match self.make_room(&people).await {
            Ok(()) => Some(Ok(PresenceEvent::new(self.quote, &people))),
            Err(failure) => {
                self.state = State::Ended;
                Some(Err(failure))
            }
        }
    }

    async fn make_room(&mut self, people: &[Session]) -> Result<(), Failure> {
        let size = self.selected.people(people);
        if size.answer > LARGEST_LIST {
            return Err(Failure::new(Code::PayloadTooLarge, "the list of people is too large")
                .hint("Ask for fewer fields of each."));
        }
        self.list = Some(self.room.event(size).await?);
        Ok(())
    }
}

async fn events(
    context: &Context<'_>,
    quote_id: &ID,
    after: Option<String>,
    entity: Entity,
) -> Result<impl Stream<Item = Result<Arc<Event>, Failure>> + use<>, Failure> {
    let (services, identity) = (services(context)?, identity(context)?.clone());
    let (quote, times) = (uuid("quoteId", quote_id)?, Selected::of(context).times());
    let interest = Interest { identity, quote, entity, after, times };
    let (database, turns) = (services.database.clone(), services.turns.clone());
    let source = Source { database, turns, room: room(context)? };
    feed::open(source, &services.hub, interest).await
}
