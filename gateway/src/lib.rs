//! The gateway: events from PostgreSQL to NATS and to GraphQL subscribers.
//!
//! A change moves in one direction: log → relay → bus → hub → feed → socket. Each hop can be replayed from the one
//! before it, so no hop keeps state that could be lost. What is absent: any database read per subscriber and event,
//! any unbounded queue, any tenant that does not come from a token.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod config;
pub mod cursor;
pub mod duration;
pub mod embedded;
pub mod errand;
pub mod failure;
pub mod feed;
pub mod graphql;
pub mod http;
pub mod hub;
pub mod nats;
pub mod portion;
pub mod ports;
pub mod postgres;
pub mod presence;
pub mod rate_limit;
pub mod reading;
pub mod relay;
pub mod secret;
pub mod seldom;
pub mod serve;
pub mod shares;
pub mod shutdown;
pub mod telemetry;
pub mod token;
pub mod turns;
pub mod unread;
pub mod unsent;
pub mod upkeep;
pub mod websocket;
