//! The npm packages of `tests/clients`: the clients that users of the gateway really have.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use xtask::failure::Result;
use xtask::program;

use crate::progress::Progress;

/// Installs what package-lock.json says, when it is newer than what is there.
pub fn install(clients: &Path, progress: &Progress) -> Result<()> {
    let Some(wanted) = written(&clients.join("package-lock.json")) else { return Ok(()) };
    // npm writes this file last.
    if written(&clients.join("node_modules/.package-lock.json")).is_some_and(|installed| installed >= wanted)
    {
        return Ok(());
    }
    progress.step("installing the npm packages of tests/clients");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(clients);
    // The browser is Debian's: nothing may bring its own.
    npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1").env("PUPPETEER_SKIP_DOWNLOAD", "1");
    program::run(&mut npm)
}

fn written(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).ok()?.modified().ok()
}
