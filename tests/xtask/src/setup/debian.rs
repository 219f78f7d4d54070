//! Debian packages: the list, how to see that one is there, and how to install what is missing.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::failure::{Failure, Result};
use xtask::program;

use super::{POSTGRES, Purpose};
use crate::progress::Progress;

const INSTALL: &str = include_str!("apt.sh");

/// A package and the sign that what it brings is there, from wherever it came.
struct Package {
    name: String,
    purpose: Purpose,
    present: bool,
}

/// Installs what is missing, or says which line installs it.
pub fn install(purpose: Purpose, progress: &Progress) -> Result<()> {
    let missing: Vec<String> =
        packages().into_iter().filter(|p| p.purpose <= purpose && !p.present).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(mut root) = root_shell() else {
        return Err(Failure::Missing {
            what: format!("these Debian packages are missing: {list}"),
            hint: format!("sudo apt-get update && sudo apt-get install --no-install-recommends -y {list}"),
        });
    };
    progress.step(format_args!("installing Debian packages: {list}"));
    program::run(root.args(["-c", INSTALL, "apt.sh"]).args(&missing))
}

fn packages() -> Vec<Package> {
    let server = format!("/usr/lib/postgresql/{POSTGRES}/bin/postgres");
    let headers = format!("/usr/include/postgresql/{POSTGRES}/server/postgres.h");
    let check = format!("/usr/lib/postgresql/{POSTGRES}/lib/plpgsql_check.so");
    let found = |name: &str| program::find(name).is_some();
    let run = |name: String, present| Package { name, purpose: Purpose::Run, present };
    let test = |name: &str, present| Package { name: name.to_owned(), purpose: Purpose::Test, present };
    vec![
        run("build-essential".to_owned(), found("cc") && found("make")),
        run("pkg-config".to_owned(), found("pkg-config")),
        run("libclang-dev".to_owned(), has_libclang()),
        run(format!("postgresql-{POSTGRES}"), Path::new(&server).exists()),
        run(format!("postgresql-server-dev-{POSTGRES}"), Path::new(&headers).exists()),
        run("nats-server".to_owned(), found("nats-server")),
        Package {
            name: format!("postgresql-{POSTGRES}-plpgsql-check"),
            purpose: Purpose::Extension,
            present: Path::new(&check).exists(),
        },
        Package { name: "sqlsmith".to_owned(), purpose: Purpose::Extension, present: found("sqlsmith") },
        test("nodejs", found("node")),
        test("npm", found("npm")),
        test("chromium", std::env::var_os("CHROMIUM").is_some() || found("chromium")),
    ]
}

/// bindgen, which reads PostgreSQL's headers for pgrx, loads libclang at run time.
fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() {
        return true;
    }
    let is_libclang = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("libclang.so") || (name.starts_with("libclang-") && name.contains(".so"))
    };
    names(Path::new("/usr/lib"))
        .filter(|name| name.to_string_lossy().starts_with("llvm-"))
        .any(|llvm| names(&Path::new("/usr/lib").join(llvm).join("lib")).any(|name| is_libclang(&name)))
}

fn names(dir: &Path) -> impl Iterator<Item = std::ffi::OsString> + use<> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()))
}

/// A shell as root, when we are root or sudo does not ask for a password, on a system that has apt.
fn root_shell() -> Option<Command> {
    program::find("apt-get")?;
    if rustix::process::geteuid().is_root() {
        return Some(Command::new("sh"));
    }
    program::capture(Command::new("sudo").args(["-n", "true"])).ok()?;
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "sh"]);
    Some(sudo)
}
