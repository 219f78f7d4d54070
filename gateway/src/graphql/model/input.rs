//! Inputs. Who asks, and for which tenant, is never part of one: the token says it. Old front ends send it all the same.

use async_graphql::{Enum, ID, InputObject};
use quote_collab_core::json::JsonText;

use crate::failure::Failure;
use crate::graphql::error::{optional_uuid, uuid};
use crate::graphql::json::Json;
use crate::postgres::{Heartbeat, Save};

/// New values for a quote's header
#[derive(InputObject)]
pub struct VersionedQuoteUpdateInput {
    /// The quote
    pub quote_id: ID,
    /// The version it was edited from
    pub version: Option<i32>,
    /// The same under its other name
    pub expected_version: Option<i32>,
    /// New values by field, camelCase or snake_case; numbers keep all their digits, and may be text
    pub changes: Json,
    /// The editing session
    pub session_id: Option<ID>,
}

/// New values for a quote's line
#[derive(InputObject)]
pub struct VersionedQuoteLineUpdateInput {
    /// The line
    pub line_id: ID,
    /// The version it was edited from
    pub version: Option<i32>,
    /// The same under its other name
    pub expected_version: Option<i32>,
    /// New values by field, camelCase or snake_case; numbers keep all their digits, and may be text
    pub changes: Json,
    /// The editing session
    pub session_id: Option<ID>,
}

/// Which quote to join
#[derive(InputObject)]
pub struct JoinQuoteSessionInput {
    /// A session to renew; without it a new one is made
    pub session_id: Option<ID>,
    /// The quote
    pub quote_id: ID,
    /// Accepted and ignored: the token says who joins
    pub user_id: Option<ID>,
    /// Accepted and ignored: the token says who joins
    pub user_name: Option<String>,
    /// Accepted and ignored: the token says who joins
    pub user_email: Option<String>,
}

/// What a person is doing
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum SessionStatus {
    /// Looks
    Viewing,
    /// Edits
    Editing,
    /// Does nothing
    Idle,
}

/// A sign of life, and where the cursor is
#[derive(InputObject)]
pub struct UpdateSessionHeartbeatInput {
    /// The session
    pub session_id: ID,
    /// The line the cursor is on; without it: on none
    pub current_line_id: Option<ID>,
    /// The field the cursor is in; without it: in none
    pub current_field: Option<String>,
    /// The place within the field
    pub cursor_position: Option<i32>,
    /// Whether the person is editing; without it: as before
    pub is_editing: Option<bool>,
    /// What the person is doing; without it: as before
    pub status: Option<SessionStatus>,
}

impl TryFrom<VersionedQuoteUpdateInput> for Save {
    type Error = Failure;

    fn try_from(input: VersionedQuoteUpdateInput) -> Result<Self, Failure> {
        Ok(Self {
            id: uuid("quoteId", &input.quote_id)?,
            expected_version: version(input.version, input.expected_version)?,
            changes: object(input.changes)?,
            session: optional_uuid("sessionId", input.session_id.as_ref())?,
        })
    }
}

impl TryFrom<VersionedQuoteLineUpdateInput> for Save {
    type Error = Failure;

    fn try_from(input: VersionedQuoteLineUpdateInput) -> Result<Self, Failure> {
        Ok(Self {
            id: uuid("lineId", &input.line_id)?,
            expected_version: version(input.version, input.expected_version)?,
            changes: object(input.changes)?,
            session: optional_uuid("sessionId", input.session_id.as_ref())?,
        })
    }
}

impl TryFrom<UpdateSessionHeartbeatInput> for Heartbeat {
    type Error = Failure;

    fn try_from(input: UpdateSessionHeartbeatInput) -> Result<Self, Failure> {
        let status = input.status.map(|status| match status {
            SessionStatus::Viewing => "VIEWING",
            SessionStatus::Editing => "EDITING",
            SessionStatus::Idle => "IDLE",
        });
        Ok(Self {
            session: uuid("sessionId", &input.session_id)?,
            current_line: optional_uuid("currentLineId", input.current_line_id.as_ref())?,
            current_field: input.current_field,
            cursor_position: input.cursor_position,
            is_editing: input.is_editing,
            status: status.map(str::to_owned),
        })
    }
}

fn version(version: Option<i32>, expected_version: Option<i32>) -> Result<i32, Failure> {
    match (version, expected_version) {
        (Some(one), Some(other)) if one != other => {
            Err(Failure::bad_input("version and expectedVersion must not differ"))
        }
        (Some(version), _) | (None, Some(version)) => Ok(version),
        (None, None) => Err(Failure::bad_input("version is required")),
    }
}

fn object(Json(changes): Json) -> Result<JsonText, Failure> {
    if changes.is_object() { Ok(changes) } else { Err(Failure::bad_input("changes must be an object")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_version_is_enough_and_two_must_agree() {
        assert_eq!(version(Some(5), None), Ok(5));
        assert_eq!(version(None, Some(5)), Ok(5));
        assert_eq!(version(Some(5), Some(5)), Ok(5));
        assert!(version(Some(5), Some(6)).is_err());
        assert!(version(None, None).is_err());
    }
}
