//! A copy of a database in the same cluster, as one is made before a migration to go back to: readers of the one are not taken for readers of the
//! other, whose log has the same oid.

use quote_collab_tests::Postgres;
use quote_collab_tests::statement::{dropped, left, run, text};
use tokio_postgres::Client;

const CURSOR: &str = "select quote_events_cursor()";

/// What the events behind a cursor put into notes, or the SQLSTATE that refuses it.
async fn told(client: &Client, cursor: &str) -> Result<Vec<String>, String> {
    let query = "select event #>> '{fields,0,new}' from quote_events_since($1, 1000)";
    match client.query(query, &[&cursor]).await {
        Ok(rows) => Ok(rows.iter().map(|row| row.get(0)).collect()),
        Err(error) => Err(error.code().expect("an error of the server").code().to_owned()),
    }
}

async fn write(client: &Client, note: &str) {
    run(
        client,
        &format!("update quotes set notes = '{note}' where id = (select min(id::text)::uuid from quotes)"),
    )
    .await;
}

/// Runs a statement once nobody is in a database any more.
async fn alone(server: &Postgres, database: &str, statement: &str) {
    let admin = server.client("postgres", "postgres").await;
    left(&admin, database).await;
    run(&admin, statement).await;
}

#[tokio::test]
async fn a_reader_is_told_that_a_copy_took_the_place_of_its_database() {
    let server = Postgres::shared().await;
    let name = server.database().await;
    let erp = server.client(&name, "postgres").await;
    write(&erp, "before").await;
    drop(erp);
    alone(&server, &name, &format!("create database {name}_before template {name}")).await;

    let erp = server.client(&name, "postgres").await;
    let start = text(&erp, CURSOR).await;
    write(&erp, "lost").await;
    assert_eq!(told(&erp, &start).await.unwrap(), ["lost"]);
    let behind = text(&erp, CURSOR).await;
    let within: String =
        erp.query_one("select cursor from quote_events_since($1, 1)", &[&start]).await.unwrap().get(0);
    drop(erp);

    let copy = server.client(&format!("{name}_before"), "postgres").await;
    for cursor in [&start, &within, &behind] {
        assert_eq!(told(&copy, cursor).await.unwrap_err(), "QC001", "{cursor}");
    }
    drop(copy);
    let admin = server.client("postgres", "postgres").await;
    dropped(&admin, &name).await;
    alone(&server, &format!("{name}_before"), &format!("alter database {name}_before rename to {name}"))
        .await;

    // In the place of the other it is as much another; its own readers go on.
    let erp = server.client(&name, "postgres").await;
    assert_eq!(told(&erp, &behind).await.unwrap_err(), "QC001");
    let own = text(&erp, CURSOR).await;
    write(&erp, "after").await;
    assert_eq!(told(&erp, &own).await.unwrap(), ["after"]);
}

#[tokio::test]
async fn a_database_under_another_name_is_the_same() {
    let server = Postgres::shared().await;
    let name = server.database().await;
    let erp = server.client(&name, "postgres").await;
    let cursor = text(&erp, CURSOR).await;
    write(&erp, "here").await;
    drop(erp);
    alone(&server, &name, &format!("alter database {name} rename to {name}_renamed")).await;
    let erp = server.client(&format!("{name}_renamed"), "postgres").await;
    write(&erp, "there").await;
    assert_eq!(told(&erp, &cursor).await.unwrap(), ["here", "there"]);
}
