//! Patience with a database that starts together with the gateway, or anew while the gateway starts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::postgres::DatabaseError;

/// So long the database may take, all in all.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is left of it.
pub struct Patience {
    until: Instant,
}

impl Patience {
    /// All of it.
    pub fn new() -> Self {
        Self { until: Instant::now() + PATIENCE }
    }

    /// Asks until there is an answer, or an error that waiting does not mend.
    pub async fn ask<T>(
        &self,
        question: impl AsyncFn() -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        loop {
            match question().await {
                Err(error) if error.is_transient() && Instant::now() < self.until => {
                    tracing::warn!(%error, "waiting for the database");
                    sleep(backoff.delay()).await;
                }
                answered => return answered,
            }
        }
    }
}
