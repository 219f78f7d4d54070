//! Where PostgreSQL calls the library without having been asked: when statements begin and end, transactions end, catalogs change.

mod invalidation;
pub mod statement;
pub mod transaction;
mod utility;

/// Installs all of them, once per backend, or in the server that preloads the library.
pub fn watch() {
    transaction::watch();
    statement::watch();
    utility::watch();
    invalidation::watch();
}
