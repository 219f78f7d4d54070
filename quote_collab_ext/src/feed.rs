//! What readers of the log need that SQL cannot do, or not fast enough; the feed itself is SQL.

mod clock;
mod cluster;
pub mod kept_query;
mod months;
mod prepared;
