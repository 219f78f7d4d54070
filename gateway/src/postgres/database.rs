//! The pool, and the one way a request reaches the database: a transaction in somebody's name, in one round trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime, Timeouts};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_postgres::types::{FromSqlOwned, Json, ToSql, Type};
use tokio_postgres::{NoTls, Row};

use super::connection::{CONNECT_TIMEOUT, connection_config};
use super::context::RequestContext;
use super::error::DatabaseError;
use super::loan::Loan;
use super::statements::{FIND_EXTENSION, IS_ABOVE_ROW_SECURITY, Statements};
use crate::config::PostgresConfig;

/// For the relay, presence and upkeep.
const OWN_CONNECTIONS: usize = 4;
/// Longest wait for a free connection of the pool.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// Reading events of a batch of a hundred thousand takes longer than any request may.
const OWN_STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);
/// The first sealing of a history that was restored reads all of it, and what is cut off begins again.
const MAINTENANCE_TIMEOUT: Duration = Duration::from_hours(1);
/// The server ends a statement at its time-out; only when it cannot do even that does the client give up.
const ANSWER_MARGIN: Duration = Duration::from_secs(3);

/// A connection keeps a buffer as large as the largest row that it has had. After a larger one than this it ends.
const LARGEST_KEPT: usize = 1 << 20;

/// The first release of the extension that closes a batch and gives its events in one answer.
const OLDEST_EXTENSION: [u32; 3] = [0, 6, 0];

/// A parameter and its type: sent with the statement, so that nothing needs to be prepared on a pooled server.
pub type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Handle to the database. The gateway's own work has connections of its own, so that no burst of requests can hold up
/// the events.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    own_pool: Pool,
    statements: Arc<Statements>,
    statement_timeout: Duration,
    /// Row security does not hold the role, as far as is known: no statement runs but the one that asks.
    is_refused: Arc<AtomicBool>,
}

impl Database {
    /// Connects and finds the extension.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, has no extension or one that is too old, or does not hold the role to its rows.
    pub async fn connect(config: &PostgresConfig) -> Result<Self, DatabaseError> {
        let pool = pool(config, "quote_gateway", usize::from(config.pg_pool_size))?;
        let own_pool = self::pool(config, "quote_gateway_relay", OWN_CONNECTIONS)?;
        let ask =
            async |sql| Self::rows_within(&own_pool, CONNECT_TIMEOUT, RequestContext::own(), sql, &[]).await;
        let rows = ask(FIND_EXTENSION).await?;
        let found = rows.first().ok_or(DatabaseError::NoExtension)?;
        let (schema, release): (String, String) = (found.try_get(0)?, found.try_get(1)?);
        if is_above_row_security(&ask(IS_ABOVE_ROW_SECURITY).await?)? {
            return Err(DatabaseError::AboveRowSecurity);
        }
        if !is_new_enough(&release) {
            return Err(DatabaseError::OldExtension { found: release });
        }
        let statements = Arc::new(Statements::for_schema(&schema));
        let (statement_timeout, is_refused) = (config.pg_statement_timeout, Arc::default());
        Ok(Self { pool, own_pool, statements, statement_timeout, is_refused })
    }

    /// The statements of this database.
    pub(super) fn statements(&self) -> &Statements {
        &self.statements
    }

