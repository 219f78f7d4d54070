//! What is built: the packaged extension and the gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use crate::progress::Progress;
use crate::setup::{POSTGRES, Tools};

/// Builds everything that `up` runs.
pub fn all(place: &Place, tools: &Tools, progress: &Progress) -> Result<()> {
    extension(place, tools, progress)?;
    gateway(place, progress)
}

/// Builds the extension and packages it below `<target>/extension`, laid out like `/`.
pub fn extension(place: &Place, tools: &Tools, progress: &Progress) -> Result<()> {
    progress.step("building the extension");
    let fresh = place.target.join("extension.new");
    remove(&fresh)?;
    let mut pgrx = program::cargo(&tools.cargo_pgrx);
    pgrx.args(["pgrx", "package", "--package", "quote_collab_ext", "--pg-config"]).arg(&tools.pg_config);
    pgrx.arg("--out-dir").arg(&fresh);
    pgrx.env("PGRX_HOME", &tools.pgrx_home).current_dir(&place.root);
    // What cargo-pgrx says about each file it copies comes in colour, what cargo says does not.
    program::run_showing(pgrx.stdout(Stdio::null()), &|line| !line.starts_with('\x1b'))?;
    for file in contents(&fresh) {
        if !file.exists() {
            return Err(Failure::Refused(format!("cargo-pgrx did not package {}", file.display())));
        }
    }
    remove(&place.extension())?;
    fs::rename(&fresh, place.extension()).map_err(Failure::io("put the packaged extension in its place"))
}

/// Builds the gateway.
pub fn gateway(place: &Place, progress: &Progress) -> Result<()> {
    progress.step("building the gateway");
    let mut cargo = program::cargo(Path::new("cargo"));
    cargo.args(["build", "--release", "-p", "quote_collab_gateway"]).current_dir(&place.root);
    program::run(&mut cargo)
}

/// The files PostgreSQL looks for.
fn contents(packaged: &Path) -> [PathBuf; 3] {
    let share = packaged.join(format!("usr/share/postgresql/{POSTGRES}/extension"));
    let version = env!("CARGO_PKG_VERSION");
    [
        packaged.join(format!("usr/lib/postgresql/{POSTGRES}/lib/quote_collab_ext.so")),
        share.join("quote_collab_ext.control"),
        share.join(format!("quote_collab_ext--{version}.sql")),
    ]
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(Failure::io(format!("remove {}", dir.display())))?;
    }
    Ok(())
}
