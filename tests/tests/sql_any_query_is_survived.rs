//! Queries that nobody would write, thousands of them, made up by `SQLsmith` from the catalogs of an attached database and
//! run as the ERP's own role: errors are fine, the end of a process is not.

use std::process::Stdio;
use std::time::Duration;

use quote_collab_tests::{Postgres, Settings};
use tokio::process::Command;

/// Queries of a usual run; `QUOTE_COLLAB_SQLSMITH_QUERIES` asks for more, and takes as long as they take.
const QUERIES: u64 = 3_000;
/// What a usual run may take; a slower machine sees fewer queries.
const LONGEST: Duration = Duration::from_secs(50);

/// What the server's log says when a process of it did not end by itself.
const CRASHES: [&str; 4] = ["terminated by signal", "PANIC:", "server process (PID", "TRAP:"];

#[tokio::test]
async fn no_query_of_an_ordinary_role_ends_the_server() {
    let Some(sqlsmith) = xtask::program::find("sqlsmith") else {
        println!("skipped: sqlsmith is not on this machine");
        return;
    };
    let asked: Option<u64> = std::env::var("QUOTE_COLLAB_SQLSMITH_QUERIES")
        .ok()
        .map(|text| text.parse().expect("QUOTE_COLLAB_SQLSMITH_QUERIES is a number"));
    let server = Postgres::start_with(Settings::preloaded(&[
        ("log_error_verbosity", "verbose"),
        // The queries themselves are long.
        ("log_min_error_statement", "panic"),
    ]))
    .await;
    let database = server.database().await;
    let admin = server.client(&database, "postgres").await;
    let tenant = format!(
        "alter role erp_app in database {database} set app.current_tenant_id = 'a0000000-0000-4000-8000-000000000001'"
    );
    admin.batch_execute(&tenant).await.unwrap();
    let mut smith = Command::new(sqlsmith);
    smith.arg(format!("--target=host=127.0.0.1 port={} user=erp_app dbname={database}", server.port()));
    smith.args(["--seed=1", "--exclude-catalog"]);
    smith.arg(format!("--max-queries={}", asked.unwrap_or(QUERIES)));
    smith.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let running = smith.spawn().expect("sqlsmith starts").wait_with_output();
    if asked.is_some() {
        running.await.expect("sqlsmith ends");
    } else {
        let _cut_short = tokio::time::timeout(LONGEST, running).await;
    }
    let log = server.log();
    let crashed: Vec<&str> =
        log.lines().filter(|line| CRASHES.iter().any(|crash| line.contains(crash))).collect();
    assert!(crashed.is_empty(), "{}", crashed.join("\n"));
    assert!(!admin.is_closed(), "the server is gone");
    // An internal error that was raised in our library; PostgreSQL has some of its own.
    let lines: Vec<&str> = log.lines().collect();
    let ours = |at: &usize| {
        lines[*at + 1..].iter().take(3).any(|line| line.contains("LOCATION:") && line.contains(".rs:"))
    };
    let internal: Vec<&str> = (0..lines.len())
        .filter(|at| lines[*at].contains("ERROR:  XX") && ours(at))
        .map(|at| lines[at])
        .collect();
    assert!(internal.is_empty(), "{}", internal.join("\n"));
    let failed = log.lines().filter(|line| line.contains("ERROR:")).count();
    assert!(failed > 50, "only {failed} queries failed: sqlsmith did not run");
}
