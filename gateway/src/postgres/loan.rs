//! A connection on loan from the pool.

use deadpool_postgres::{Object, Pool};
use futures_util::join;
use tokio_postgres::Row;

use super::database::Parameter;
use super::error::DatabaseError;

/// Goes back to the pool only when it is given back. Whoever stops waiting for an answer, because his time is up or his
/// client has gone, leaves a statement behind that runs, and nobody else may have to wait for that one: the connection
/// is closed, and PostgreSQL, which looks for it, ends the statement.
pub struct Loan(Option<Object>);

impl Loan {
    /// Waits for a free connection.
    pub async fn take(pool: &Pool) -> Result<Self, DatabaseError> {
        Ok(Self(Some(pool.get().await?)))
    }

    /// Runs a statement in a transaction of its own; its rows. After an error the commit of an aborted transaction rolls back, and the
    /// error is that of what failed first.
    pub async fn transaction(
        &self,
        opening: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let client = self.0.as_ref().ok_or_else(|| DatabaseError::Unexpected("no connection".to_owned()))?;
        // Polled in this order, so sent in this order.
        let (opened, rows, committed) = join!(
            client.batch_execute(opening),
            client.query_typed(sql, parameters),
            client.batch_execute("commit"),
        );
        opened?;
        let rows = rows?;
        committed?;
        Ok(rows)
    }

    /// Gives the connection back. It has nothing more to say.
    pub fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            metrics::counter!("gateway_database_connections_closed_total").increment(1);
            drop(Object::take(client));
        }
    }
}
