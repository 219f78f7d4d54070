//! PostgreSQL with the sample ERP, NATS and the gateway, as `up` runs them.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::cluster::{self, Cluster};
use xtask::erp;
use xtask::failure::{Failure, Result};
use xtask::gateway::{self, Gateway};
use xtask::nats::{self, Nats};
use xtask::place::Place;
use xtask::process::{Identity, Server, Stop};
use xtask::psql::Psql;
use xtask::server_user::ServerUser;

use crate::args::Up;
use crate::interrupt::Interrupts;
use crate::progress::Progress;
use crate::secrets::Secrets;
use crate::setup::{POSTGRES, Tools, server_programs};

/// The servers in the order in which they stop, with the name of their pid file.
pub const SERVERS: [(&str, Stop); 3] =
    [("gateway", gateway::STOP), ("nats", nats::STOP), ("postgres", cluster::STOP)];

/// What runs, and how to reach it.
pub struct Stack {
    /// PostgreSQL.
    pub cluster: Cluster,
    /// The superuser's psql.
    pub psql: Psql,
    /// NATS, unless embedded.
    pub nats: Option<Nats>,
    /// The gateway.
    pub gateway: Gateway,
    /// Passwords and key.
    pub secrets: Secrets,
    up: PathBuf,
    running: Vec<(&'static str, Server)>,
}

impl Stack {
    /// Decides where everything is, without starting it.
    pub fn plan(place: &Place, tools: &Tools, options: &Up) -> Result<Self> {
        let user = ServerUser::detect()?;
        let bin = server_programs(&tools.pg_config);
        let cluster = Cluster { home: home(place, user)?, bin: bin.clone(), user, port: options.pg_port };
        cluster.make_home()?;
        let jwt = std::env::var("JWT_SECRET").ok().filter(|secret| !secret.is_empty());
        let secrets = Secrets::keep(&cluster.home.join("secrets"), jwt)?;
        let psql = Psql {
            program: bin.join("psql"),
            port: options.pg_port,
            password: Some(secrets.postgres.clone()),
        };
        let nats = (!options.embedded).then(|| Nats {
            program: tools.nats.clone(),
            store: place.up.join("nats"),
            port: options.nats_port,
            arguments: Vec::new(),
        });
        let gateway = Gateway {
            program: place.gateway(),
            port: options.port,
            database_url: database_url("quote_gateway", &secrets.quote_gateway, options.pg_port),
            nats_url: nats.as_ref().map(Nats::url),
            jwt_secret: secrets.jwt.clone(),
            variables: Vec::new(),
        };
        Ok(Self { cluster, psql, nats, gateway, secrets, up: place.up.clone(), running: Vec::new() })
    }

    /// Starts the servers in order; data that is there is used again.
    pub fn start(&mut self, place: &Place, interrupts: &Interrupts, progress: &Progress) -> Result<()> {
        progress.step(format_args!("starting PostgreSQL on 127.0.0.1:{}", self.cluster.port));
        self.start_postgres(place, progress)?;
        stop_if_asked(interrupts)?;
        self.load_erp(place, progress)?;
        stop_if_asked(interrupts)?;
        if let Some(nats) = &self.nats {
            progress.step(format_args!("starting NATS on 127.0.0.1:{}", nats.port));
            let server = nats.start(&self.up.join("nats.log"))?;
            self.remember("nats", server)?;
        }
        stop_if_asked(interrupts)?;
        progress.step(format_args!("starting the gateway on 127.0.0.1:{}", self.gateway.port));
        let server = self.gateway.start(&self.up.join("gateway.log"))?;
        self.remember("gateway", server)
    }

    fn start_postgres(&mut self, place: &Place, progress: &Progress) -> Result<()> {
        let cluster = &self.cluster;
        // This file is written after initdb has ended: without it initdb was interrupted, and its work is useless.
        if cluster.data().join("quote_collab.conf").exists() {
            if has_other_sql(&cluster.extension(), &place.extension()) {
                progress.step("the extension's SQL is not that of the data: `cargo xtask down --purge` removes the data");
            }
        } else {
            let _ = fs::remove_dir_all(cluster.data());
            cluster.init(Some(&self.secrets.postgres), &[])?;
        }
        cluster.clear_leftovers();
        cluster.install(&place.extension())?;
        cluster.configure(&[
            ("max_connections", "200"),
            ("shared_preload_libraries", "$libdir/quote_collab_ext"),
        ])?;
        let server = cluster.start()?;
        self.remember("postgres", server)
    }

