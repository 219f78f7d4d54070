//! Who has a quote open.

use async_graphql::{ID, SimpleObject};
use uuid::Uuid;

use super::id;
use crate::graphql::json::DateTime;
use crate::postgres::Session;

/// One person's presence on one quote
#[derive(SimpleObject)]
pub struct ActiveSession {
    /// Identity of the session
    session_id: ID,
    /// The quote
    quote_id: ID,
    /// Who
    user_id: ID,
    /// Name of that user
    user_name: Option<String>,
    /// E-mail of that user
    user_email: Option<String>,
    /// Since when
    joined_at: DateTime,
    /// Last sign of life
    last_heartbeat: DateTime,
    /// The line the cursor is on
    current_line_id: Option<ID>,
    /// The field the cursor is in
    current_field: Option<String>,
    /// The place within the field
    cursor_position: Option<i32>,
    /// Whether the person is editing
    is_editing: bool,
    /// VIEWING, EDITING or IDLE
    status: Option<String>,
}

/// One person of a presence event
#[derive(SimpleObject)]
pub struct ActiveUser {
    /// Identity of the session: one person may have several
    session_id: ID,
    /// Who
    user_id: ID,
    /// Name of that user
    user_name: Option<String>,
    /// E-mail of that user
    user_email: Option<String>,
    /// VIEWING, EDITING or IDLE
    status: Option<String>,
    /// Whether the person is editing
    is_editing: bool,
    /// The line the cursor is on
    current_line: Option<ID>,
    /// The field the cursor is in
    current_field: Option<String>,
    /// The place within the field
    cursor_position: Option<i32>,
    /// Since when
    joined_at: DateTime,
    /// Last sign of life
    last_seen: DateTime,
}

/// Everybody who has the quote open, oldest session first
#[derive(SimpleObject)]
pub struct PresenceEvent {
    /// The quote
    quote_id: ID,
    /// The people
    active_users: Vec<ActiveUser>,
}

impl PresenceEvent {
    /// The list of a quote.
    #[must_use]
    pub fn new(quote: Uuid, people: &[Session]) -> Self {
        Self { quote_id: id(quote), active_users: people.iter().cloned().map(ActiveUser::from).collect() }
    }
}

impl From<Session> for ActiveSession {
    fn from(session: Session) -> Self {
        Self {
            session_id: id(session.session_id),
            quote_id: id(session.quote_id),
            user_id: id(session.user_id),
            user_name: session.user_name,
            user_email: session.user_email,
            joined_at: DateTime(session.joined_at),
            last_heartbeat: DateTime(session.last_heartbeat),
            current_line_id: session.current_line_id.map(id),
            current_field: session.current_field,
            cursor_position: session.cursor_position,
            is_editing: session.is_editing.unwrap_or(false),
            status: session.status,
        }
    }
}

impl From<Session> for ActiveUser {
    fn from(session: Session) -> Self {
        Self {
            session_id: id(session.session_id),
            user_id: id(session.user_id),
            user_name: session.user_name,
            user_email: session.user_email,
            status: session.status,
            is_editing: session.is_editing.unwrap_or(false),
            current_line: session.current_line_id.map(id),
            current_field: session.current_field,
            cursor_position: session.cursor_position,
            joined_at: DateTime(session.joined_at),
            last_seen: DateTime(session.last_heartbeat),
        }
    }
}
