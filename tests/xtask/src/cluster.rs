//! A PostgreSQL cluster in a directory of its own. Nothing is installed into the system: the extension is found
//! through `extension_destdir`, a setting of Debian's server.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::failure::{Failure, Result};
use crate::process::{Server, Stop, inhabitants, kill_all};
use crate::program;
use crate::server_user::ServerUser;

/// Recovery after a crash replays what was written since the last checkpoint, which takes its time.
const START: Duration = Duration::from_mins(1);
/// Fast shutdown writes a checkpoint; the hard one leaves that to recovery.
pub const STOP: Stop = Stop { soft: Signal::INT, patience: Duration::from_secs(30), hard: Signal::QUIT };
/// Immediate shutdown: no checkpoint, but shared memory is given back.
pub const STOP_NOW: Stop = Stop { soft: Signal::QUIT, patience: Duration::from_secs(5), hard: Signal::KILL };

/// A cluster: its programs, its place and who runs it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Directory with the server programs.
    pub bin: PathBuf,
    /// The directory that holds all of the cluster.
    pub home: PathBuf,
    /// Who runs it.
    pub user: ServerUser,
    /// Where it listens on 127.0.0.1. There is no Unix socket: its path would be too long in a deep clone.
    pub port: u16,
}

impl Cluster {
    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The cluster's own copy of the packaged extension: a build must not change what a running server has loaded.
    #[must_use]
    pub fn extension(&self) -> PathBuf {
        self.home.join("extension")
    }

    /// The server's log.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    /// Makes the directory of the cluster, for its user alone.
    pub fn make_home(&self) -> Result<()> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.home);
        made.map_err(Failure::io(format!("make {}", self.home.display())))?;
        self.user.own(&self.home)
    }

    /// Makes the data directory. With a password everybody needs one; without, everybody on this machine is trusted.
    /// `further` goes to initdb as it is.
    pub fn init(&self, password: Option<&str>, further: &[&str]) -> Result<()> {
        let mut initdb = Command::new(self.bin.join("initdb"));
        initdb.arg("--pgdata").arg(self.data());
        initdb.args([
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-instructions",
            "--no-sync",
        ]);
        initdb.args(further);
        let file = self.home.join("initial-password");
        if let Some(password) = password {
            write_private(&file, password)?;
            self.user.own(&file)?;
            initdb.arg("--auth=scram-sha-256").arg("--pwfile").arg(&file);
        } else {
            initdb.arg("--auth=trust");
        }
        let done = program::capture(self.user.run(initdb.current_dir(&self.home)));
        let _ = fs::remove_file(&file);
        done?;
        let config = self.data().join("postgresql.conf");
        let mut config =
            OpenOptions::new().append(true).open(config).map_err(Failure::io("open postgresql.conf"))?;
        writeln!(config, "include = 'quote_collab.conf'").map_err(Failure::io("write postgresql.conf"))
    }

    /// Whether the server is installed as Debian does, which patches it to look for extensions elsewhere too. Any other
    /// server is a copy of our own, which has the extension inside.
    fn is_debian(&self) -> bool {
        self.bin.starts_with("/usr/lib/postgresql")
    }

    /// A standby of this running cluster, copied to `home` and ready to be configured and started.
    pub fn standby(&self, home: &Path) -> Result<Self> {
        let standby = Self { home: home.to_owned(), port: crate::port::free()?, ..self.clone() };
        standby.make_home()?;
        let mut copy = Command::new(self.bin.join("pg_basebackup"));
        copy.args([
            "--host=127.0.0.1",
            "--username=postgres",
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
        ]);
        copy.arg(format!("--port={}", self.port)).arg("--pgdata").arg(standby.data()).current_dir(home);
        program::capture(self.user.run(&mut copy))?;
        if self.extension().exists() {
            copy_tree(&self.extension(), &standby.extension())?;
        }
        Ok(standby)
    }

    /// Replaces the cluster's copy of the packaged extension.
    pub fn install(&self, packaged: &Path) -> Result<()> {
        if !self.is_debian() {
            return Ok(());
        }
        let copy = self.extension();
        if copy.exists() {
            fs::remove_dir_all(&copy).map_err(Failure::io(format!("remove {}", copy.display())))?;
        }
        copy_tree(packaged, &copy)?;
        program::run(Command::new("chmod").args(["-R", "a+rX"]).arg(&copy))?;
        self.user.own(&copy)
    }

    /// Puts one more script of an extension where the server looks for them: whole from its first moment, since tests
    /// side by side add the same one while another installs it.
    pub fn add_script(&self, script: &Path) -> Result<()> {
        let share = program::capture(Command::new(self.bin.join("pg_config")).arg("--sharedir"))?;
        let share = PathBuf::from(share);
        let share = match share.strip_prefix("/") {
            Ok(below) if self.is_debian() => self.extension().join(below),
            _ => share,
        };
        let copy = share.join("extension").join(script.file_name().unwrap_or_default());
        let writer = (std::process::id(), std::thread::current().id());
        let draft = copy.with_extension(format!("{writer:?}"));
        fs::copy(script, &draft).map_err(Failure::io(format!("write {}", draft.display())))?;
        self.user.own(&draft)?;
        fs::rename(&draft, &copy).map_err(Failure::io(format!("write {}", copy.display())))
    }

    /// Writes the settings that the cluster starts with.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let port = self.port.to_string();
        let extension = self.extension().display().to_string();
        let destdir = self.is_debian().then_some(("extension_destdir", extension.as_str()));
        let own = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &port),
            ("unix_socket_directories", ""),
            // Below the data directory instead of /dev/shm: a killed server leaves nothing outside its directory.
            ("dynamic_shared_memory_type", "mmap"),
            ("log_line_prefix", "%m [%p] %q%u@%d "),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        let text =
            destdir.iter().chain(&own).chain(settings).fold(String::new(), |mut text, (name, value)| {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
                text
            });
        let file = self.data().join("quote_collab.conf");
        fs::write(&file, text).map_err(Failure::io(format!("write {}", file.display())))?;
        self.user.own(&file)
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(&self) -> Result<Server> {
        self.clear_leftovers();
        let mut postgres = Command::new(self.bin.join("postgres"));
        postgres.arg("-D").arg(self.data()).current_dir(self.data());
        let mut server = Server::spawn(self.user.run(&mut postgres), &self.log())?;
        let status = self.data().join("postmaster.pid");
        let pid = server.identity().pid().to_string();
        let ready = || {
            let text = fs::read_to_string(&status).unwrap_or_default();
            text.lines().next() == Some(&pid)
                && text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
        };
        if let Err(failure) = server.wait_ready("PostgreSQL", START, &ready) {
            server.stop(STOP_NOW, &|| false);
            return Err(failure);
        }
        Ok(server)
    }

    /// After `kill -9` of the server: kills what it left behind and gives its shared memory back.
    pub fn clear_leftovers(&self) {
        kill_all(&|| inhabitants(&self.data()));
        let status = self.data().join("postmaster.pid");
        let Ok(text) = fs::read_to_string(&status) else { return };
        // Key and id of the System V segment that guards the data directory.
        if let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            // Fails when the segment is gone already, which is what we want.
            let _ = program::capture(Command::new("ipcrm").args(["-m", id]));
        }
        let _ = fs::remove_file(&status);
    }
}

/// Copies a directory with owners and times, sharing blocks where the file system can.
pub fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    program::capture(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}

/// Writes a file that only its owner may read.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    let _ = fs::remove_file(file);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    opened
        .and_then(|mut out| out.write_all(text.as_bytes()))
        .map_err(Failure::io(format!("write {}", file.display())))
}