    /// The database gets its name when it is complete, so that an interrupted start leaves nothing half-made.
    fn load_erp(&self, place: &Place, progress: &Progress) -> Result<()> {
        let psql = &self.psql;
        if psql.query("postgres", "select 1 from pg_database where datname = 'erp'")?.is_empty() {
            progress.step("loading the sample ERP and attaching quote collaboration");
            psql.query("postgres", "drop database if exists erp_loading")?;
            erp::load(psql, "erp_loading", &place.sample())?;
            erp::attach(psql, "erp_loading")?;
            psql.query("postgres", "alter database erp_loading rename to erp")?;
        }
        for (role, password) in
            [("erp_app", &self.secrets.erp_app), ("quote_gateway", &self.secrets.quote_gateway)]
        {
            psql.query("postgres", &format!("alter role {role} password '{password}'"))?;
        }
        Ok(())
    }

    fn remember(&mut self, name: &'static str, server: Server) -> Result<()> {
        let identity = server.identity();
        self.running.push((name, server));
        identity.write(&pid_file(&self.up, name))
    }

    /// The first server that ended by itself.
    pub fn fallen(&self) -> Option<(&'static str, &Path)> {
        self.running.iter().find(|(_, server)| !server.is_alive()).map(|(name, server)| (*name, server.log()))
    }

    /// Stops everything in reverse order.
    pub fn stop(&mut self, interrupts: &Interrupts, progress: &Progress) {
        for (name, how) in SERVERS {
            if let Some(index) = self.running.iter().position(|(running, _)| *running == name) {
                let (_, mut server) = self.running.remove(index);
                progress.step(format_args!("stopping {name}"));
                server.stop(how, &|| interrupts.urgent());
                let _ = fs::remove_file(pid_file(&self.up, name));
            }
        }
    }

    /// URL of the database `erp` for a role.
    pub fn url(&self, role: &str, password: &str) -> String {
        database_url(role, password, self.cluster.port)
    }
}

/// Whether a packaged extension creates other objects than the one that the data was made with.
fn has_other_sql(installed: &Path, packaged: &Path) -> bool {
    let sql = |root: &Path| {
        let (share, version) =
            (format!("usr/share/postgresql/{POSTGRES}/extension"), env!("CARGO_PKG_VERSION"));
        fs::read(root.join(share).join(format!("quote_collab_ext--{version}.sql"))).ok()
    };
    sql(installed) != sql(packaged)
}

/// Where the process behind a name is written down.
pub fn pid_file(up: &Path, name: &str) -> PathBuf {
    up.join(format!("{name}.pid"))
}

/// The process behind a name, when it lives.
pub fn running(up: &Path, name: &str) -> Option<Identity> {
    Identity::from_file(&pid_file(up, name))
}

fn database_url(role: &str, password: &str, port: u16) -> String {
    format!("postgresql://{role}:{password}@127.0.0.1:{port}/erp")
}

fn stop_if_asked(interrupts: &Interrupts) -> Result<()> {
    if interrupts.requested() {
        return Err(Failure::Refused("interrupted".to_owned()));
    }
    Ok(())
}

/// The cluster is kept in `target/up/postgres`. When PostgreSQL's user may not enter a directory above the clone, that
/// is a link to a directory outside.
fn home(place: &Place, user: ServerUser) -> Result<PathBuf> {
    let inside = place.up.join("postgres");
    if user.can_enter(&place.up) {
        return Ok(inside);
    }
    let outside = place.outside();
    // Everybody may write to /var/tmp: a directory or link of somebody else under this name is not ours to use.
    if fs::symlink_metadata(&outside).is_ok_and(|found| !found.is_dir() || !user.owns(&found)) {
        return Err(Failure::Refused(format!("{} belongs to somebody else", outside.display())));
    }
    Cluster { bin: PathBuf::new(), home: outside.clone(), user, port: 0 }.make_home()?;
    if fs::read_link(&inside).ok().as_ref() != Some(&outside) {
        let linked = std::os::unix::fs::symlink(&outside, &inside);
        linked.map_err(Failure::io(format!("link {}", inside.display())))?;
    }
    Ok(outside)
}
