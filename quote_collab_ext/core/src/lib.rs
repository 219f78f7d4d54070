//! The pure core of quote collaboration.
//!
//! What is absent: PostgreSQL, an async runtime, a clock, any I/O, any unsafe code. Everything here is a
//! function of its arguments, so that the extension and the gateway agree on one definition of a change.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod chain;
pub mod change;
pub mod channel;
pub mod diff;
pub mod digest;
pub mod json;
pub mod jsonb;
pub mod naming;
pub mod payload;
pub mod subject;
pub mod token;
pub mod watch;
