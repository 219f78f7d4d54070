//! The servers of a test are gone when it ends, also when it fails.

use std::path::Path;

use quote_collab_tests::postgres::{ADMIN, Settings};
use quote_collab_tests::{Nats, Postgres, Release};

fn shared_memory() -> Vec<String> {
    let segments = std::fs::read_to_string("/proc/sysvipc/shm").expect("the kernel lists shared memory");
    segments
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).expect("a column").to_owned())
        .collect()
}

/// What a test needs to know about a server after it is gone.
async fn trace(postgres: &Postgres) -> (u16, String) {
    let client = postgres.client(ADMIN, ADMIN).await;
    let data =
        client.query_one("show data_directory", &[]).await.expect("the server says").get::<_, String>(0);
    let status = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).expect("the server runs");
    let segment = status
        .lines()
        .nth(6)
        .expect("the line of the segment")
        .split_whitespace()
        .nth(1)
        .expect("a column")
        .to_owned();
    assert!(shared_memory().contains(&segment));
    (postgres.port(), format!("{data} {segment}"))
}

fn assert_gone((port, trace): &(u16, String)) {
    let (data, segment) = trace.split_once(' ').expect("two words");
    assert!(std::net::TcpStream::connect(("127.0.0.1", *port)).is_err(), "port {port} still answers");
    assert!(!Path::new(data).exists(), "{data} is still there");
    assert!(!shared_memory().contains(&segment.to_owned()), "shared memory {segment} is still there");
    let still = xtask::process::inhabitants(Path::new(data));
    assert!(still.is_empty(), "{still:?} still work in {data}");
}

#[tokio::test]
async fn stopped_server_leaves_nothing() {
    let postgres = Postgres::start().await;
    let trace = trace(&postgres).await;
    drop(postgres);
    assert_gone(&trace);
}

#[tokio::test]
async fn killed_server_leaves_nothing() {
    let mut postgres = Postgres::start().await;
    let trace = trace(&postgres).await;
    postgres.stop_hard();
    drop(postgres);
    assert_gone(&trace);
}

#[tokio::test]
async fn failed_test_leaves_nothing() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let failed = tokio::spawn(async move {
        let postgres = Postgres::start().await;
        tell.send(trace(&postgres).await).unwrap();
        panic!("as a failed test does, on purpose");
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert_gone(&told.await.unwrap());
}

#[tokio::test]
async fn killed_server_comes_back_with_what_was_committed() {
    let mut postgres = Postgres::start_with(Settings { durable: true, ..Settings::default() }).await;
    let client = postgres.client("erp", ADMIN).await;
    client.batch_execute("create table kept as select 1 as one").await.unwrap();
    postgres.stop_hard();
    postgres.restart().await;
    let client = postgres.client("erp", ADMIN).await;
    assert_eq!(client.query_one("select one from kept", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn every_nats_server_comes_back_on_its_port() {
    for release in Release::all() {
        let mut nats = Nats::start(release).await;
        let url = nats.url();
        nats.kill();
        assert!(async_nats::connect(&url).await.is_err());
        nats.restart().await;
        assert_eq!(nats.url(), url);
        nats.client().await.flush().await.unwrap();
    }
}
