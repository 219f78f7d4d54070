//! A cluster with the sample ERP, made once and copied for each test: a copy takes a tenth of the time.
//!
//! It is kept beside the packaged extension and made anew when what it was made from changes.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use xtask::cluster::{Cluster, STOP, copy_tree};
use xtask::failure::{Failure, Result};
use xtask::psql::Psql;
use xtask::server_user::ServerUser;
use xtask::{erp, port};

use crate::built::{self, Build};
use crate::scratch::Scratch;

/// Database with the ERP alone; never connected to by tests, so that it can be copied.
pub const PLAIN: &str = "erp_plain_template";
/// Database with quote collaboration attached; never connected to either.
pub const ATTACHED: &str = "erp_template";

/// Makes `home` the home of a cluster like the template.
pub fn copy_to(home: &Path, build: &Build) -> Result<Cluster> {
    let dir = build.extension.with_extension("template");
    let user = ServerUser::detect()?;
    let cluster = Cluster { bin: build.programs.clone(), home: home.to_owned(), user, port: port::free()? };
    fs::create_dir_all(&dir).map_err(Failure::io(format!("make {}", dir.display())))?;
    let lock = File::create(dir.join("lock")).map_err(Failure::io("open the template's lock"))?;
    let stamp = stamp(&cluster, build)?;
    let is_current = || fs::read_to_string(dir.join("stamp")).is_ok_and(|known| known == stamp);
    lock.lock_shared().map_err(Failure::io("lock the template"))?;
    if !is_current() {
        lock.unlock().and_then(|()| lock.lock()).map_err(Failure::io("lock the template"))?;
        if !is_current() {
            make(&dir, &cluster, build)?;
            fs::write(dir.join("stamp"), &stamp).map_err(Failure::io("write the template's stamp"))?;
        }
    }
    copy_tree(&dir.join("cluster"), home)?;
    Ok(cluster)
}

/// Makes the template in a scratch directory, where PostgreSQL's user can work, and keeps a copy.
fn make(dir: &Path, like: &Cluster, build: &Build) -> Result<()> {
    let scratch = Scratch::make("template");
    let cluster = Cluster { home: scratch.path().join("cluster"), ..like.clone() };
    fill(&cluster, build)?;
    let kept = dir.join("cluster");
    let _ = fs::remove_file(dir.join("stamp"));
    let _ = fs::remove_dir_all(&kept);
    copy_tree(&cluster.home, &kept)
}

/// Makes `home` the home of a cluster with the same databases and an identity of its own, which no copy has.
pub fn make_apart(home: &Path, build: &Build) -> Result<Cluster> {
    let user = ServerUser::detect()?;
    let cluster = Cluster { bin: build.programs.clone(), home: home.to_owned(), user, port: port::free()? };
    fill(&cluster, build)?;
    Ok(cluster)
}

fn fill(cluster: &Cluster, build: &Build) -> Result<()> {
    cluster.make_home()?;
    cluster.init(None, &[])?;
    cluster.install(&build.extension)?;
    cluster.configure(&[("fsync", "off")])?;
    let mut server = cluster.start()?;
    let psql = Psql { program: cluster.bin.join("psql"), port: cluster.port, password: None };
    let loaded = load(&psql);
    server.stop(STOP, &|| false);
    loaded
}

fn load(psql: &Psql) -> Result<()> {
    let sample = sample();
    erp::load(psql, PLAIN, &sample)?;
    psql.query("postgres", &format!("create database {ATTACHED} template {PLAIN}"))?;
    erp::attach(psql, ATTACHED)?;
    psql.query("postgres", &format!("create database erp template {ATTACHED}")).map(drop)
}

fn sample() -> PathBuf {
    built::place().sample()
}

/// Changes when the sample, the extension, the server or this harness changes.
fn stamp(cluster: &Cluster, build: &Build) -> Result<String> {
    let mut inputs = erp::files(&sample())?;
    collect(&build.extension, &mut inputs)?;
    inputs.push(cluster.bin.join("postgres"));
    inputs.sort();
    let mut hasher = DefaultHasher::new();
    erp::ATTACH.hash(&mut hasher);
    (format!("{:?}", cluster.user), include_str!("template.rs")).hash(&mut hasher);
    for input in inputs {
        input.hash(&mut hasher);
        fs::read(&input).unwrap_or_default().hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Failure::io(format!("read {}", dir.display())))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
