//! The committed events as the relay reads them.

use std::time::Duration;

use quote_collab_core::change::Change;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::context::RequestContext;
use super::database::{Database, Parameter, first, unexpected};
use super::error::{DatabaseError, LEASE_LOST, OTHER_HISTORY};
use crate::cursor::{Cursor, Lineage};
use crate::ports::{ChangeLog, Checkpoint, Epoch, Logged, Opened, Page, ReadLimit};

/// PostgreSQL as the relay's log.
#[derive(Clone)]
pub struct PostgresChangeLog(pub Database);

impl Database {
    /// Which history this database has now; forks are known to the bus.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn lineage(&self) -> Result<Lineage, DatabaseError> {
        let rows = self.rows(RequestContext::own(), &self.statements().relay.identity, &[]).await?;
        let row = first(&rows)?;
        Ok(Lineage {
            cluster: row.try_get(0).map_err(unexpected)?,
            timeline: row.try_get(1).map_err(unexpected)?,
            fork: 0,
        })
    }

    /// Number of the newest batch, 0 when there is none.
    ///
    /// # Errors
    ///
    /// When the database is away.
    pub async fn last_batch(&self) -> Result<i64, DatabaseError> {
        self.value(RequestContext::own(), &self.statements().relay.last_batch, &[]).await
    }
}

impl ReadLimit {
    /// As statements take it.
    pub(super) fn parameters(self) -> (i32, i64) {
        (i32::from(self.events), i64::try_from(self.bytes).unwrap_or(i64::MAX))
    }
}

impl ChangeLog for PostgresChangeLog {
    async fn lineage(&self) -> Result<Lineage, DatabaseError> {
        self.0.lineage().await
    }

    async fn lease(&self, holder: Uuid, life: Duration) -> Result<Option<Epoch>, DatabaseError> {
        let (holder, seconds) = (holder.to_string(), life.as_secs_f64());
        let parameters: [Parameter<'_>; 2] = [(&holder, Type::TEXT), (&seconds, Type::FLOAT8)];
        let epoch: Option<i64> =
            self.0.value(RequestContext::own(), &self.0.statements().relay.lease, &parameters).await?;
        Ok(epoch.map(Epoch))
    }

    /// Both in one transaction: events are handed out only once its commit is known, and so is durable.
    async fn open_batch(
        &self,
        epoch: Epoch,
        lineage: &Lineage,
        expected: i64,
        limit: ReadLimit,
    ) -> Result<Opened, DatabaseError> {
        let newest = expected - 1;
        let (events, bytes) = limit.parameters();
        let parameters: [Parameter<'_>; 6] = [
            (&epoch.0, Type::INT8),
            (&newest, Type::INT8),
            (&lineage.cluster, Type::TEXT),
            (&lineage.timeline, Type::INT4),
            (&events, Type::INT4),
            (&bytes, Type::INT8),
        ];
        let asked =
            self.0.rows(RequestContext::own(), &self.0.statements().relay.next_batch, &parameters).await;
        let rows = match asked {
            Err(error) if error.sqlstate() == Some(OTHER_HISTORY) => return Ok(Opened::OtherLineage),
            Err(error) if error.sqlstate() == Some(LEASE_LOST) => return Ok(Opened::LeaseLost),
            asked => asked?,
        };
        let Some(row) = rows.first() else { return Ok(Opened::Nothing) };
        let batch = row.try_get("batch").map_err(unexpected)?;
        let after = Cursor { batch: expected, position: 0 };
        let first = (batch == expected).then(|| page(rows, after, limit)).transpose()?;
        Ok(Opened::Batch(batch, first))
    }

    async fn first_batch(&self) -> Result<i64, DatabaseError> {
        self.0.value(RequestContext::own(), &self.0.statements().relay.first_batch, &[]).await
    }

    async fn last_batch(&self) -> Result<i64, DatabaseError> {
        self.0.last_batch().await
    }

    async fn read(&self, after: Cursor, limit: ReadLimit) -> Result<Page, DatabaseError> {
        let (events, bytes) = limit.parameters();
        let parameters = read_parameters(&after, &events, &bytes, &limit.first_at_any_rate);
        let rows =
            self.0.rows(RequestContext::own(), &self.0.statements().relay.read_batch, &parameters).await?;
        page(rows, after, limit)
    }

    async fn checkpoint(&self) -> Result<Checkpoint, DatabaseError> {
        let rows = self.0.rows(RequestContext::own(), &self.0.statements().relay.checkpoint, &[]).await?;
        let row = first(&rows)?;
        let number = |column: usize| {
            row.try_get::<_, Option<i64>>(column).map(Option::unwrap_or_default).map_err(unexpected)
        };
        let cursor = Cursor { batch: number(0)?, position: number(1)? };
        Ok(Checkpoint { cursor, sequence: u64::try_from(number(2)?).unwrap_or_default() })
    }

    async fn save_checkpoint(&self, epoch: Epoch, checkpoint: Checkpoint) -> Result<(), DatabaseError> {
        let sequence = i64::try_from(checkpoint.sequence).unwrap_or(i64::MAX);
        let parameters: [Parameter<'_>; 4] = [
            (&epoch.0, Type::INT8),
            (&checkpoint.cursor.batch, Type::INT8),
            (&checkpoint.cursor.position, Type::INT8),
            (&sequence, Type::INT8),
        ];
        self.0
            .rows(RequestContext::own(), &self.0.statements().relay.save_checkpoint, &parameters)
            .await
            .map(drop)
    }
}

/// How a batch is asked for its events.
fn read_parameters<'a>(
    after: &'a Cursor,
    events: &'a i32,
    bytes: &'a i64,
    first_at_any_rate: &'a bool,
) -> [Parameter<'a>; 5] {
    [
        (&after.batch, Type::INT8),
        (&after.position, Type::INT8),
        (events, Type::INT4),
        (bytes, Type::INT8),
        (first_at_any_rate, Type::BOOL),
    ]
}

