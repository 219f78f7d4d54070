//! Processes that outlive a function: started into a log, stopped within a bound, found again by their pid file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{Failure, Result};
use crate::program::tail;

/// Pause between two looks at something that has no event to wait for.
const LOOK: Duration = Duration::from_millis(10);
/// A killed process is gone as soon as the kernel gets to it; only one stuck in the kernel takes longer.
const KILLED: Duration = Duration::from_secs(5);

/// A process, recognisable even after its number was given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    pid: i32,
    /// Clock ticks between boot and start of the process.
    started: u64,
}

/// What the kernel says of a process.
struct Read {
    identity: Identity,
    /// It has ended, and its parent has not taken note yet.
    ended: bool,
}

impl Identity {
    /// The living process with a number.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        Self::read(pid).filter(|read| !read.ended).map(|read| read.identity)
    }

    fn read(pid: i32) -> Option<Read> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the name in parentheses and may itself contain spaces and parentheses.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        Some(Read { identity: Self { pid, started }, ended: matches!(state, "Z" | "X") })
    }

    /// The process named in a pid file, when it still lives.
    #[must_use]
    pub fn from_file(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let known = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        known.is_alive().then_some(known)
    }

    /// Writes a pid file.
    pub fn write(self, file: &Path) -> Result<()> {
        fs::write(file, format!("{} {}\n", self.pid, self.started))
            .map_err(Failure::io(format!("write {}", file.display())))
    }

    /// Number of the process.
    #[must_use]
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; a process that is gone needs none.
    pub fn signal(self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // The only other failure is a process of somebody else, which is not stopped by asking again.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until the process is gone, `hurry` says that nobody wants to wait, or the patience ends.
    #[must_use]
    pub fn wait_gone(self, patience: Duration, hurry: &dyn Fn() -> bool) -> bool {
        let started = Instant::now();
        while self.is_alive() {
            if started.elapsed() > patience || hurry() {
                return false;
            }
            sleep(LOOK);
        }
        true
    }

    /// Asks politely, then kills.
    pub fn stop(self, stop: Stop, hurry: &dyn Fn() -> bool) {
        self.signal(stop.soft);
        if !self.wait_gone(stop.patience, hurry) {
            self.signal(stop.hard);
            if !self.wait_gone(KILLED, &|| false) {
                self.signal(Signal::KILL);
            }
        }
    }
}

/// How a server wants to be stopped.
#[derive(Debug, Clone, Copy)]
pub struct Stop {
    /// Finish what you are doing.
    pub soft: Signal,
    /// How long that may take.
    pub patience: Duration,
    /// Stop at once.
    pub hard: Signal,
}

/// A server that we started.
#[derive(Debug)]
pub struct Server {
    child: Child,
    identity: Identity,
    log: PathBuf,
}

impl Server {
    /// Starts a server that writes to a log. It gets its own process group, so that Ctrl-C reaches only us and
    /// servers stop in the right order.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let outputs: std::io::Result<(File, File)> = open().and_then(|out| Ok((out, open()?)));
        let (out, err) = outputs.map_err(Failure::io(format!("open {}", log.display())))?;
        let child = command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let mut child = child.map_err(Failure::io(format!("start {name}")))?;
        // One that has ended already keeps its number until we take note of its end.
        let Some(Read { identity, .. }) = i32::try_from(child.id()).ok().and_then(Identity::read) else {
            let _ = child.kill().and_then(|()| child.wait());
            return Err(Failure::Refused(format!("{name} is not among the processes of this machine")));
        };
        Ok(Self { child, identity, log: log.to_owned() })
    }

    /// Waits until the server is ready, which `is_ready` finds out by looking.
    pub fn wait_ready(&self, what: &str, patience: Duration, is_ready: &dyn Fn() -> bool) -> Result<()> {
        let started = Instant::now();
        while !is_ready() {
            if !self.is_alive() {
                let said = last(&self.log);
                return Err(Failure::Refused(format!(
                    "{what} ended while starting; its log {} says:\n{said}",
                    self.log.display()
                )));
            }
            if started.elapsed() > patience {
                return Err(Failure::TimedOut {
                    what: format!("{what} did not become ready"),
                    waited: patience,
                    log: self.log.clone(),
                });
            }
            sleep(LOOK);
        }
        Ok(())
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.identity.is_alive()
    }

    /// The process behind it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where it writes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Stops it and takes note of its end, so that no zombie stays.
    pub fn stop(&mut self, stop: Stop, hurry: &dyn Fn() -> bool) {
        self.identity.stop(stop, hurry);
        // Bounded: the process has been killed at the latest now.
        let _ = self.child.wait();
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.identity.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Processes that work in a directory. PostgreSQL's do so in their data directory, each in a session of its own, so
/// that this is the way to find those whose parent was killed.
#[must_use]
pub fn inhabitants(dir: &Path) -> Vec<Identity> {
    let Ok(dir) = dir.canonicalize() else { return Vec::new() };
    processes()
        .into_iter()
        .filter(|p| fs::read_link(format!("/proc/{}/cwd", p.pid)).is_ok_and(|cwd| cwd == dir))
        .collect()
}

/// Processes that were started with a variable in their environment.
#[must_use]
pub fn with_environment(name: &str, value: &Path) -> Vec<Identity> {
    let wanted = format!("{name}={}", value.display());
    let has = |p: &Identity| {
        let environment = fs::read(format!("/proc/{}/environ", p.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
    };
    processes().into_iter().filter(has).collect()
}

/// Kills processes until a look finds none.
pub fn kill_all(find: &dyn Fn() -> Vec<Identity>) {
    let started = Instant::now();
    loop {
        let found = find();
        if found.is_empty() || started.elapsed() > KILLED {
            return;
        }
        for process in found {
            process.signal(Signal::KILL);
        }
        sleep(LOOK);
    }
}

fn processes() -> Vec<Identity> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Identity::of)
        .collect()
}

/// The end of a log.
#[must_use]
pub fn last(log: &Path) -> String {
    const LINES: usize = 20;
    tail(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default()), LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_file_of_another_life_names_nobody() {
        let file = std::env::temp_dir().join(format!("quote-collab-pid-{}", std::process::id()));
        let me = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        me.write(&file).unwrap();
        assert_eq!(Identity::from_file(&file), Some(me));
        Identity { started: me.started + 1, ..me }.write(&file).unwrap();
        assert_eq!(Identity::from_file(&file), None);
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn server_that_has_ended_before_we_look_is_one_that_ended() {
        let log = std::env::temp_dir().join(format!("quote-collab-ended-{}", std::process::id()));
        let said = |server: &Server| server.wait_ready("false", KILLED, &|| false).unwrap_err().to_string();
        for _ in 0..100 {
            let mut server = Server::spawn(&mut Command::new("false"), &log).unwrap();
            assert!(said(&server).contains("false ended while starting"), "{}", said(&server));
            assert!(!server.is_alive());
            server.kill();
        }
        fs::remove_file(&log).unwrap();
    }

    #[test]
    fn process_is_found_by_its_directory_and_stopped() {
        let dir = std::env::temp_dir().join(format!("quote-collab-dir-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let mut server =
            Server::spawn(Command::new("sleep").arg("60").current_dir(&dir), &dir.join("log")).unwrap();
        // The directory changes between fork and exec.
        let found = || inhabitants(&dir) == [server.identity()];
        server.wait_ready("sleep", KILLED, &found).unwrap();
        kill_all(&|| inhabitants(&dir));
        assert!(!server.is_alive());
        server.kill();
        fs::remove_dir_all(&dir).unwrap();
    }
}
