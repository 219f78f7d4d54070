//! The world the tests run in: the real PostgreSQL, NATS, gateway and clients, on free ports, gone when the test ends.
//!
//! `cargo xtask test` builds what is needed and says in the environment where it is.
#![expect(clippy::missing_panics_doc, reason = "a test harness reports by panicking: every function may")]

pub mod bench;
pub mod browser;
pub mod built;
pub mod bypass;
pub mod catalog;
pub mod doctor;
pub mod erp;
pub mod gateway;
pub mod graphql;
pub mod history;
pub mod ledger;
pub mod listener;
pub mod load;
pub mod nats;
pub mod node;
pub mod patience;
pub mod people;
pub mod postgres;
pub mod rights;
pub mod scratch;
pub mod signer;
pub mod spoof;
pub mod statement;
pub mod subscriber;
mod template;
pub mod waker;
pub mod wire;
pub mod world;

pub use browser::Browser;
pub use erp::Erp;
pub use gateway::Gateway;
pub use graphql::{Answer, ask, post, talk};
pub use ledger::{Ledger, Told};
pub use listener::Listener;
pub use load::Load;
pub use nats::{Nats, Release};
pub use node::{Node, node};
pub use patience::{eventually, within};
pub use people::{ALICE, BOB, CAROL, Person, TENANT, TENANT_OTHER};
pub use postgres::{Postgres, Settings};
pub use subscriber::{Kind, Subscriber};
pub use wire::Wire;
pub use world::{Quote, World};
