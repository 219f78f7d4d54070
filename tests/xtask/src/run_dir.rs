//! The temporary directory of one test run. Whatever the tests leave behind, also when they were killed, is found
//! through it and removed.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use xtask::failure::{Failure, Result};
use xtask::process::{kill_all, with_environment};

/// A directory that everything in a test run uses as its temporary directory.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the directory. Others may enter, not list it: PostgreSQL may run as another user.
    pub fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("quote-collab-test-{}", std::process::id()));
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
