//! Work that every gateway does now and then.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff::jittered;
use crate::cursor::{Cursor, Lineage};
use crate::hub::Hub;
use crate::postgres::{Database, WakeUp, WakeUps};
use crate::presence::Board;
use crate::rate_limit::OperationBudget;
use crate::reading::Reading;
use crate::telemetry::gauge;

/// The database's own sweeper, when there is one, keeps the same period.
const PERIOD: Duration = Duration::from_secs(10);
/// How long a role that became a superuser may be served as one.
const ROLE_PERIOD: Duration = Duration::from_secs(5);
/// Also without a reconnection a pooler may lead to another server.
const LINEAGE_PERIOD: Duration = Duration::from_secs(15);

/// Everything that is looked after.
pub struct Upkeep {
    /// Sweeps stale sessions, makes partitions, drops old batches.
    pub database: Database,
    /// Forgets quotes that nobody watches.
    pub board: Arc<Board>,
    /// Forgets users that are quiet.
    pub budget: Arc<OperationBudget>,
    /// Forgets who owes nothing.
    pub reading: Arc<Reading>,
    /// Folds what was counted.
    pub metrics: Option<PrometheusHandle>,
}

impl Upkeep {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        // Maintenance may take long, and what is forgotten here takes memory meanwhile.
        let all = async { tokio::join!(self.maintain(), self.forget(), self.watch_role()) };
        stop.run_until_cancelled(all).await;
    }

    /// What it finds is told where it is found; whoever needs a database that is away says so himself.
    async fn watch_role(&self) {
        loop {
            sleep(jittered(ROLE_PERIOD)).await;
            let _ = self.database.ping().await;
        }
    }

    async fn maintain(&self) {
        loop {
            sleep(jittered(PERIOD)).await;
            if let Err(error) = self.database.maintain().await {
                error.warn("maintenance failed");
            }
        }
    }

    async fn forget(&self) {
        loop {
            sleep(PERIOD).await;
            self.forget_once();
        }
    }

    fn forget_once(&self) {
        self.board.forget_idle();
        self.budget.forget_idle();
        self.reading.forget_idle();
        let (busy, connections) = self.database.load();
        gauge("gateway_database_connections", connections);
        gauge("gateway_database_connections_busy", busy);
        if let Some(handle) = &self.metrics {
            handle.run_upkeep();
        }
    }
}

/// Keeps the hub informed which history the database has: after a failover, cursors of the old one are not good.
pub async fn follow_lineage(
    database: Database,
    hub: Arc<Hub>,
    mut connected: WakeUps,
    stop: CancellationToken,
) {
    stop.run_until_cancelled(async {
        loop {
            let reason = connected.next(LINEAGE_PERIOD).await;
            match database.lineage().await {
                Ok(lineage) if !lineage.is_of_database(&hub.lineage()) => {
                    let timeline = lineage.timeline;
                    tracing::warn!(timeline, "the database has begun timeline {timeline}");
                    // Without an answer the next look finds the same.
                    if let Ok(last_batch) = database.last_batch().await {
                        let lineage = Lineage { fork: hub.lineage().fork, ..lineage };
                        if hub.adopt(lineage, Cursor::end_of(last_batch)) {
                            tracing::error!(
                                "the database does not have all that was told: subscribers read again"
                            );
                        }
                    }
                }
                Err(error) if reason == WakeUp::Reconnect => error.warn("lineage not read"),
                Ok(_) | Err(_) => {}
            }
        }
    })
    .await;
}
