//! One statement of a session, and what a test wants to know of it: that it ran, its only value, or why it was refused.

use tokio_postgres::Client;

use crate::patience::eventually;

/// A statement on an attached table that changes nothing, so that the library is there when the next one begins.
pub const WARM: &str = "update quotes set status = status";

/// A change of the first quote, another one each time.
pub const WRITE: &str = "update quotes set notes = clock_timestamp()::text where id = (select id from quotes order by id limit 1)";

/// Runs statements that must succeed.
pub async fn run(client: &Client, statements: &str) {
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
}

/// The only value of a query, a text; empty where it is null.
pub async fn text(client: &Client, query: &str) -> String {
    let row = client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// The only value of a query, a number.
pub async fn count(client: &Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// The process that serves a connection.
pub async fn backend(client: &Client) -> i32 {
    client.query_one("select pg_backend_pid()", &[]).await.expect("a process").get(0)
}

/// The SQLSTATE with which the server refuses statements.
pub async fn sqlstate(client: &Client, statements: &str) -> String {
    refusal(client, statements).await.0
}

/// The SQLSTATE with which the server refuses statements, and its hint; empty where it gives none.
pub async fn refusal(client: &Client, statements: &str) -> (String, String) {
    let error = client.batch_execute(statements).await.expect_err(statements);
    let error = error.as_db_error().expect("the server answered");
    (error.code().code().to_owned(), error.hint().unwrap_or_default().to_owned())
}

/// Waits until no client is connected to a database.
pub async fn left(admin: &Client, database: &str) {
    let clients =
        "select count(*) from pg_stat_activity where datname = $1 and backend_type = 'client backend'";
    eventually("its clients are gone", || async {
        admin.query_one(clients, &[&database]).await.is_ok_and(|row| row.get::<_, i64>(0) == 0)
    })
    .await;
}

/// Drops a database as soon as nobody is connected to it.
pub async fn dropped(admin: &Client, database: &str) {
    let statement = format!("drop database {database}");
    eventually(&statement, || async { admin.batch_execute(&statement).await.is_ok() }).await;
}
