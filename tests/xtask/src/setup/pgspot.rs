//! pgspot, which looks through the install script of an extension for what somebody else could hijack.

use std::path::PathBuf;

use xtask::place::Place;

use super::pip;
use crate::progress::Progress;

const VERSION: &str = "0.9.4";

/// Finds it or installs it for this clone only; the directory is one for Python's path.
pub fn install(place: &Place, progress: &Progress) -> Option<PathBuf> {
    let dir = place.target.join("pgspot").join(VERSION);
    if dir.join("pgspot/__main__.py").is_file() {
        return Some(dir);
    }
    progress.step(format_args!("installing pgspot {VERSION} into {}", dir.display()));
    match pip::install_with_dependencies(&dir, "pgspot", VERSION) {
        Ok(()) => Some(dir),
        Err(failure) => {
            progress.step(format_args!("skipped pgspot {VERSION}: {failure}"));
            None
        }
    }
}
