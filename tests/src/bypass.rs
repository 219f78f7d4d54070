//! Attempts to reach another tenant's rows, each with what must come of it.

use tokio_postgres::Client;

/// What must come of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It fails with this SQLSTATE.
    Refused(&'static str),
    /// It returns no row.
    Empty,
    /// It returns rows of one's own, at least one.
    Own,
    /// It succeeds and touches nothing of the other.
    Harmless,
}

/// An attempt: its name, its statements, the last of which is looked at, and what must come of it.
pub type Attempt = (&'static str, &'static str, Outcome);

/// Makes each attempt in a transaction of its own, which is rolled back, and returns what went wrong. `fill` puts the
/// ids of the other tenant into a statement.
pub async fn attempt_all(
    client: &Client,
    attempts: &[Attempt],
    fill: impl Fn(&str) -> String,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, statements, expected) in attempts {
        client.batch_execute("begin").await.expect("a transaction begins");
        let outcome = attempt(client, &fill(statements)).await;
        let fits = match (expected, &outcome) {
            (Outcome::Refused(code), Err(refusal)) => refusal.starts_with(code),
            (Outcome::Empty, Ok(rows)) => rows.is_empty(),
            (Outcome::Own, Ok(rows)) => !rows.is_empty() && rows.iter().all(|row| !row.contains("canary")),
            (Outcome::Harmless, Ok(rows)) => rows.iter().all(|row| !row.contains("canary")),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name}: expected {expected:?}, got {outcome:?}"));
        }
        client.batch_execute("rollback").await.expect("a transaction is rolled back");
    }
    wrong
}

/// The rows of the last statement as text; the SQLSTATE and message of an error, with everything it says.
async fn attempt(client: &Client, statements: &str) -> Result<Vec<String>, String> {
    use tokio_postgres::SimpleQueryMessage as M;
    let told = |error: tokio_postgres::Error| {
        error.as_db_error().map_or_else(
            || error.to_string(),
            |db| format!("{} {} {:?} {:?}", db.code().code(), db.message(), db.detail(), db.hint()),
        )
    };
    let mut rows = Vec::new();
    for message in client.simple_query(statements).await.map_err(told)? {
        match message {
            M::Row(row) => {
                rows.push(
                    (0..row.len()).map(|at| row.get(at).unwrap_or_default()).collect::<Vec<_>>().join("|"),
                );
            }
            M::RowDescription(_) => rows.clear(),
            _ => {}
        }
    }
    Ok(rows)
}
