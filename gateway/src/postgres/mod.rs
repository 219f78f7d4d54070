//! PostgreSQL: the only room that knows SQL.
//!
//! Requests run through a small pool, each in one transaction that carries its tenant and user; one more connection
//! listens. Everything works through a pooler in transaction mode, except LISTEN, which then needs a direct address.

mod change_log;
mod connection;
mod context;
mod database;
mod error;
mod listener;
mod loan;
mod quotes;
mod sessions;
mod statements;
mod subscriptions;

pub use change_log::PostgresChangeLog;
pub use context::{CLIENT_CHECK, RequestContext};
pub use database::Database;
pub use error::DatabaseError;
pub use listener::{Channels, WakeUp, WakeUps, listen};
pub use quotes::{Conflict, HistoryRecord, Save, Saved, WholeQuote};
pub use sessions::{Heartbeat, PresenceSnapshot, Session};
pub use subscriptions::Missed;
