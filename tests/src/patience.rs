//! Waiting for events, within a bound.

use std::future::Future;
use std::time::Duration;

/// Longer than anything takes on a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for something that has to happen.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(PATIENCE, event).await else {
        panic!("{what}: did not happen within {} s", PATIENCE.as_secs())
    };
    value
}

/// Looks again and again until something without an event of its own is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
