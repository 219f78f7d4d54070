//! The servers that `up` keeps running and the tests start for themselves: PostgreSQL, NATS, gateway.
#![expect(
    clippy::missing_errors_doc,
    reason = "every function fails with a Failure, which says what to do next"
)]

pub mod cluster;
pub mod erp;
pub mod failure;
pub mod gateway;
pub mod nats;
pub mod place;
pub mod port;
pub mod process;
pub mod program;
pub mod psql;
pub mod server_user;
