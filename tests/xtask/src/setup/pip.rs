//! Python packages that carry programs, each in a directory of its own: nothing is added to the system's Python.

use std::path::Path;
use std::process::Command;

use xtask::failure::Result;
use xtask::program;

/// Installs one package without what it depends on.
pub fn install(dir: &Path, package: &str, release: &str) -> Result<()> {
    program::capture(command(dir).arg("--no-deps").arg(format!("{package}=={release}"))).map(drop)
}

/// Installs a package and all that it depends on.
pub fn install_with_dependencies(dir: &Path, package: &str, release: &str) -> Result<()> {
    program::capture(command(dir).arg(format!("{package}=={release}"))).map(drop)
}

fn command(dir: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(dir);
    pip
}
