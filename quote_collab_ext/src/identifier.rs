//! Ids of what the library writes.

use pgrx::prelude::*;

/// A UUID of version 7: 48 bits of milliseconds, then a counter and random bits; ascending within a backend.
#[pg_extern(volatile, parallel_safe)]
pub fn uuid_generate_v7() -> pgrx::Uuid {
    pgrx::Uuid::from_bytes(uuid::Uuid::now_v7().into_bytes())
}

extension_sql!(
    r"
comment on function uuid_generate_v7() is 'a new UUID of version 7, ascending with time';
",
    name = "identifier_comments",
    requires = [uuid_generate_v7]
);
