//! A directory that lives as long as a value.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A new directory below the temporary one, removed with everything in it.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes it. Others may enter, not list it: PostgreSQL may run as another user.
    #[must_use]
    pub fn make(name: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
        fs::DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A process killed a moment ago may still be writing: what it wrote after the first pass goes with the second.
        if fs::remove_dir_all(&self.path).is_err() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
