//! Asking the database in the caller's name, when it is the caller's turn and there is room for the answer.

use std::future::Future;
use std::sync::Arc;

use async_graphql::Context;

use super::error::kind;
use super::{identity, services};
use crate::errand::errand;
use crate::failure::{Code, Failure};
use crate::postgres::{Database, DatabaseError, RequestContext};
use crate::turns::Turns;
use crate::unread::{Room, Size};

/// Few answers are larger.
const ORDINARY: usize = 64 << 10;
/// Of what may be large an operation has one at a time, and leaves room for others of its socket.
const MUCH: usize = 3 << 20;

/// Somebody whose request is executed.
pub struct Caller {
    database: Database,
    of: RequestContext,
    turns: Turns,
    room: Arc<Room>,
    wants_much: bool,
}

impl Caller {
    /// Whose request it is, and the room for its answer.
    ///
    /// # Errors
    ///
    /// When nobody has said who it is.
    pub fn of(context: &Context<'_>) -> Result<Self, Failure> {
        let (services, identity) = (services(context)?, identity(context)?);
        Ok(Self {
            database: services.database.clone(),
            of: RequestContext::of(identity),
            turns: services.turns.clone(),
            room: room(context)?,
            wants_much: false,
        })
    }

    /// The same for a field of a mutation. What stands behind one that failed is not begun: the library would go on. It keeps what failed in
    /// any way, so also arguments that it could not read.
    ///
    /// # Errors
    ///
    /// When nobody has said who it is, or what stands before it failed.
    pub fn in_turn(context: &Context<'_>) -> Result<Self, Failure> {
        let errors = &context.query_env.errors;
        let failed = errors.lock().ok().and_then(|errors| Some(kind(errors.first()?)));
        failed.map_or_else(
            || Self::of(context),
            |code| Err(Failure::new(code, "not begun: what stands before it failed")),
        )
    }

    /// What is asked for may be large.
    #[must_use]
    pub const fn for_much(mut self) -> Self {
        self.wants_much = true;
        self
    }

    /// Part of an answer, which is refused where there is no room for it.
    ///
    /// # Errors
    ///
    /// When the statement fails, or the answer gets too large.
    pub async fn read<T, F>(
        self,
        statement: impl FnOnce(Database, RequestContext) -> F + Send + 'static,
        size: impl FnOnce(&T) -> Size + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DatabaseError>> + Send + 'static,
    {
        self.ask(|_| Ok(()), statement, move |room, answer| room.charge(size(answer))).await
    }

    /// What became of a change, which is told in any case.
    ///
    /// # Errors
    ///
    /// When the statement fails, or was not begun because there is no room for what becomes of it.
    pub async fn change<T, F>(
        self,
        statement: impl FnOnce(Database, RequestContext) -> F + Send + 'static,
        size: impl FnOnce(&T) -> Size + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DatabaseError>> + Send + 'static,
    {
        let hold = move |room: &Room, done: &T| {
            room.hold(size(done).answer);
            Ok(())
        };
        self.ask(Room::may_begin, statement, hold).await.map_err(|failure| {
            let is_known = failure.code != Code::ServiceUnavailable || failure.sqlstate.is_some();
            if is_known { failure } else { failure.perhaps_done() }
        })
    }

    async fn ask<T, F>(
        self,
        begin: impl FnOnce(&Room) -> Result<(), Failure> + Send + 'static,
        statement: impl FnOnce(Database, RequestContext) -> F + Send + 'static,
        count: impl FnOnce(&Room, &T) -> Result<(), Failure> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DatabaseError>> + Send + 'static,
    {
        errand(async move {
            let _alone = if self.wants_much { Some(self.room.large_part().await) } else { None };
            let expected = if self.wants_much { MUCH } else { ORDINARY };
            let mut turn = self.room.turn(&self.turns, expected).await?;
            begin(&self.room)?;
            let answer = turn.run(statement(self.database, self.of)).await?;
            count(&self.room, &answer)?;
            Ok(answer)
        })
        .await
    }
}

/// The room for the answer to this request. Whoever has a request executed makes it.
///
/// # Errors
///
/// When there is none, which is a fault of ours.
pub fn room(context: &Context<'_>) -> Result<Arc<Room>, Failure> {
    let room = context.data::<Arc<Room>>().map_err(|_| Failure::new(Code::Internal, "internal error"))?;
    Ok(Arc::clone(room))
}
