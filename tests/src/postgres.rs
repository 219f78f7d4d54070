//! A PostgreSQL server with the sample ERP, in a directory of its own.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio_postgres::{Client, NoTls};
use xtask::cluster::{Cluster, STOP, STOP_NOW};
use xtask::failure::Result;
use xtask::process::{Server, inhabitants, kill_all};

use crate::built::Build;
use crate::patience::within;
use crate::scratch::Scratch;
use crate::signer;
use crate::template;

pub mod conversion;
mod upgrade;

/// The superuser.
pub const ADMIN: &str = "postgres";
/// The ERP's own role.
pub const APP: &str = "erp_app";
/// The gateway's role.
pub const GATEWAY: &str = "quote_gateway";

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Flush to disk, as a server does that must survive the power cut of its machine. Killing processes needs none.
    pub durable: bool,
    /// Further lines of postgresql.conf.
    pub extra: Vec<(&'static str, String)>,
}

impl Settings {
    /// With the library preloaded, hence with background workers, and further lines.
    #[must_use]
    pub fn preloaded(extra: &[(&'static str, &str)]) -> Self {
        Self::default().with(&[("shared_preload_libraries", "$libdir/quote_collab_ext")]).with(extra)
    }

    /// With further lines.
    #[must_use]
    pub fn with(mut self, extra: &[(&'static str, &str)]) -> Self {
        self.extra.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }

    /// Preloaded, with tenants verified by secret and public keys.
    #[must_use]
    pub fn verified() -> Self {
        Self::preloaded(&[
            ("quote_collab.tenant_source", "verified"),
            ("quote_collab.jwt_secret", signer::SECRET),
            ("quote_collab.jwt_keys", &signer::key_set()),
        ])
    }
}

/// A running server. Every database role may log in without a password. It is killed and removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    cluster: Cluster,
    databases: AtomicUsize,
    _scratch: Scratch,
}

impl Postgres {
    /// Starts a server of this test's own.
    pub async fn start() -> Self {
        Self::start_with(Settings::default()).await
    }

    /// Starts a server of this test's own with settings.
    pub async fn start_with(settings: Settings) -> Self {
        Self::start_build(Build::under_test(), settings).await
    }

    /// Starts a server with a system identifier of its own; all others are copies of one cluster.
    pub async fn start_apart() -> Self {
        Self::start_made(Build::under_test(), Settings::default(), template::make_apart).await
    }

    async fn start_build(build: Build, settings: Settings) -> Self {
        Self::start_made(build, settings, template::copy_to).await
    }

    async fn start_made(
        build: Build,
        settings: Settings,
        make: fn(&Path, &Build) -> Result<Cluster>,
    ) -> Self {
        let started = spawn_blocking(move || {
            let scratch = Scratch::make("postgres");
            let cluster = make(&scratch.path().join("cluster"), &build);
            let cluster = cluster.unwrap_or_else(|failure| panic!("{failure}"));
            let fsync = if settings.durable { "on" } else { "off" };
            let mut lines = vec![("fsync", fsync), ("max_connections", "200")];
            lines.extend(settings.extra.iter().map(|(name, value)| (*name, value.as_str())));
            cluster.configure(&lines).unwrap_or_else(|failure| panic!("{failure}"));
            let server = start(&cluster);
            Self { server, cluster, databases: AtomicUsize::new(0), _scratch: scratch }
        });
        started.await.expect("PostgreSQL starts")
    }

    /// A hot standby of this server: a copy of its data that follows it.
    pub async fn standby(&self) -> Self {
        self.standby_with(Settings::default()).await
    }

    /// A hot standby with settings.
    pub async fn standby_with(&self, settings: Settings) -> Self {
        let primary = self.cluster.clone();
        let started = spawn_blocking(move || {
            let scratch = Scratch::make("standby");
            let cluster = primary.standby(&scratch.path().join("cluster"));
            let cluster = cluster.unwrap_or_else(|failure| panic!("{failure}"));
            let mut lines = vec![("fsync", "off"), ("max_connections", "200")];
            lines.extend(settings.extra.iter().map(|(name, value)| (*name, value.as_str())));
            cluster.configure(&lines).unwrap_or_else(|failure| panic!("{failure}"));
            let server = start(&cluster);
            Self { server, cluster, databases: AtomicUsize::new(0), _scratch: scratch }
        });
        started.await.expect("the standby starts")
    }

    /// The server that the tests of one file share; it ends with the last of them. Each test takes its own database.
    pub async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
        Self::shared_in(&SHARED, Settings::default).await
    }

    /// Another such server, where tenants are verified with the keys of [`crate::signer`].
    pub async fn shared_verified() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::const_new(Weak::new());
        Self::shared_in(&SHARED, Settings::verified).await
    }

    async fn shared_in(place: &Mutex<Weak<Self>>, settings: fn() -> Settings) -> Arc<Self> {
        let mut shared = place.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start_with(settings()).await);
        *shared = Arc::downgrade(&started);
        started
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The address of a database for a role.
    #[must_use]
    pub fn url(&self, database: &str, role: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}", self.port())
    }

