//! What the chain of seals is made of; the chain itself is SQL.

mod digest;
pub mod signature;
