//! Events of quotes and lines.

use std::sync::Arc;

use async_graphql::{Enum, ID, Object, SimpleObject};
use quote_collab_core::json::{JsonText, Members};
use quote_collab_core::payload::{ChangeType, ChangedField, EventType};

use super::id;
use crate::graphql::json::{DateTime, Json};
use crate::hub::Event;

/// What happened, coarsely
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "EventType")]
#[expect(clippy::enum_variant_names, reason = "the names are those of the payload")]
pub enum QuoteEventType {
    QuoteCreated,
    QuoteUpdated,
    QuoteStatusChanged,
    QuoteTotalsRecalculated,
    QuoteDeleted,
    QuoteLineAdded,
    QuoteLineUpdated,
    QuoteLineDeleted,
}

/// What happened, as the front end distinguishes it
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "ChangeType")]
pub enum QuoteChangeType {
    QuoteCreated,
    HeaderUpdated,
    StatusChanged,
    NotesUpdated,
    Recalculated,
    QuoteDeleted,
    LineAdded,
    LineUpdated,
    LineDeleted,
}

/// One changed field
#[derive(SimpleObject)]
pub struct FieldChange {
    /// Name in camelCase, or as it is where another column has that name
    field: String,
    /// Value before; numbers with all their digits
    old_value: Option<Json>,
    /// Value after; numbers with all their digits
    new_value: Option<Json>,
}

/// A change of a quote's header
pub struct QuoteChangedEvent(pub Arc<Event>);

/// A change of a quote's line
pub struct QuoteLineChangedEvent(pub Arc<Event>);

/// What both have
struct AnyEvent(Arc<Event>);

#[Object]
impl AnyEvent {
    /// Identity of the event
    async fn event_id(&self) -> ID {
        id(self.0.payload.event_id)
    }
    /// Place of the event, to subscribe again behind it
    async fn cursor(&self) -> String {
        self.0.cursor.text()
    }
    /// When, by the database's clock
    async fn timestamp(&self) -> DateTime {
        DateTime(self.0.payload.timestamp.clone())
    }
    /// The quote
    async fn quote_id(&self) -> ID {
        id(self.0.payload.quote_id)
    }
    /// Owner of the quote
    async fn tenant_id(&self) -> ID {
        id(self.0.payload.tenant_id)
    }
    /// Who, if known
    async fn user_id(&self) -> Option<ID> {
        self.0.payload.user_id.map(id)
    }
    /// Name of that user
    async fn user_name(&self) -> Option<&str> {
        self.0.payload.user_name.as_deref()
    }
    /// The editing session it came from
    async fn session_id(&self) -> Option<ID> {
        self.0.payload.session_id.map(id)
    }
    /// What happened, coarsely
    async fn event_type(&self) -> QuoteEventType {
        self.0.payload.event_type.into()
    }
    /// What happened, as the front end distinguishes it
    async fn change_type(&self) -> QuoteChangeType {
        self.0.payload.change_type.into()
    }
    /// What is different; empty when the whole quote or line appeared or is gone
    async fn changes(&self) -> Vec<FieldChange> {
        changes(self.0.payload.changes.as_deref())
    }
    /// Version of the header or line after the change
    async fn version(&self) -> Option<i32> {
        self.0.payload.version
    }
    /// Values were left out because the event is too large; the history holds them
    async fn truncated(&self) -> bool {
        self.0.payload.truncated
    }
}

#[Object]
impl QuoteChangedEvent {
    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "the library wants every method so")]
    async fn any(&self) -> AnyEvent {
        AnyEvent(Arc::clone(&self.0))
    }
    /// The status before, when it changed
    async fn old_status(&self) -> Option<&str> {
        self.0.payload.old_status.as_deref()
    }
    /// The status after, when it changed
    async fn new_status(&self) -> Option<&str> {
        self.0.payload.new_status.as_deref()
    }
    /// The totals after a recalculation
    async fn new_totals(&self) -> Option<Json> {
        object(self.0.payload.new_totals.as_ref())
    }
}

#[Object]
impl QuoteLineChangedEvent {
    #[graphql(flatten)]
    #[expect(clippy::unused_async, reason = "the library wants every method so")]
    async fn any(&self) -> AnyEvent {
        AnyEvent(Arc::clone(&self.0))
    }
    /// The line
    async fn line_id(&self) -> Option<ID> {
        self.0.payload.line_id.map(id)
    }
    /// Its number
    async fn line_number(&self) -> Option<i64> {
        self.0.payload.line_number
    }
    /// The whole line, when it appeared
    async fn line_data(&self) -> Option<Json> {
        object(self.0.payload.line_data.as_ref())
    }
}

fn changes(changes: Option<&[ChangedField]>) -> Vec<FieldChange> {
    let projected = changes.into_iter().flatten().map(|change| FieldChange {
        field: change.field.clone(),
        old_value: change.old_value.clone().map(Json),
        new_value: change.new_value.clone().map(Json),
    });
    projected.collect()
}

fn object(fields: Option<&Members>) -> Option<Json> {
    fields.and_then(|fields| JsonText::of(fields).ok()).map(Json)
}