    /// A connection, closed when dropped.
    pub async fn client(&self, database: &str, role: &str) -> Client {
        let url = self.url(database, role);
        let connected = within("connecting to PostgreSQL", tokio_postgres::connect(&url, NoTls)).await;
        let (client, connection) =
            connected.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"));
        // Ends with the client; an error reaches the test through the client's next query.
        tokio::spawn(connection);
        client
    }

    /// A new database with the sample ERP and quote collaboration attached. Returns its name.
    pub async fn database(&self) -> String {
        self.copy(template::ATTACHED).await
    }

    /// A new database with the sample ERP alone: nothing created, nothing attached. Returns its name.
    pub async fn plain_database(&self) -> String {
        self.copy(template::PLAIN).await
    }

    /// Tries to connect with options of the command line, as PGOPTIONS gives them.
    ///
    /// # Errors
    ///
    /// When the server refuses them.
    pub async fn client_with(
        &self,
        database: &str,
        role: &str,
        options: &str,
    ) -> std::result::Result<Client, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config =
            self.url(database, role).parse().expect("the address is one");
        let (client, connection) =
            within("connecting to PostgreSQL", config.options(options).connect(NoTls)).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn copy(&self, template: &str) -> String {
        let name = format!("erp_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.client(ADMIN, ADMIN).await;
        let create = format!("create database {name} template {template}");
        within("creating a database", admin.batch_execute(&create)).await.expect("a database is copied");
        name
    }

    /// Puts one more script of an extension where the server looks for them.
    pub fn add_script(&self, script: &Path) {
        self.cluster.add_script(script).unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// Kills every process of the server at once, as the kernel does when memory runs out.
    pub fn stop_hard(&mut self) {
        self.server.kill();
        kill_all(&|| inhabitants(&self.cluster.data()));
    }

    /// Stops the server if it runs, and starts it again on its data and its port.
    pub async fn restart(&mut self) {
        let cluster = self.cluster.clone();
        self.server.stop(STOP, &|| false);
        self.server = spawn_blocking(move || start(&cluster)).await.expect("PostgreSQL starts again");
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        self.server.stop(STOP, &|| false);
    }

    /// On the data of the stopped server, one process that takes its statements from its standard input; run below
    /// another program, such as a profiler.
    #[must_use]
    pub fn single_user(&self, below: &[&str], database: &str) -> Command {
        let mut command = Command::new(below[0]);
        command.args(&below[1..]).arg(self.cluster.bin.join("postgres")).args(["--single", "-D"]);
        command.arg(self.cluster.data()).arg(database).current_dir(self.cluster.data());
        // The server's user may not write into ours.
        command.env("TMPDIR", self.cluster.data());
        self.cluster.user.run(&mut command);
        command
    }

    /// What the server wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.cluster.log()).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.server.stop(STOP_NOW, &|| false);
        self.cluster.clear_leftovers();
    }
}

fn start(cluster: &Cluster) -> Server {
    cluster.start().unwrap_or_else(|failure| panic!("{failure}"))
}
