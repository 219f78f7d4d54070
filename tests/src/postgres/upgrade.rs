//! `pg_upgrade`: the server under test takes over the data of an older one.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicUsize;

use tokio::task::spawn_blocking;
use xtask::cluster::{Cluster, STOP};
use xtask::failure::Result;
use xtask::{port, program};

use super::{ADMIN, Postgres, Settings, start};
use crate::built::{self, Build};
use crate::scratch::Scratch;

impl Postgres {
    /// Starts a server of an older version; `None` where the version under test is the oldest.
    pub async fn start_older(settings: Settings) -> Option<Self> {
        Some(Self::start_build(built::older()?, settings).await)
    }

    /// Stops this server, and starts one of the version under test on its data, with the same settings.
    pub async fn upgrade(mut self, settings: Settings) -> Self {
        self.forget_column_versions().await;
        let upgraded = spawn_blocking(move || {
            self.server.stop(STOP, &|| false);
            let scratch = Scratch::make("upgraded");
            let cluster = take_over(&self.cluster, &scratch.path().join("cluster"), &settings)
                .unwrap_or_else(|failure| panic!("{failure}"));
            let server = start(&cluster);
            Self { server, cluster, databases: AtomicUsize::new(0), _scratch: scratch }
        });
        upgraded.await.expect("the server is upgraded")
    }

    /// The minor releases of November 2026 gave columns an option, and `pg_upgrade` to an earlier minor release of a later
    /// major one fails at it. Without it a column is as one that was made before.
    async fn forget_column_versions(&self) {
        const FORGET: &str =
            "update pg_attribute set attoptions = nullif(array(select option from unnest(attoptions) option
            where option not like 'pg_attver=%'), '{}') where attoptions::text like '%pg_attver=%'";
        let admin = self.client(ADMIN, ADMIN).await;
        let databases = "select datname from pg_database where datallowconn and datname <> 'template1'";
        for row in admin.query(databases, &[]).await.expect("the databases are listed") {
            let done = self.client(row.get(0), ADMIN).await.batch_execute(FORGET).await;
            done.expect("the options of columns are set back");
        }
    }
}

fn take_over(old: &Cluster, home: &Path, settings: &Settings) -> Result<Cluster> {
    let build = Build::under_test();
    let new = Cluster { bin: build.programs, home: home.to_owned(), user: old.user, port: port::free()? };
    new.make_home()?;
    // Since 18 a new cluster has checksums, and both must be alike.
    let initdb = program::capture(Command::new(new.bin.join("initdb")).arg("--help"))?;
    let alike: &[&str] = if initdb.contains("--no-data-checksums") { &["--no-data-checksums"] } else { &[] };
    new.init(None, alike)?;
    new.install(&build.extension)?;
    let mut lines = vec![("fsync", "off"), ("max_connections", "200")];
    lines.extend(settings.extra.iter().map(|(name, value)| (*name, value.as_str())));
    new.configure(&lines)?;
    let mut upgrade = Command::new(new.bin.join("pg_upgrade"));
    upgrade.args(["--username=postgres", "--no-sync"]).arg("--socketdir").arg(home).current_dir(home);
    upgrade.arg("--old-bindir").arg(&old.bin).arg("--old-datadir").arg(old.data());
    upgrade.arg("--new-bindir").arg(&new.bin).arg("--new-datadir").arg(new.data());
    program::capture(old.user.run(&mut upgrade)).inspect_err(|_| println!("{}", reasons(&new)))?;
    Ok(new)
}

/// What `pg_upgrade` says of a failure in its own logs alone.
fn reasons(new: &Cluster) -> String {
    let logs = new.data().join("pg_upgrade_output.d");
    program::capture(Command::new("grep").args(["-rhi", "error"]).arg(logs)).unwrap_or_default()
}
