//! A NATS server with `JetStream`, on the loopback interface only.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::failure::Result;
use crate::process::{Server, Stop};

/// A large stream is read at start.
const START: Duration = Duration::from_secs(30);
/// One look at the port.
const LOOK: Duration = Duration::from_secs(1);
/// It writes its streams and leaves.
pub const STOP: Stop = Stop { soft: Signal::TERM, patience: Duration::from_secs(10), hard: Signal::KILL };

/// A server: its program, its place and its port.
#[derive(Debug, Clone)]
pub struct Nats {
    /// `nats-server`.
    pub program: PathBuf,
    /// Where streams are kept.
    pub store: PathBuf,
    /// Where it listens.
    pub port: u16,
    /// Further arguments.
    pub arguments: Vec<String>,
}

impl Nats {
    /// The address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts the server and waits until it greets.
    pub fn start(&self, log: &Path) -> Result<Server> {
        let mut command = Command::new(&self.program);
        command
            .args(["--jetstream", "--addr", "127.0.0.1", "--port", &self.port.to_string(), "--store_dir"])
            .arg(&self.store)
            .args(&self.arguments);
        let mut server = Server::spawn(&mut command, log)?;
        if let Err(failure) = server.wait_ready("NATS", START, &|| greets(self.port)) {
            server.kill();
            return Err(failure);
        }
        Ok(server)
    }
}

/// A NATS server speaks first, when it is ready to serve.
fn greets(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), LOOK) else {
        return false;
    };
    let mut greeting = [0; 5];
    stream.set_read_timeout(Some(LOOK)).and_then(|()| stream.read_exact(&mut greeting)).is_ok()
        && &greeting == b"INFO "
}