    /// Connections in use and in all.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.size)
    }

    /// Answers whether the database answers, and still holds the role to its rows: a role may become a superuser at any time.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let (limit, context) = (OWN_STATEMENT_TIMEOUT, RequestContext::own());
        let rows = Self::rows_within(&self.own_pool, limit, context, IS_ABOVE_ROW_SECURITY, &[]).await?;
        let is_refused = is_above_row_security(&rows)?;
        if self.is_refused.swap(is_refused, Ordering::Relaxed) != is_refused {
            if is_refused {
                tracing::error!("nothing is served any more: {}", DatabaseError::AboveRowSecurity);
            } else {
                tracing::info!("row security holds the gateway's role again");
            }
        }
        self.serves()
    }

    /// Whether its statements may run.
    ///
    /// # Errors
    ///
    /// When row security does not hold the role, as far as is known.
    pub fn serves(&self) -> Result<(), DatabaseError> {
        if self.is_refused.load(Ordering::Relaxed) { Err(DatabaseError::AboveRowSecurity) } else { Ok(()) }
    }

    /// Runs one statement in a transaction of its own: its rows. Opening, statement and commit are sent together; the answers come
    /// back in one round trip. Nobody has to wait for them: dropping this ends the statement that runs.
    pub(super) async fn rows(
        &self,
        context: RequestContext,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let (pool, limit) = if context.is_own() {
            (&self.own_pool, OWN_STATEMENT_TIMEOUT)
        } else {
            (&self.pool, self.statement_timeout)
        };
        self.serves()?;
        Self::rows_within(pool, limit, context, sql, parameters).await
    }

    /// Runs a statement of the gateway's own that takes as long as there is to do.
    pub(super) async fn maintenance(&self, sql: &str) -> Result<Vec<Row>, DatabaseError> {
        self.serves()?;
        Self::rows_within(&self.own_pool, MAINTENANCE_TIMEOUT, RequestContext::own(), sql, &[]).await
    }

    async fn rows_within(
        pool: &Pool,
        limit: Duration,
        context: RequestContext,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let opening = context.opening(limit);
        let loan = Loan::take(pool).await?;
        let answer = timeout(limit + ANSWER_MARGIN, loan.transaction(&opening, sql, parameters)).await;
        let rows = answer.map_err(|_| DatabaseError::TimedOut)?;
        if !rows.as_ref().is_ok_and(|rows| rows.iter().any(|row| row.raw_size_bytes() > LARGEST_KEPT)) {
            loan.give_back();
        }
        rows
    }

    /// The first column of the only row.
    pub(super) async fn value<T: FromSqlOwned>(
        &self,
        context: RequestContext,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<T, DatabaseError> {
        let rows = self.rows(context, sql, parameters).await?;
        first(&rows)?.try_get(0).map_err(unexpected)
    }

    /// The first column of every row, a JSON object each.
    pub(super) async fn objects<T: DeserializeOwned>(
        &self,
        context: RequestContext,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<T>, DatabaseError> {
        let rows = self.rows(context, sql, parameters).await?;
        rows.iter().map(|row| row.try_get::<_, Json<T>>(0).map(|json| json.0).map_err(unexpected)).collect()
    }
}

fn pool(config: &PostgresConfig, name: &str, size: usize) -> Result<Pool, DatabaseError> {
    let manager = Manager::from_config(
        connection_config(&config.database_url, name)?,
        NoTls,
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(size)
        // The connection that was used last has its server's caches warm, and its plans made.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(POOL_WAIT),
            create: Some(CONNECT_TIMEOUT),
            recycle: Some(CONNECT_TIMEOUT),
        })
        .build()
        .map_err(|error| DatabaseError::Unreachable(error.to_string()))
}

/// Whether an extension has all that is asked of it here: it takes over from the release before first, the gateways follow.
fn is_new_enough(release: &str) -> bool {
    let parts: Result<Vec<u32>, _> = release.split('.').map(str::parse).collect();
    parts.is_ok_and(|parts| parts.as_slice() >= OLDEST_EXTENSION.as_slice())
}

/// What the database said of the role.
fn is_above_row_security(rows: &[Row]) -> Result<bool, DatabaseError> {
    first(rows)?.try_get(0).map_err(unexpected)
}

/// The row that must be there.
pub(super) fn first(rows: &[Row]) -> Result<&Row, DatabaseError> {
    rows.first().ok_or_else(|| DatabaseError::Unexpected("no row".to_owned()))
}

/// A column of another type than agreed. The cause may quote the content, so only the column is named.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(super) fn unexpected(error: tokio_postgres::Error) -> DatabaseError {
    let text = error.to_string();
    DatabaseError::Unexpected(text.split(':').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_as_old_as_its_numbers_say() {
        for release in ["0.6.0", "0.6.1", "0.10.0", "1.0.0", env!("CARGO_PKG_VERSION")] {
            assert!(is_new_enough(release), "{release}");
        }
        for release in ["0.5.0", "0.5.9", "0.6", "0", "", "0.x.0", "unpackaged"] {
            assert!(!is_new_enough(release), "{release}");
        }
    }
}
