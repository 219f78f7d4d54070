//! The gateway binary as a server, and the tokens it mints.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::failure::Result;
use crate::process::{Server, Stop};
use crate::program;

/// It connects to PostgreSQL and NATS before it serves.
const START: Duration = Duration::from_secs(30);
/// One look at /health.
const LOOK: Duration = Duration::from_secs(2);
/// It drains its sockets first.
pub const STOP: Stop = Stop { soft: Signal::TERM, patience: Duration::from_secs(15), hard: Signal::KILL };

/// A gateway: its program and what it is told.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The binary.
    pub program: PathBuf,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// PostgreSQL, as the role of the gateway.
    pub database_url: String,
    /// NATS; absent in embedded mode.
    pub nats_url: Option<String>,
    /// Key of the tokens.
    pub jwt_secret: String,
    /// Further variables of its environment.
    pub variables: Vec<(String, String)>,
}

/// Whom a token speaks for.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// Id of the user.
    pub user: &'a str,
    /// Name of the user.
    pub name: &'a str,
    /// Tenant of the user.
    pub tenant: &'a str,
    /// How long the token is good, for example `24h`.
    pub expires: &'a str,
}

impl Gateway {
    /// The address for browsers.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the server and waits until it says that it serves.
    pub fn start(&self, log: &Path) -> Result<Server> {
        let mut server = self.spawn(log)?;
        if let Err(failure) = server.wait_ready("the gateway", START, &|| serves(self.port)) {
            server.kill();
            return Err(failure);
        }
        Ok(server)
    }

    /// Starts the server, whatever becomes of it.
    pub fn spawn(&self, log: &Path) -> Result<Server> {
        let mut command = self.command();
        command.arg("serve").env("HOST", "127.0.0.1").env("PORT", self.port.to_string());
        command.env("DATABASE_URL", &self.database_url);
        if let Some(url) = &self.nats_url {
            command.env("NATS_URL", url);
        }
        Server::spawn(&mut command, log)
    }

    /// Mints a token.
    pub fn token(&self, claims: Claims<'_>) -> Result<String> {
        let Claims { user, name, tenant, expires } = claims;
        let mut command = self.command();
        command.args(["token", "--user", user, "--username", name, "--tenant", tenant, "--expires", expires]);
        program::capture(&mut command)
    }

    /// Only what this gateway is told: the reader's own environment may name another database or NATS.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for name in ["DATABASE_URL", "NATS_URL", "NATS_USER", "NATS_PASSWORD", "HOST", "PORT"] {
            command.env_remove(name);
        }
        command.env("JWT_SECRET", &self.jwt_secret).envs(self.variables.iter().cloned());
        command
    }
}

fn serves(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), LOOK) else {
        return false;
    };
    let mut status = [0; 12];
    stream
        .set_read_timeout(Some(LOOK))
        .and_then(|()| {
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        })
        .and_then(|()| stream.read_exact(&mut status))
        .is_ok()
        && status.ends_with(b"200")
}
