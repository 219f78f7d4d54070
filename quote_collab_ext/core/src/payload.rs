//! The event a reader gets: a projection of [`Change`] with the names of the public interface.
//!
//! One flat structure for all event types, because the readers that exist pick fields by name. It is written to
//! NATS and read back by the hub, so both directions live here. Values pass through as their text: neither
//! direction may buffer one through a self-describing intermediate (no `flatten`, no `untagged`), which would take it apart.

use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use crate::change::{Change, Entity, FieldChange, Operation};
use crate::json::{JsonText, Members};
use crate::naming::{camel_case, spelling};

mod presence;

pub use presence::{PresenceEventType, PresencePayload};

const TOTALS: [&str; 8] = [
    "subtotal",
    "tax_amount",
    "shipping_amount",
    "discount_amount",
    "total_amount",
    "total_cost",
    "margin_amount",
    "margin_percentage",
];
/// The five a reader shows below the lines.
pub const SHOWN_TOTALS: [&str; 5] =
    ["subtotal", "tax_amount", "shipping_amount", "discount_amount", "total_amount"];
/// Texts that a reader shows apart.
pub const NOTES: [&str; 2] = ["notes", "terms_and_conditions"];
/// What is told apart from all other fields when it changes.
pub const STATUS: &str = "status";
const LINE_NUMBER: &str = "line_number";
/// What the context calls the roles of changed columns, by column.
const ROLES: &str = "roles";
/// What the context calls the changed columns that are told as they are named, since another has the name in camelCase.
const NAMED: &str = "named";

/// What happened, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventType {
    /// The quote appeared.
    QuoteCreated,
    /// Header fields changed.
    QuoteUpdated,
    /// The status changed, perhaps with other fields.
    QuoteStatusChanged,
    /// Nothing but totals changed.
    QuoteTotalsRecalculated,
    /// The quote is gone.
    QuoteDeleted,
    /// A line appeared.
    QuoteLineAdded,
    /// Fields of a line changed.
    QuoteLineUpdated,
    /// A line is gone.
    QuoteLineDeleted,
}

/// What happened, as the front end distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChangeType {
    /// The quote appeared.
    QuoteCreated,
    /// Header fields changed.
    HeaderUpdated,
    /// The status changed, perhaps with other fields.
    StatusChanged,
    /// Nothing but notes or terms changed.
    NotesUpdated,
    /// Nothing but totals changed, and margins with them.
    Recalculated,
    /// The quote is gone.
    QuoteDeleted,
    /// A line appeared.
    LineAdded,
    /// Fields of a line changed.
    LineUpdated,
    /// A line is gone.
    LineDeleted,
}

/// One event as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPayload {
    /// Identity, minted once in PostgreSQL; also the message id in JetStream.
    pub event_id: Uuid,
    /// When, RFC 3339.
    pub timestamp: String,
    /// Owner of the quote.
    pub tenant_id: Uuid,
    /// The quote.
    pub quote_id: Uuid,
    /// Who, if known.
    pub user_id: Option<Uuid>,
    /// Name of that user.
    pub user_name: Option<String>,
    /// The editing session it came from, so that a client can recognise its own change.
    pub session_id: Option<Uuid>,
    /// What happened.
    pub event_type: EventType,
    /// What happened, as the front end distinguishes it.
    pub change_type: ChangeType,
    /// The line, for line events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_id: Option<Uuid>,
    /// Its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_number: Option<i64>,
    /// Version of the row after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
    /// What is different, for updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Vec<ChangedField>>,
    /// The status before, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_status: Option<String>,
    /// The status after, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_status: Option<String>,
    /// The quote's totals after a recalculation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_totals: Option<Members>,
    /// The whole new line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_data: Option<Members>,
    /// The whole new quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote_data: Option<Members>,
    /// Values were left out because the event was larger than the server takes; the history holds them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncated: bool,
}

/// One changed field as published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedField {
    /// Column name in camelCase, or as it is where another column has that name.
    pub field: String,
    /// Value before; absent only in a truncated event.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub old_value: Option<JsonText>,
    /// Value after; absent only in a truncated event.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub new_value: Option<JsonText>,
}

impl EventPayload {
    /// The event that a change is told as.
    #[must_use]
    pub fn of(change: Change) -> Self {
        let (event_type, change_type) = types(&change);
        let row = change.row();
        let line_number = line_number(&change, row.as_ref());
        let created = row.filter(|_| change.operation == Operation::Create).map(spelled_row);
        let (quote_data, line_data) = match change.entity {
            Entity::Quote => (created, None),
            Entity::QuoteLine => (None, created),
        };
        let roles = Roles::of(&change);
        let status = roles.field(STATUS).filter(|_| event_type == EventType::QuoteStatusChanged);
        let recalculated = event_type == EventType::QuoteTotalsRecalculated;
        let truncated = change.truncated;
        let event = Self {
            event_id: change.event_id,
            tenant_id: change.tenant_id,
            quote_id: change.quote_id,
            user_id: change.actor,
            session_id: change.session_id,
            event_type,
            change_type,
            line_id: change.line_id,
            line_number,
            version: change.version_after,
            old_status: status.and_then(|status| text(&status.old)),
            new_status: status.and_then(|status| text(&status.new)),
            new_totals: recalculated.then(|| shown_totals(&change)),
            line_data,
            quote_data,
            truncated: false,
            changes: (change.operation == Operation::Update)
                .then(|| changed_fields(change.fields, change.context.as_ref())),
            timestamp: change.at,
            user_name: change.actor_name,
        };
        if truncated { event.truncated() } else { event }
    }

