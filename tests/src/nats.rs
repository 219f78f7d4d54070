//! A NATS server with `JetStream` in a directory of its own.

use std::path::Path;

use async_nats::Client;
use tokio::task::spawn_blocking;
use xtask::nats::{Nats as Program, STOP};
use xtask::port;
use xtask::process::Server;

use crate::built;
use crate::patience::within;
use crate::scratch::Scratch;

/// Which NATS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The one that Debian brings.
    Debian,
    /// A newer one.
    Newer,
}

impl Release {
    /// The releases that are on this machine.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let newer = built::newer_nats_server().map(|_| Self::Newer);
        std::iter::once(Self::Debian).chain(newer).collect()
    }
}

/// A running server, killed and removed when dropped.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    program: Program,
    scratch: Scratch,
}

impl Nats {
    /// Starts a server.
    pub async fn start(release: Release) -> Self {
        Self::start_with(release, &[]).await
    }

    /// Starts a server with further arguments.
    pub async fn start_with(release: Release, arguments: &[&str]) -> Self {
        let binary = match release {
            Release::Debian => built::nats_server(),
            Release::Newer => built::newer_nats_server().expect("a newer NATS server is on this machine"),
        };
        let scratch = Scratch::make("nats");
        let port = port::free().unwrap_or_else(|failure| panic!("{failure}"));
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let program = Program { program: binary, store: scratch.path().join("store"), port, arguments };
        let server = start(&program, &scratch).await;
        Self { server, program, scratch }
    }

    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url()
    }

    /// A connection.
    pub async fn client(&self) -> Client {
        within("connecting to NATS", async_nats::connect(self.url())).await.expect("NATS takes connections")
    }

    /// Where it keeps its streams.
    #[must_use]
    pub fn store(&self) -> &Path {
        &self.program.store
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Stops it if it runs, and starts it again on its streams and its port.
    pub async fn restart(&mut self) {
        self.server.stop(STOP, &|| false);
        self.server = start(&self.program, &self.scratch).await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.server.kill();
    }
}

async fn start(program: &Program, scratch: &Scratch) -> Server {
    let (program, log) = (program.clone(), scratch.path().join("nats.log"));
    let started = spawn_blocking(move || program.start(&log)).await.expect("NATS starts");
    started.unwrap_or_else(|failure| panic!("{failure}"))
}
