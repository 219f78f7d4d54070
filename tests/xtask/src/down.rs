//! `down`: stops what `up` started, also after a supervisor that was killed.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use xtask::cluster::Cluster;
use xtask::failure::{Failure, Result};
use xtask::place::Place;
use xtask::server_user::ServerUser;

use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::stack::{SERVERS, pid_file, running};
use crate::up::SUPERVISOR;

/// A supervisor stops its servers one after the other, each within its own bound.
const SUPERVISED: Duration = Duration::from_mins(1);

/// Stops everything and optionally removes the data.
pub fn run(place: &Place, purge: bool, progress: &Progress) -> Result<()> {
    let interrupts = Interrupts::catch()?;
    let mut found = false;
    if let Some(supervisor) = running(&place.up, SUPERVISOR) {
        found = true;
        progress.step("asking `up` to stop");
        supervisor.signal(Signal::TERM);
        let _ = supervisor.wait_gone(SUPERVISED, &|| interrupts.requested());
    }
    for (name, how) in SERVERS {
        if let Some(server) = running(&place.up, name) {
            found = true;
            progress.step(format_args!("stopping {name}"));
            server.stop(how, &|| interrupts.requested());
        }
    }
    clear(place)?;
    progress.step(if found { "down" } else { "nothing was up" });
    if purge {
        remove(place)?;
        progress.step("removed its data");
    }
    Ok(())
}

/// Backends of a killed PostgreSQL have no pid file; they are found in their data directory.
fn clear(place: &Place) -> Result<()> {
    let home = place.up.join("postgres");
    if let Ok(home) = home.canonicalize() {
        let user = ServerUser::detect()?;
        Cluster { bin: home.clone(), home, user, port: 0 }.clear_leftovers();
    }
    for name in SERVERS.iter().map(|(name, _)| *name).chain([SUPERVISOR]) {
        let _ = fs::remove_file(pid_file(&place.up, name));
    }
    Ok(())
}

fn remove(place: &Place) -> Result<()> {
    for dir in [place.up.clone(), place.outside()] {
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(Failure::io(format!("remove {}", dir.display())))?;
        }
    }
    Ok(())
}
