//! The gateway binary, as it runs in production.

use std::path::PathBuf;

use tokio::task::spawn_blocking;
use xtask::gateway::{Claims, Gateway as Program, STOP};
use xtask::port;
use xtask::process::{Identity, Server};

use crate::built;
use crate::nats::Nats;
use crate::people::Person;
use crate::postgres::{GATEWAY, Postgres};
use crate::scratch::Scratch;

/// Key of the tokens in all tests.
pub const JWT_SECRET: &str = "a key for tests, long enough for HS256";

/// A running gateway, killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    program: Program,
    scratch: Scratch,
}

impl Gateway {
    /// Starts a gateway on the database `erp`; without NATS in embedded mode.
    pub async fn start(postgres: &Postgres, nats: Option<&Nats>) -> Self {
        Self::start_with(postgres, "erp", nats, &[]).await
    }

    /// Starts a gateway on a database, with further variables in its environment.
    pub async fn start_with(
        postgres: &Postgres,
        database: &str,
        nats: Option<&Nats>,
        variables: &[(&str, &str)],
    ) -> Self {
        let (url, nats) = (postgres.url(database, GATEWAY), nats.map(Nats::url));
        let program = program(&url, nats.as_deref(), variables);
        let scratch = Scratch::make("gateway");
        let server = start(&program, &scratch).await;
        Self { server, program, scratch }
    }

    /// Starts a gateway with addresses as they are, and waits for nothing.
    #[must_use]
    pub fn spawn(database_url: &str, nats_url: Option<&str>, variables: &[(&str, &str)]) -> Self {
        let program = program(database_url, nats_url, variables);
        let scratch = Scratch::make("gateway");
        Self { server: spawn(&program, &scratch), program, scratch }
    }

    /// The address for browsers.
    #[must_use]
    pub fn url(&self) -> String {
        self.program.url()
    }

    /// The address for subscriptions.
    #[must_use]
    pub fn web_socket_url(&self) -> String {
        format!("{}/graphql", self.url().replacen("http", "ws", 1))
    }

    /// A token for a day.
    #[must_use]
    pub fn token(&self, person: &Person) -> String {
        self.token_for(person, "24h")
    }

    /// A token that expires after a while.
    #[must_use]
    pub fn token_for(&self, person: &Person, expires: &str) -> String {
        let (user, tenant) = (person.id.to_string(), person.tenant.to_string());
        let claims = Claims { user: &user, name: person.name, tenant: &tenant, expires };
        self.program.token(claims).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Its process, to send it signals.
    #[must_use]
    pub fn process(&self) -> Identity {
        self.server.identity()
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.server.log()).unwrap_or_default()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts a killed one again on its port, and waits for nothing.
    pub fn respawn(&mut self) {
        self.server = spawn(&self.program, &self.scratch);
    }

    /// Drains it if it runs, and starts it again on its port.
    pub async fn restart(&mut self) {
        self.server.stop(STOP, &|| false);
        self.server = start(&self.program, &self.scratch).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.kill();
        if std::thread::panicking() {
            eprintln!("the gateway's log:\n{}", xtask::process::last(self.server.log()));
        }
    }
}

fn program(database_url: &str, nats_url: Option<&str>, variables: &[(&str, &str)]) -> Program {
    Program {
        program: built::gateway(),
        port: port::free().unwrap_or_else(|failure| panic!("{failure}")),
        database_url: database_url.to_owned(),
        nats_url: nats_url.map(str::to_owned),
        jwt_secret: JWT_SECRET.to_owned(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn spawn(program: &Program, scratch: &Scratch) -> Server {
    program.spawn(&log(scratch)).unwrap_or_else(|failure| panic!("{failure}"))
}

fn log(scratch: &Scratch) -> PathBuf {
    scratch.path().join("gateway.log")
}

async fn start(program: &Program, scratch: &Scratch) -> Server {
    let (program, log) = (program.clone(), log(scratch));
    let started = spawn_blocking(move || program.start(&log)).await.expect("the gateway starts");
    started.unwrap_or_else(|failure| panic!("{failure}"))
}
