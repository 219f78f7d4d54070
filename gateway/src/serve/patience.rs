//! Patience with a database that starts together with the gateway, or anew while the gateway starts.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::http::Obstacle;
use crate::postgres::DatabaseError;

/// So long the database may take, all in all.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is left of it.
pub struct Patience {
    until: Instant,
    obstacle: watch::Sender<Option<&'static str>>,
}

impl Patience {
    /// All of it.
    pub fn new() -> Self {
        Self { until: Instant::now() + PATIENCE, obstacle: watch::Sender::new(None) }
    }

    /// What is in the way while it lasts.
    pub fn obstacle(&self) -> Obstacle {
        self.obstacle.subscribe()
    }

    /// Asks until there is an answer, or an error that waiting does not mend. For what somebody has to mend in the database it
    /// waits for as long as that takes: an end would only be followed by the next start.
    pub async fn ask<T>(
        &self,
        question: impl AsyncFn() -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
        loop {
            let answer = question().await;
            let obstacle = answer.as_ref().err().and_then(DatabaseError::obstacle);
            let is_news = self.obstacle.send_replace(obstacle) != obstacle;
            match answer {
                Err(error) if obstacle.is_some() => {
                    if is_news {
                        tracing::error!("nothing is served until this is mended: {error}");
                    }
                }
                Err(error) if error.is_transient() && Instant::now() < self.until => {
                    tracing::warn!(%error, "waiting for the database");
                }
                answered => return answered,
            }
            sleep(backoff.delay()).await;
        }
    }
}
