//! NATS: the only room that knows its client.
//!
//! `JetStream` holds the stream of quote events; presence goes over core NATS. The server may come and go at any time:
//! the client reconnects for ever, the relay re-reads its position, the hub's reader re-creates its consumer.

mod address;
mod beginning;
mod bus;
mod connection;
mod headers;
mod reader;
mod stream;

pub use bus::NatsBus;
pub use connection::{NatsConnection, NatsError};
pub use reader::StreamReader;
