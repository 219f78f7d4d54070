//! Attempts to reach another tenant's rows, each with what must come of it.

use tokio_postgres::Client;
use uuid::Uuid;

use crate::erp::Erp;

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

/// Ids of the tenant that must not be reached.
#[derive(Debug)]
pub struct Victim {
    /// The tenant.
    pub tenant: Uuid,
    quote: Uuid,
    line: Uuid,
    session: Uuid,
    partition: String,
}

impl Victim {
    fn fill(&self, text: &str) -> String {
        text.replace("'QUOTE', 'QUOTE'", &format!("'QUOTE_ENTITY', '{}'", self.quote))
            .replace("'QUOTE'", &format!("'{}'", self.quote))
            .replace("QUOTE_ENTITY", "QUOTE")
            .replace("'LINE'", &format!("'{}'", self.line))
            .replace("'TENANT'", &format!("'{}'", self.tenant))
            .replace("'SESSION'", &format!("'{}'", self.session))
            .replace(
                "INSERT_TAKEN",
                &format!(
                    "insert into quotes (id, tenant_id, quote_number, quote_date, customer_id) select '{}', tenant_id, 'TAKEN', now(), customer_id from (select * from quotes limit 1) q",
                    self.quote
                ),
            )
            .replace("PARTITION", &format!("select * from {}", self.partition))
    }
}

/// Two tenants with history and a session each, row security on the ERP's tables, and a client as the first one.
pub async fn scene(erp: &Erp, role: &str) -> (Victim, Client) {
    let admin = erp.client("postgres").await;
    let tenants = erp.tenants().await;
    let (own, tenant) = (tenants[0], tenants[1]);
    admin
        .batch_execute(&format!(
            "update quotes set notes = case tenant_id when '{tenant}' then 'canary' else 'own' end;
             update quote_lines set description = case tenant_id when '{tenant}' then 'canary' else 'own' end;
             analyze quote_changes, quotes;
             grant insert, update, delete on quotes, quote_lines to erp_app;
             alter table quotes enable row level security, force row level security;
             alter table quote_lines enable row level security, force row level security;
             create policy own on quotes using (tenant_id = (select current_quote_tenant()));
             create policy own on quote_lines using (tenant_id = (select current_quote_tenant()));
             select lo_from_bytea(424242, 'canary');"
        ))
        .await
        .expect("the scene is set");
    if version(&admin).await >= 18 {
        admin
            .batch_execute(
                "alter table quotes add column loud text generated always as (upper(notes)) virtual",
            )
            .await
            .expect("the scene is set");
    }
    let one = |query: &'static str| {
        let admin = &admin;
        async move { admin.query_one(query, &[&tenant]).await.expect("the scene is set").get::<_, Uuid>(0) }
    };
    let quote = one("select id from quotes where tenant_id = $1 order by id limit 1").await;
    let line = one("select id from quote_lines where tenant_id = $1 order by id limit 1").await;
    let session: Uuid = admin
        .query_one("select session_id from join_quote_session($1, null, gen_random_uuid())", &[&quote])
        .await
        .expect("the scene is set")
        .get(0);
    let partition = admin
        .query_one("select 'quote_changes_' || to_char(now() at time zone 'UTC', 'YYYY_MM')", &[])
        .await
        .expect("the scene is set")
        .get(0);
    let client = erp.client(role).await;
    client.batch_execute(&format!("set app.current_tenant_id = '{own}'")).await.expect("the scene is set");
    (Victim { tenant, quote, line, session, partition }, client)
}

/// The major version of the server.
pub async fn version(client: &Client) -> i32 {
    let row = client.query_one("select current_setting('server_version_num')::integer / 10000", &[]).await;
    row.expect("the server knows its version").get(0)
}

/// Makes each attempt as the ERP's role; panics with those that went wrong, or when one left something behind.
pub async fn try_all(attempts: &[Attempt]) {
    let erp = Erp::attached().await;
    let (victim, client) = scene(&erp, "erp_app").await;
    let before = erp.fingerprint().await;
    let wrong = attempt_all(&client, attempts, |text| victim.fill(text)).await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), attempts.len(), wrong.join("\n"));
    assert_eq!(erp.fingerprint().await, before);
}
