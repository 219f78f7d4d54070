//! Where things are: the clone, what is built, what is kept running.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The directories of one clone.
#[derive(Debug, Clone)]
pub struct Place {
    /// The clone.
    pub root: PathBuf,
    /// What cargo builds, and tools installed for this clone only.
    pub target: PathBuf,
    /// Data, logs and environment of `up`. Always below the clone, so that the documentation can name it.
    pub up: PathBuf,
}

impl Place {
    /// Finds the clone this program is run in: cargo says where. Only without cargo is it the clone it was built from, which
    /// another one that shares its target directory may be.
    pub fn find() -> Result<Self> {
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package).ancestors().find(|dir| dir.join("Cargo.lock").is_file());
        let root = root.ok_or_else(|| {
            Failure::Refused(format!("no clone is around {}", Path::new(&package).display()))
        })?;
        let root = root.to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir).map_err(Failure::io("resolve CARGO_TARGET_DIR"))?,
            None => root.join("target"),
        };
        let up = root.join("target/up");
        Ok(Self { root, target, up })
    }

    /// The extension packaged for Debian's server: a directory laid out like `/`.
    #[must_use]
    pub fn extension(&self) -> PathBuf {
        self.extension_for(15)
    }

    /// The extension packaged for a major version of PostgreSQL.
    #[must_use]
    pub fn extension_for(&self, version: u32) -> PathBuf {
        self.target.join("extensions").join(version.to_string())
    }

    /// The gateway binary.
    #[must_use]
    pub fn gateway(&self) -> PathBuf {
        self.target.join("release/gateway")
    }

    /// The install scripts of the releases before this one, as they were.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.root.join("tests/releases")
    }

    /// The SQL files of the sample ERP.
    #[must_use]
    pub fn sample(&self) -> PathBuf {
        self.root.join("tests/sample")
    }

    /// The npm package with the clients that the tests drive.
    #[must_use]
    pub fn clients(&self) -> PathBuf {
        self.root.join("tests/clients")
    }

    /// A directory outside the clone that belongs to this clone alone, for data that another user must reach.
    #[must_use]
    pub fn outside(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.root.hash(&mut hasher);
        PathBuf::from(format!("/var/tmp/quote-collab-{:016x}", hasher.finish()))
    }
}
