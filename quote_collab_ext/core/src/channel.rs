//! The channels of NOTIFY. What is sent over them is empty, since any SQL user can listen: look again.

/// A change of a quote or of a line has been committed.
pub const EVENTS: &str = "quote_events";

/// Somebody joined, left or moved.
pub const PRESENCE: &str = "quote_presence";
