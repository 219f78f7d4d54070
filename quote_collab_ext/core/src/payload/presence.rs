//! The events of people: joined, left, moved, began or stopped editing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PresenceEventType {
    /// A session appeared.
    UserJoined,
    /// A session left or became stale.
    UserLeft,
    /// The cursor is elsewhere.
    CursorMoved,
    /// Began or stopped editing.
    EditingStatusChanged,
}

/// One presence event as published. Fields that do not belong to its type are absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresencePayload {
    /// Identity of this event.
    pub event_id: Uuid,
    /// When it was seen, RFC 3339, by the database's clock.
    pub timestamp: String,
    /// Owner of the quote.
    pub tenant_id: Uuid,
    /// The quote.
    pub quote_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// Name of that user.
    pub user_name: Option<String>,
    /// E-mail of that user.
    pub user_email: Option<String>,
    /// The session: one person may have several.
    pub session_id: Uuid,
    /// What happened.
    pub event_type: PresenceEventType,
    /// The line the cursor is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_id: Option<Uuid>,
    /// The field the cursor is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The place within the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor_position: Option<i32>,
    /// Whether the person is editing now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_editing: Option<bool>,
}
