//! Set-up: the only room that lists a package. It looks first, installs only what is missing, and says what it does.

pub mod cargo_pgrx;
mod debian;
mod newer_nats;
mod npm;
mod other_release;
mod pgspot;
mod pip;
pub mod servers;

use std::path::{Path, PathBuf};

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use self::servers::Server;
use crate::progress::Progress;

/// The PostgreSQL that Debian 12 brings.
pub const POSTGRES: u32 = 15;

/// The oldest PostgreSQL that the extension is kept compiling for.
pub const OLDEST: u32 = 14;

/// The newest PostgreSQL that the extension is made for. Every proof runs on it and on Debian's.
pub const NEWEST: u32 = 18;

/// What for: `up` needs neither a browser nor Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To build and run.
    Run,
    /// To build, run and test the extension alone.
    Extension,
    /// To build, run and test everything.
    Test,
}

/// What set-up found or installed.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `pg_config` of Debian's server.
    pub pg_config: PathBuf,
    /// The servers to test with.
    pub servers: Vec<Server>,
    /// `cargo-pgrx` of the pinned version.
    pub cargo_pgrx: PathBuf,
    /// Its directory of settings for Debian's server.
    pub pgrx_home: PathBuf,
    /// Debian's `nats-server`.
    pub nats: PathBuf,
    /// A newer `nats-server`, where Python's pip could bring it.
    pub newer_nats: Option<PathBuf>,
    /// The linter of install scripts, where Python's pip could bring it.
    pub pgspot: Option<PathBuf>,
}

/// Installs what is missing.
pub fn run(place: &Place, purpose: Purpose, versions: &[u32], progress: &Progress) -> Result<Tools> {
    debian::install(purpose, progress)?;
    let pg_config = Server::of_debian().pg_config;
    let mut servers = Vec::new();
    for version in versions {
        servers.extend(servers::install(place, *version, progress)?);
    }
    let cargo_pgrx = cargo_pgrx::install(place, progress)?;
    let pgrx_home = cargo_pgrx::home(place, &Server::of_debian())?;
    let pgspot = (purpose >= Purpose::Extension).then(|| pgspot::install(place, progress)).flatten();
    let mut newer_nats = None;
    if purpose == Purpose::Test {
        npm::install(&place.clients(), progress)?;
        newer_nats = newer_nats::install(place, progress);
    }
    let nats = required("nats-server")?;
    Ok(Tools { pg_config, servers, cargo_pgrx, pgrx_home, nats, newer_nats, pgspot })
}

/// Chromium for the browser tests.
pub fn chromium() -> Result<PathBuf> {
    std::env::var_os("CHROMIUM").map_or_else(|| required("chromium"), |path| Ok(PathBuf::from(path)))
}

fn required(program: &str) -> Result<PathBuf> {
    program::find(program).ok_or_else(|| Failure::Missing {
        what: format!("{program} is not on the path"),
        hint: "cargo xtask setup".to_owned(),
    })
}

/// The directory with the programs of the server.
pub fn server_programs(pg_config: &Path) -> PathBuf {
    pg_config.parent().unwrap_or(pg_config).to_owned()
}
