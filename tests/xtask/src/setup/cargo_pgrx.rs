//! cargo-pgrx of exactly the version of pgrx that the workspace pins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::program;

use super::servers::Server;
use crate::progress::Progress;

/// Finds cargo-pgrx of the pinned version, or installs it for this clone only.
pub fn install(place: &Place, progress: &Progress) -> Result<PathBuf> {
    let manifest = place.root.join("Cargo.toml");
    let manifest =
        fs::read_to_string(&manifest).map_err(Failure::io(format!("read {}", manifest.display())))?;
    let version = pinned(&manifest)
        .ok_or_else(|| Failure::Refused("Cargo.toml does not pin pgrx: pgrx = \"=X.Y.Z\"".to_owned()))?;
    let tools = place.target.join("tools");
    let own = tools.join("bin/cargo-pgrx");
    let candidates = [Some(own.clone()), program::find("cargo-pgrx")];
    if let Some(found) = candidates.into_iter().flatten().find(|program| is_version(program, version)) {
        return Ok(found);
    }
    progress.step(format_args!("installing cargo-pgrx {version} into {} (some minutes)", tools.display()));
    let mut cargo = program::cargo(Path::new("cargo"));
    cargo
        .args(["install", "cargo-pgrx", "--locked", "--force", "--version", &format!("={version}"), "--root"])
        .arg(&tools);
    program::run(&mut cargo)?;
    Ok(own)
}

/// Settings of cargo-pgrx of this clone for one server; those in the reader's home stay as they are. One file for each server, since what was
/// compiled against it is compiled again when the file changes.
pub fn home(place: &Place, server: &Server) -> Result<PathBuf> {
    let home = place.target.join(format!("pgrx/{}", server.version));
    let file = home.join("config.toml");
    let wanted = format!("[configs]\npg{} = \"{}\"\n", server.version, server.pg_config.display());
    if fs::read_to_string(&file).is_ok_and(|text| text == wanted) {
        return Ok(home);
    }
    fs::create_dir_all(&home)
        .and_then(|()| fs::write(&file, wanted))
        .map_err(Failure::io(format!("write {}", file.display())))?;
    Ok(home)
}

fn is_version(program: &Path, version: &str) -> bool {
    let said = program::capture(Command::new(program).args(["pgrx", "--version"]));
    said.is_ok_and(|said| said.split_whitespace().last() == Some(version))
}

/// The version in the line `pgrx = "=X.Y.Z"` of the workspace manifest.
fn pinned(manifest: &str) -> Option<&str> {
    manifest.lines().find_map(|line| {
        let value = line.strip_prefix("pgrx")?.trim_start().strip_prefix('=')?;
        value.trim().strip_prefix("\"=")?.strip_suffix('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pin_is_read_from_the_workspace() {
        assert_eq!(pinned("axum = \"0.8\"\npgrx = \"=0.18.1\"\n"), Some("0.18.1"));
        assert_eq!(pinned("pgrx = \"0.18\"\n"), None);
        assert!(pinned(include_str!("../../../../Cargo.toml")).is_some());
    }
}
