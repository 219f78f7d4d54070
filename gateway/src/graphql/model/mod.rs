//! The types of the GraphQL interface: projections of what the other rooms have, with the names of the front end.

mod event;
mod history;
mod input;
mod save;
mod session;

pub use event::{QuoteChangedEvent, QuoteLineChangedEvent};
pub use history::QuoteChangeRecord;
pub use input::{
    JoinQuoteSessionInput, UpdateSessionHeartbeatInput, VersionedQuoteLineUpdateInput,
    VersionedQuoteUpdateInput,
};
pub use save::{QuoteCollaborationResult, QuoteLineCollaborationResult};
pub use session::{ActiveSession, PresenceEvent};

use async_graphql::ID;
use uuid::Uuid;

/// A UUID as the interface spells ids.
fn id(uuid: Uuid) -> ID {
    ID(uuid.to_string())
}
