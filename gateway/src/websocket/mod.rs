//! graphql-transport-ws over WebSocket.
//!
//! Written by hand because the close codes are part of the interface: the standard client treats codes between 1000 and
//! 1999 as the end of the line, and 4403 as a reason to come back with a fresh token.

mod fault;
mod handshake;
mod intake;
mod link;
mod origin;
mod protocol;
mod silence;
mod socket;
mod upgrade;

pub use handshake::Handshake;
pub use origin::AllowedOrigins;
pub use upgrade::{Sockets, upgrade};
