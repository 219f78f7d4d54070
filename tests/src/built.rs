//! Where the things under test are: said by `cargo xtask test` through the environment.

use std::path::PathBuf;

use xtask::place::Place;

/// The clone.
#[must_use]
pub fn place() -> Place {
    Place::find().unwrap_or_else(|failure| panic!("{failure}"))
}

/// The packaged extension, laid out like `/`.
#[must_use]
pub fn extension() -> PathBuf {
    required("QUOTE_COLLAB_EXTENSION")
}

/// The gateway binary.
#[must_use]
pub fn gateway() -> PathBuf {
    required("QUOTE_COLLAB_GATEWAY")
}

/// The programs of the PostgreSQL server.
#[must_use]
pub fn server_programs() -> PathBuf {
    let pg_config = required("QUOTE_COLLAB_PG_CONFIG");
    pg_config.parent().expect("pg_config is in a directory").to_owned()
}

/// Debian's NATS server.
#[must_use]
pub fn nats_server() -> PathBuf {
    required("NATS_SERVER")
}

/// A newer NATS server, where set-up could bring one.
#[must_use]
pub fn newer_nats_server() -> Option<PathBuf> {
    std::env::var_os("NATS_SERVER_NEW").map(PathBuf::from)
}

/// The linter pgspot, as a directory for Python's path, where set-up could bring it.
#[must_use]
pub fn pgspot() -> Option<PathBuf> {
    std::env::var_os("QUOTE_COLLAB_PGSPOT").map(PathBuf::from)
}

/// The browser.
#[must_use]
pub fn chromium() -> PathBuf {
    required("CHROMIUM")
}

/// The npm package with the clients.
#[must_use]
pub fn clients() -> PathBuf {
    let modules = required("QUOTE_COLLAB_NODE_MODULES");
    assert!(modules.is_dir(), "{} is not there: `cargo xtask setup` installs it", modules.display());
    modules.parent().expect("node_modules is in a directory").to_owned()
}

/// An older server and the extension packaged for it, where the tests run on a newer one.
#[must_use]
pub fn older() -> Option<Build> {
    let pg_config = PathBuf::from(std::env::var_os("QUOTE_COLLAB_OLDER_PG_CONFIG")?);
    let programs = pg_config.parent().expect("pg_config is in a directory").to_owned();
    Some(Build { programs, extension: required("QUOTE_COLLAB_OLDER_EXTENSION") })
}

/// A server, and the extension for it.
#[derive(Debug, Clone)]
pub struct Build {
    /// The programs of the server.
    pub programs: PathBuf,
    /// The packaged extension.
    pub extension: PathBuf,
}

impl Build {
    /// What the tests run on.
    #[must_use]
    pub fn under_test() -> Self {
        Self { programs: server_programs(), extension: extension() }
    }
}

fn required(variable: &str) -> PathBuf {
    let Some(value) = std::env::var_os(variable) else {
        panic!("{variable} is not set: `cargo xtask test` builds what the tests need and sets it")
    };
    PathBuf::from(value)
}
