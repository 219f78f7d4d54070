//! The temporary directory of one test run. Whatever the tests leave behind, also when they were killed, is found
//! through it and removed.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use xtask::failure::{Failure, Result};
use xtask::process::{Identity, kill_all, with_environment};

/// Name of the directory, followed by the process that made it, and by what it is for.
const NAME: &str = "quote-collab-test-";

/// A file system in memory creates the two thousand files of a cluster ten times faster than a disk.
const MEMORY: &str = "/dev/shm";

/// What a run may need at its peak: a dozen clusters and a browser.
const ROOM: u64 = 4 << 30;

/// A directory that everything in a test run uses as its temporary directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory for a part of the run that goes on beside others, and removes those of runs that were killed.
    /// Others may enter, not list it: PostgreSQL may run as another user.
    pub fn make(part: &str) -> Result<Self> {
        let parent = parent();
        for stale in stale(&parent) {
            drop(Self { path: stale });
        }
        let path = parent.join(format!("{NAME}{}-{part}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o711).create(&path);
        made.map_err(Failure::io(format!("make {}", path.display())))?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills what still runs with this directory as its temporary one, and returns the names of what was left in it.
    pub fn sweep(&self) -> Vec<String> {
        let left = || with_environment("TMPDIR", &self.path);
        let mut found: Vec<String> =
            left().iter().map(|process| format!("process {}", process.pid())).collect();
        kill_all(&left);
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        found
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        self.sweep();
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// In memory when there is room; where the reader says, when TMPDIR does.
fn parent() -> PathBuf {
    let has_room = rustix::fs::statvfs(MEMORY).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= ROOM);
    if has_room && std::env::var_os("TMPDIR").is_none() {
        return PathBuf::from(MEMORY);
    }
    std::env::temp_dir()
}

/// Directories of runs that are over.
fn stale(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let is_over = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()?.strip_prefix(NAME));
        let pid = name.and_then(|name| name.split('-').next()?.parse().ok());
        pid.is_some_and(|pid| Identity::of(pid).is_none())
    };
    entries.map(|entry| entry.path()).filter(is_over).collect()
}
