//! Packages of another release of Debian than this machine's, unpacked into a directory of ours. The mirror is the one
//! that this machine's own apt uses; apt's state of the system is neither read nor written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::failure::{Failure, Result};
use xtask::program;

/// Where Debian keeps the keys of its releases, the newer ones too.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks a package, without what it depends on, below `into`.
pub fn unpack(release: &str, package: &str, into: &Path) -> Result<()> {
    let apt = into.with_extension("apt");
    for dir in [&apt, into] {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).map_err(Failure::io(format!("make {}", dir.display())))?;
    }
    let unpacked = download(&apt, release, package)
        .and_then(|file| program::capture(Command::new("dpkg-deb").arg("-x").arg(file).arg(into)));
    let _ = fs::remove_dir_all(&apt);
    unpacked.map(drop)
}

/// Downloads the package's file with an apt whose whole world is the directory `apt`.
fn download(apt: &Path, release: &str, package: &str) -> Result<PathBuf> {
    let at = |name: &str| apt.join(name).display().to_string();
    for dir in ["lists/partial", "archives/partial", "parts", "file"] {
        let dir = apt.join(dir);
        fs::create_dir_all(&dir).map_err(Failure::io(format!("make {}", dir.display())))?;
    }
    let write = |name: &str, text: &str| {
        fs::write(apt.join(name), text).map_err(Failure::io(format!("write {}", at(name))))
    };
    write("status", "")?;
    write("sources.list", &format!("deb {} {release} main\n", mirror()?))?;
    let settings = [
        format!("Dir::Etc::sourcelist={}", at("sources.list")),
        format!("Dir::Etc::sourceparts={}", at("parts")),
        format!("Dir::State::lists={}", at("lists")),
        format!("Dir::State::status={}", at("status")),
        format!("Dir::Cache={}", apt.display()),
        format!("Dir::Cache::archives={}", at("archives")),
        "Acquire::Languages=none".to_owned(),
        // The file is fetched by us, not by apt's own user, who may not enter our directories.
        format!("APT::Sandbox::User={}", program::capture(Command::new("id").arg("-un"))?),
    ];
    let run = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        for setting in &settings {
            command.args(["-o", setting]);
        }
        program::capture(command.arg("-q").args(words).current_dir(apt.join("file")))
    };
    run(&["update"])?;
    run(&["download", package])?;
    let files = fs::read_dir(apt.join("file")).map_err(Failure::io(format!("read {}", at("file"))))?;
    files
        .flatten()
        .next()
        .map(|file| file.path())
        .ok_or_else(|| Failure::Refused(format!("apt-get download left no file of {package}")))
}

/// The mirror of Debian that this machine's apt reads its main archive from, as a line of sources.list begins.
fn mirror() -> Result<String> {
    let said = program::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let uri = said.lines().find_map(main_archive).ok_or_else(|| Failure::Missing {
        what: "apt knows no mirror of Debian".to_owned(),
        hint: "sudo apt-get update".to_owned(),
    })?;
    let keys = if Path::new(KEYS).exists() { format!("[signed-by={KEYS}] ") } else { String::new() };
    Ok(format!("{keys}{uri}"))
}

fn main_archive(line: &str) -> Option<&str> {
    line.strip_prefix("Debian|Debian|main|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_main_archive_is_a_mirror() {
        assert_eq!(main_archive("Debian|Debian-Security|main|proto://mirror/"), None);
        assert_eq!(main_archive("Debian|Debian|contrib|proto://mirror/"), None);
        assert_eq!(main_archive("Debian|Debian|main|proto://mirror/"), Some("proto://mirror/"));
    }
}