    /// The same event without its values, for a server that refuses one of this size.
    #[must_use]
    pub fn truncated(mut self) -> Self {
        for change in self.changes.iter_mut().flatten() {
            change.old_value = None;
            change.new_value = None;
        }
        self.line_data = None;
        self.quote_data = None;
        self.truncated = true;
        self
    }

    /// Only which row is another now: for a server that refuses even the names of what changed.
    #[must_use]
    pub fn bare(self) -> Self {
        let event = self.truncated();
        Self {
            user_name: None,
            changes: event.changes.map(|_| Vec::new()),
            old_status: None,
            new_status: None,
            new_totals: None,
            ..event
        }
    }

    /// Header or line: which subscription this belongs to.
    #[must_use]
    pub const fn entity(&self) -> Entity {
        match self.event_type {
            EventType::QuoteLineAdded | EventType::QuoteLineUpdated | EventType::QuoteLineDeleted => {
                Entity::QuoteLine
            }
            _ => Entity::Quote,
        }
    }
}

fn types(change: &Change) -> (EventType, ChangeType) {
    let roles = Roles::of(change);
    match (change.entity, change.operation) {
        (Entity::QuoteLine, Operation::Create) => (EventType::QuoteLineAdded, ChangeType::LineAdded),
        (Entity::QuoteLine, Operation::Update) => (EventType::QuoteLineUpdated, ChangeType::LineUpdated),
        (Entity::QuoteLine, Operation::Delete) => (EventType::QuoteLineDeleted, ChangeType::LineDeleted),
        (Entity::Quote, Operation::Create) => (EventType::QuoteCreated, ChangeType::QuoteCreated),
        (Entity::Quote, Operation::Delete) => (EventType::QuoteDeleted, ChangeType::QuoteDeleted),
        (Entity::Quote, Operation::Update) if roles.only(&TOTALS) && roles.any(&SHOWN_TOTALS) => {
            (EventType::QuoteTotalsRecalculated, ChangeType::Recalculated)
        }
        (Entity::Quote, Operation::Update) if roles.field(STATUS).is_some() => {
            (EventType::QuoteStatusChanged, ChangeType::StatusChanged)
        }
        (Entity::Quote, Operation::Update) if roles.only(&NOTES) => {
            (EventType::QuoteUpdated, ChangeType::NotesUpdated)
        }
        (Entity::Quote, Operation::Update) => (EventType::QuoteUpdated, ChangeType::HeaderUpdated),
    }
}

/// The changed fields under the names of the roles that they play. Columns that are called otherwise say so in the context.
struct Roles<'a>(Vec<(String, &'a FieldChange)>);

impl<'a> Roles<'a> {
    fn of(change: &'a Change) -> Self {
        let told = change.context.as_ref().and_then(|context| context.get(ROLES)?.members());
        let role = |field: &FieldChange| match told.as_ref().and_then(|told| told.get(&field.field)) {
            Some(role) => role.string(),
            None => Some(field.field.clone()),
        };
        Self(change.fields.iter().map(|field| (role(field).unwrap_or_default(), field)).collect())
    }

    fn field(&self, role: &str) -> Option<&'a FieldChange> {
        self.0.iter().find(|(played, _)| played == role).map(|(_, field)| *field)
    }

    fn any(&self, roles: &[&str]) -> bool {
        roles.iter().any(|role| self.field(role).is_some())
    }

    fn only(&self, roles: &[&str]) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(played, _)| roles.contains(&played.as_str()))
    }
}

fn changed_fields(fields: Vec<FieldChange>, context: Option<&Members>) -> Vec<ChangedField> {
    let named = context.and_then(|context| context.get(NAMED)?.members()).unwrap_or_default();
    let changed = |FieldChange { field, old, new }| ChangedField {
        field: spelling(&field, |_| named.contains_key(&field)),
        old_value: Some(old),
        new_value: Some(new),
    };
    fields.into_iter().map(changed).collect()
}

/// A row with its columns as they are called at the JSON border.
#[must_use]
pub fn spelled_row(row: Members) -> Members {
    let spelled: Vec<_> = row.keys().map(|column| spelling(column, |name| row.contains_key(name))).collect();
    spelled.into_iter().zip(row.into_values()).collect()
}

/// The context has the totals after the change; a change without it still knows those that it touched.
fn shown_totals(change: &Change) -> Members {
    let roles = Roles::of(change);
    let after = |role: &str| {
        let context = change.context.as_ref().and_then(|context| context.get(role));
        context.or_else(|| roles.field(role).map(|field| &field.new)).cloned()
    };
    SHOWN_TOTALS.iter().filter_map(|role| Some((camel_case(role), after(role)?))).collect()
}

fn line_number(change: &Change, row: Option<&Members>) -> Option<i64> {
    let known = change.context.as_ref().and_then(|context| context.get(LINE_NUMBER));
    known.or_else(|| row?.get(LINE_NUMBER)).and_then(JsonText::integer)
}

fn text(value: &JsonText) -> Option<String> {
    if value.is_null() {
        return None;
    }
    Some(value.string().unwrap_or_else(|| value.text().to_owned()))
}

/// Serde reads a null as an absent option; here null is a value and only a missing key is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JsonText>, D::Error> {
    JsonText::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