/// Takes each row only as long as its event is read, so that no more than one is in memory twice.
fn page(rows: Vec<Row>, after: Cursor, limit: ReadLimit) -> Result<Page, DatabaseError> {
    let is_full = rows.len() >= usize::from(limit.events);
    // Without any row the first may have been too large.
    let nothing_fits = rows.is_empty() && !limit.first_at_any_rate;
    let mut page = Page { rest: nothing_fits.then_some(after.position), ..Page::default() };
    for row in rows {
        page.bytes += size(&row)?;
        page.rest = (is_full || has_next(&row)?).then_some(position(&row)?);
        page.events.extend(logged(&row)?);
    }
    Ok(page)
}

/// The event of a row. One that is not written as agreed is told without its values, and one that does not even say
/// which quote it is about is passed over: nobody else's events may wait for it.
pub(super) fn logged(row: &Row) -> Result<Option<Logged>, DatabaseError> {
    let text: &str = row.try_get("event").map_err(unexpected)?;
    if let Ok(change) = serde_json::from_str(text) {
        return Ok(Some(Logged { change, is_whole: true }));
    }
    let salvaged = Change::salvage(text);
    if salvaged.is_none() {
        let position = position(row)?;
        metrics::counter!("gateway_events_unreadable_total").increment(1);
        tracing::error!(
            change.position = position,
            "the event at position {position} cannot be read and is passed over"
        );
    }
    Ok(salvaged.map(|change| Logged { change, is_whole: false }))
}

/// Bytes of the event of a row, about.
pub(super) fn size(row: &Row) -> Result<usize, DatabaseError> {
    row.try_get("size").map(|size: i32| usize::try_from(size).unwrap_or_default()).map_err(unexpected)
}

/// Whether a bounded read could have had another row behind this one.
pub(super) fn has_next(row: &Row) -> Result<bool, DatabaseError> {
    row.try_get("has_next").map_err(unexpected)
}

pub(super) fn position(row: &Row) -> Result<i64, DatabaseError> {
    row.try_get("position").map_err(unexpected)
}
