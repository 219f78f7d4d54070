//! The GraphQL interface. It opens no socket and knows no SQL: it converts, calls and converts back.

mod ask;
mod demand;
mod error;
mod json;
mod model;
mod mutation;
mod operation;
mod plan;
mod query;
mod root;
mod size;
mod subscription;
mod variables;

use std::sync::Arc;

use async_graphql::{Context, SchemaBuilder};

use crate::failure::{Code, Failure};
use crate::hub::Hub;
use crate::postgres::Database;
use crate::presence::Board;
use crate::token::Identity;
use crate::turns::Turns;

pub use error::{code, is_request_error, with_codes, write, write_executed};
pub use operation::{LARGEST_MESSAGE, Operation, OperationError, Prepared};
pub use plan::Plan;

use mutation::Mutation;
use query::Query;
use subscription::Subscription;

/// The introspection query of the usual tools is 13 levels deep; nothing of ours comes near.
const DEEPEST: usize = 15;
/// Fields of one operation, introspection included.
const MOST_COMPLEX: usize = 1_000;
const MOST_DIRECTIVES: usize = 5;
/// Nesting of the text itself, checked while it is read.
const DEEPEST_TEXT: usize = 24;

/// The executable schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// What resolvers work with.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub database: Database,
    /// Events.
    pub hub: Arc<Hub>,
    /// People.
    pub board: Arc<Board>,
    /// Turns at the database.
    pub turns: Turns,
}

/// The schema with everything behind it.
#[must_use]
pub fn schema(services: Services) -> Schema {
    builder().data(services).finish()
}

/// The schema as text.
#[must_use]
pub fn sdl() -> String {
    builder().finish().sdl()
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation, Subscription)
        .limit_depth(DEEPEST)
        .limit_complexity(MOST_COMPLEX)
        .limit_directives(MOST_DIRECTIVES)
        .limit_recursive_depth(DEEPEST_TEXT)
        // A suggestion would spell the schema out to somebody who guesses.
        .disable_suggestions()
}

fn services<'a>(context: &Context<'a>) -> Result<&'a Services, Failure> {
    context.data::<Services>().map_err(|_| Failure::new(Code::Internal, "internal error"))
}

fn identity<'a>(context: &Context<'a>) -> Result<&'a Identity, Failure> {
    context
        .data_opt::<Identity>()
        .ok_or_else(|| Failure::new(Code::Unauthenticated, "a bearer token is required"))
}

#[cfg(test)]
mod tests;
