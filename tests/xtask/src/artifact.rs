//! What is built: the packaged extension and the gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use crate::progress::Progress;
use crate::setup::servers::Server;
use crate::setup::{Tools, cargo_pgrx};

/// Builds everything that `up` runs.
pub fn all(place: &Place, tools: &Tools, progress: &Progress) -> Result<()> {
    extension(place, tools, progress)?;
    gateway(place, progress)
}

/// Builds the extension for Debian's server.
pub fn extension(place: &Place, tools: &Tools, progress: &Progress) -> Result<()> {
    extension_for(place, tools, &Server::of_debian(), progress)
}

/// Builds the extension for a server and packages it below the target directory, laid out like `/`.
pub fn extension_for(place: &Place, tools: &Tools, server: &Server, progress: &Progress) -> Result<()> {
    let version = server.version;
    progress.step(format_args!("building the extension for PostgreSQL {version}"));
    let packaged = place.extension_for(version);
    let fresh = packaged.with_extension("new");
    remove(&fresh)?;
    let mut pgrx = program::cargo(&tools.cargo_pgrx);
    pgrx.args(["pgrx", "package", "--package", "quote_collab_ext", "--no-default-features", "--features"]);
    pgrx.arg(format!("pg{version}")).arg("--pg-config").arg(&server.pg_config).arg("--out-dir").arg(&fresh);
    pgrx.env("PGRX_HOME", cargo_pgrx::home(place, server)?).current_dir(&place.root);
    // What cargo-pgrx says about each file it copies comes in colour, what cargo says does not.
    program::run_showing(pgrx.stdout(Stdio::null()), &|line| !line.starts_with('\x1b'))?;
    for file in contents(&fresh, server)? {
        if !file.exists() {
            return Err(Failure::Refused(format!("cargo-pgrx did not package {}", file.display())));
        }
    }
    remove(&packaged)?;
    fs::rename(&fresh, &packaged).map_err(Failure::io("put the packaged extension in its place"))
}

/// Puts what was packaged for a server into a copy of that server.
pub fn install(packaged: &Path, server: &Server, copy: &Server) -> Result<()> {
    for (which, file) in [PROGRAMS, SHARE].into_iter().zip(contents(packaged, server)?) {
        let to = copy.directory(which)?;
        let to = if which == SHARE { to.join("extension") } else { to };
        let from = file.parent().unwrap_or(&file).join(".");
        program::capture(Command::new("cp").arg("-a").arg(from).arg(to))?;
    }
    Ok(())
}

/// Builds the gateway.
pub fn gateway(place: &Place, progress: &Progress) -> Result<()> {
    progress.step("building the gateway");
    let mut cargo = program::cargo(Path::new("cargo"));
    cargo.args(["build", "--release", "-p", "quote_collab_gateway"]).current_dir(&place.root);
    program::run(&mut cargo)
}

const PROGRAMS: &str = "--pkglibdir";
const SHARE: &str = "--sharedir";

/// The files PostgreSQL looks for: the library, and two in the directory of extensions.
fn contents(packaged: &Path, server: &Server) -> Result<[PathBuf; 3]> {
    let version = env!("CARGO_PKG_VERSION");
    let below = |dir: PathBuf| packaged.join(dir.strip_prefix("/").unwrap_or(&dir));
    let (programs, share) =
        (below(server.directory(PROGRAMS)?), below(server.directory(SHARE)?).join("extension"));
    Ok([
        programs.join("quote_collab_ext.so"),
        share.join("quote_collab_ext.control"),
        share.join(format!("quote_collab_ext--{version}.sql")),
    ])
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(Failure::io(format!("remove {}", dir.display())))?;
    }
    Ok(())
}
