//! A database with the sample ERP, of one test's own, on the server that the file's tests share.

use std::process::Command;
use std::sync::Arc;

use tokio_postgres::Client;
use uuid::Uuid;

use crate::built;
use crate::patience::eventually;
use crate::postgres::{ADMIN, Postgres};
use crate::statement;

/// The database.
#[derive(Debug)]
pub struct Erp {
    server: Arc<Postgres>,
    database: String,
}

impl Erp {
    /// The ERP alone.
    pub async fn bare() -> Self {
        Self::bare_on(Postgres::shared().await).await
    }

    /// The ERP with quote collaboration attached.
    pub async fn attached() -> Self {
        Self::attached_on(Postgres::shared().await).await
    }

    /// The same on a server where tenants are verified.
    pub async fn verified() -> Self {
        Self::attached_on(Postgres::shared_verified().await).await
    }

    /// The ERP with quote collaboration attached on a server of one's own.
    pub async fn attached_on(server: Arc<Postgres>) -> Self {
        let database = server.database().await;
        Self { server, database }
    }

    /// The ERP alone on a server of one's own.
    pub async fn bare_on(server: Arc<Postgres>) -> Self {
        let database = server.plain_database().await;
        Self { server, database }
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Tries to connect with options of the command line, as PGOPTIONS gives them.
    ///
    /// # Errors
    ///
    /// When the server refuses them.
    pub async fn client_with(&self, role: &str, options: &str) -> Result<Client, tokio_postgres::Error> {
        self.server.client_with(&self.database, role, options).await
    }

    /// A connection as a role.
    pub async fn client(&self, role: &str) -> Client {
        self.server.client(&self.database, role).await
    }

    /// The database's address for a role.
    #[must_use]
    pub fn url(&self, role: &str) -> String {
        self.server.url(&self.database, role)
    }

    /// One number, as the superuser sees it.
    pub async fn count(&self, query: &str) -> i64 {
        statement::count(&self.client(ADMIN).await, query).await
    }

    /// Waits until a query answers true.
    pub async fn wait_until(&self, query: &str) {
        let admin = &self.client(ADMIN).await;
        eventually(query, || async move { admin.query_one(query, &[]).await.is_ok_and(|row| row.get(0)) })
            .await;
    }

    /// Waits until the process that serves a connection waits for a lock.
    pub async fn wait_for_waiting(&self, backend: i32) {
        self.wait_until(&format!(
            "select exists (select from pg_locks where not granted and pid = {backend})"
        ))
        .await;
    }

    /// The quotes by number: the same in each database.
    pub async fn quote(&self, index: usize) -> Uuid {
        let offset = i64::try_from(index).expect("a small number");
        let query = "select id from quotes order by quote_number offset $1 limit 1";
        self.client(ADMIN)
            .await
            .query_one(query, &[&offset])
            .await
            .expect("the sample has that many quotes")
            .get(0)
    }

    /// How many lines a quote has.
    pub async fn lines(&self, index: usize) -> usize {
        let quote = self.quote(index).await;
        let lines = self.count(&format!("select count(*) from quote_lines where quote_id = '{quote}'")).await;
        usize::try_from(lines).expect("a count")
    }

    /// The tenants, in order.
    pub async fn tenants(&self) -> Vec<Uuid> {
        let rows = self.client(ADMIN).await.query("select id from tenants order by id", &[]).await;
        rows.expect("the sample has tenants").iter().map(|row| row.get(0)).collect()
    }

    /// Everything that the schema consists of, as `pg_dump` prints it.
    pub async fn schema(&self) -> String {
        self.dump("--schema-only").await
    }

    /// Everything that the database holds, as `pg_dump` prints it.
    pub async fn fingerprint(&self) -> String {
        self.dump("--data-only").await
    }

    async fn dump(&self, what: &'static str) -> String {
        let mut dump = Command::new(built::server_programs().join("pg_dump"));
        dump.args([what, "--no-sync"]).arg(self.url(ADMIN));
        let output = tokio::task::spawn_blocking(move || dump.output()).await.expect("pg_dump runs");
        let output = output.expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // A dump begins and ends with a random word for psql.
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
    }
}
