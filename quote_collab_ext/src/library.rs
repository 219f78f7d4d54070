//! Which release a library is of: a session keeps the one that it began with, whatever is put in its place on disk.

use pgrx::prelude::*;

/// The release of the library that this session has loaded; a server that preloads one gives it to every session.
#[pg_extern(stable, parallel_safe)]
const fn quote_library_release() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

extension_sql!(
    r"
comment on function quote_library_release() is 'the release of the library that this session has loaded';
",
    name = "library_comments",
    requires = [quote_library_release]
);
