//! Presence: who has which quote open.
//!
//! The truth is the table of sessions. A wake-up, a tick or the moment at which somebody becomes stale makes the gateway
//! read it once, whatever the number of subscribers; they get the list of their quote when it differs from the last.

mod board;
mod diff;
mod told;
mod watch;

pub use board::{Board, People};
pub use watch::PresenceWatch;
