//! Editing sessions: who has which quote open.

use std::time::Duration;

use serde::Deserialize;
use tokio_postgres::types::{Json, Type};
use uuid::Uuid;

use super::context::RequestContext;
use super::database::{Database, unexpected};
use super::error::DatabaseError;

/// One person's presence on one quote.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Session {
    /// Identity of the session.
    pub session_id: Uuid,
    /// Owner of the quote.
    pub tenant_id: Uuid,
    /// The quote.
    pub quote_id: Uuid,
    /// Who.
    pub user_id: Uuid,
    /// That user's name.
    pub user_name: Option<String>,
    /// That user's e-mail.
    pub user_email: Option<String>,
    /// Since when.
    pub joined_at: String,
    /// Last sign of life.
    pub last_heartbeat: String,
    /// The line the cursor is on.
    pub current_line_id: Option<Uuid>,
    /// The field the cursor is in.
    pub current_field: Option<String>,
    /// The place within the field.
    pub cursor_position: Option<i32>,
    /// Whether the person is editing.
    pub is_editing: Option<bool>,
    /// VIEWING, EDITING or IDLE.
    pub status: Option<String>,
}

/// A sign of life, and where the cursor is.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The session.
    pub session: Uuid,
    /// The line the cursor is on.
    pub current_line: Option<Uuid>,
    /// The field the cursor is in.
    pub current_field: Option<String>,
    /// The place within the field.
    pub cursor_position: Option<i32>,
    /// Whether the person is editing; none keeps it.
    pub is_editing: Option<bool>,
    /// The status; none keeps it.
    pub status: Option<String>,
}

/// Everybody who is somewhere, at one moment.
#[derive(Clone, Debug, Default)]
pub struct PresenceSnapshot {
    /// All sessions of all tenants, oldest first.
    pub sessions: Vec<Session>,
    /// The moment, by the database's clock.
    pub seen_at: String,
    /// How long until the next session is stale if it stays silent.
    pub next_stale: Option<Duration>,
}

impl Database {
    /// Joins a quote, or renews the session of that id.
    ///
    /// # Errors
    ///
    /// When the quote is unknown or the database is away.
    pub async fn join(
        &self,
        context: RequestContext,
        quote: Uuid,
        session: Option<Uuid>,
        (name, email): (Option<&str>, Option<&str>),
    ) -> Result<Session, DatabaseError> {
        let parameters: [super::database::Parameter<'_>; 4] =
            [(&quote, Type::UUID), (&session, Type::UUID), (&name, Type::TEXT), (&email, Type::TEXT)];
        let joined = self.objects(context.in_session(session), &self.statements().join, &parameters).await?;
        joined.into_iter().next().ok_or_else(|| DatabaseError::Unexpected("no session".to_owned()))
    }

    /// Leaves; false when there was no such session.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn leave(&self, context: RequestContext, session: Uuid) -> Result<bool, DatabaseError> {
        self.value(context.in_session(Some(session)), &self.statements().leave, &[(&session, Type::UUID)])
            .await
    }

    /// Renews a session; false when it is unknown or stale.
    ///
    /// # Errors
    ///
    /// When a value is refused or the database is away.
    pub async fn heartbeat(&self, context: RequestContext, beat: &Heartbeat) -> Result<bool, DatabaseError> {
        self.value(
            context.in_session(Some(beat.session)),
            &self.statements().heartbeat,
            &[
                (&beat.session, Type::UUID),
                (&beat.current_line, Type::UUID),
                (&beat.current_field, Type::TEXT),
                (&beat.cursor_position, Type::INT4),
                (&beat.is_editing, Type::BOOL),
                (&beat.status, Type::TEXT),
            ],
        )
        .await
    }

    /// Who has a quote open, oldest first.
    ///
    /// # Errors
    ///
    /// When the quote is unknown or the database is away.
    pub async fn sessions(
        &self,
        context: RequestContext,
        quote: Uuid,
    ) -> Result<Vec<Session>, DatabaseError> {
        self.objects(context, &self.statements().sessions, &[(&quote, Type::UUID)]).await
    }

    /// Everybody of every tenant.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn presence(&self) -> Result<PresenceSnapshot, DatabaseError> {
        let rows = self.rows(RequestContext::own(), &self.statements().presence, &[]).await?;
        let mut snapshot = PresenceSnapshot::default();
        for row in &rows {
            snapshot.seen_at = row.try_get("seen_at").map_err(unexpected)?;
            let Some(Json(session)) = row.try_get("session").map_err(unexpected)? else { continue };
            let stale_in: i64 = row.try_get("stale_in_ms").map_err(unexpected)?;
            let stale_in = Duration::from_millis(u64::try_from(stale_in).unwrap_or_default());
            snapshot.next_stale = Some(snapshot.next_stale.map_or(stale_in, |next| next.min(stale_in)));
            snapshot.sessions.push(session);
        }
        Ok(snapshot)
    }

    /// Sweeps stale sessions, makes the next partition, drops old batches. Every gateway may call it at any time.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn maintain(&self) -> Result<(), DatabaseError> {
        // By itself: whoever comes back under the id of a session that is being deleted waits for that transaction.
        let swept = self.rows(RequestContext::own(), &self.statements().sweep, &[]).await;
        let kept = self.maintenance(&self.statements().maintenance).await;
        swept.and(kept).map(drop)
    }
}
