//! The sample ERP, and quote collaboration attached to it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::psql::Psql;

/// Tenant that alice and bob work for; `tests/sample` gives these ids.
pub const TENANT: &str = "a0000000-0000-4000-8000-000000000001";
/// The other tenant.
pub const OTHER_TENANT: &str = "b0000000-0000-4000-8000-000000000002";
/// A user of the first tenant.
pub const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
/// Another user of the first tenant.
pub const BOB: &str = "b0b00000-0000-4000-8000-000000000002";
/// A user of the other tenant.
pub const CAROL: &str = "ca401000-0000-4000-8000-000000000003";

/// What the DBA runs in a database of the ERP, in this order.
pub const ATTACH: [&str; 3] = [
    "create extension quote_collab_ext",
    "select attach_quote_collaboration()",
    "select grant_quote_gateway('quote_gateway')",
];

/// Makes a database with the tables and rows of the sample ERP.
pub fn load(psql: &Psql, database: &str, sample: &Path) -> Result<()> {
    psql.query("postgres", &format!("create database {database}"))?;
    for file in files(sample)? {
        psql.file(database, &file)?;
    }
    Ok(())
}

/// Attaches quote collaboration to a database.
pub fn attach(psql: &Psql, database: &str) -> Result<()> {
    for statement in ATTACH {
        psql.query(database, statement)?;
    }
    Ok(())
}

/// The SQL files of the sample in the order of their names.
pub fn files(sample: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(sample).map_err(Failure::io(format!("read {}", sample.display())))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    files.sort();
    Ok(files)
}
