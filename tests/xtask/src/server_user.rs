//! Which user of the operating system runs PostgreSQL: it refuses to be root.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::failure::{Failure, Result};
use crate::program;

/// Who runs PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerUser {
    /// We are an ordinary user and run it ourselves.
    Ourselves,
    /// We are root and run it as `postgres`, whom Debian's package creates.
    Postgres {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl ServerUser {
    /// Decides by who we are.
    pub fn detect() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        let id = |flag: &str| -> Result<u32> {
            let said = program::capture(Command::new("id").args([flag, "postgres"]))?;
            said.parse().map_err(|_| Failure::Refused(format!("id {flag} postgres says {said:?}")))
        };
        Ok(Self::Postgres { uid: id("-u")?, gid: id("-g")? })
    }

    /// Makes a command run as this user.
    pub fn run(self, command: &mut Command) -> &mut Command {
        match self {
            Self::Ourselves => command,
            Self::Postgres { uid, gid } => command.uid(uid).gid(gid),
        }
    }

    /// Gives one file or directory to this user.
    pub fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Postgres { uid, gid } => chown(path, Some(uid), Some(gid))
                .map_err(Failure::io(format!("give {} to postgres", path.display()))),
        }
    }

    /// Whether a file belongs to this user.
    #[must_use]
    pub fn owns(self, file: &Metadata) -> bool {
        match self {
            Self::Ourselves => file.uid() == rustix::process::geteuid().as_raw(),
            Self::Postgres { uid, .. } => file.uid() == uid,
        }
    }

    /// Whether this user may enter a directory, which depends on every directory above it.
    #[must_use]
    pub fn can_enter(self, dir: &Path) -> bool {
        self.run(Command::new("test").arg("-x").arg(dir))
            .current_dir("/")
            .status()
            .is_ok_and(|status| status.success())
    }
}
