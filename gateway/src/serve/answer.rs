//! Answering until told to stop, then letting what runs finish.

use std::future::{Future, IntoFuture};
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::serve::Listener;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ServeError;
use super::port::Port;
use crate::http::{App, Obstacle, router, starting};

/// Time for the last answers of a gateway that has been starting.
const STARTING_PATIENCE: Duration = Duration::from_secs(1);

/// Time for sockets to say goodbye.
const SOCKETS_PATIENCE: Duration = Duration::from_secs(4);
const SOCKETS_POLL: Duration = Duration::from_millis(20);

/// Answers on `port` that the gateway is starting, until it has.
pub async fn answer_meanwhile<T>(port: Port, obstacle: Obstacle, start: impl Future<Output = T>) -> T {
    let started = CancellationToken::new();
    let server =
        axum::serve(port, starting(obstacle)).with_graceful_shutdown(started.clone().cancelled_owned());
    let (mut server, mut start) = (pin!(server.into_future().fuse()), pin!(start));
    let outcome = loop {
        tokio::select! {
            outcome = &mut start => break outcome,
            // It does not end by itself; if it did, the start would go on in silence.
            _ = &mut server => {}
        }
    };
    started.cancel();
    // Nobody may be told any more that the gateway is starting once it says that it is ready.
    let _ = timeout(STARTING_PATIENCE, server).await;
    outcome
}

/// Serves on `port` until `stop` completes, then drains.
pub async fn answer(
    port: Port,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
    drain_timeout: Duration,
) -> Result<(), ServeError> {
    let address = port.local_addr()?;
    let (drain, draining) = (app.drain.clone(), app.drain.clone());
    let sockets = Arc::clone(&app.sockets);
    let signal = async move {
        stop.await;
        drain.cancel();
    };
    let server = axum::serve(port, router(app)).with_graceful_shutdown(signal).into_future();
    tracing::info!("ready on http://{address}");
    writeln!(std::io::stdout(), "ready on http://{address}")?;
    let mut server = pin!(server);
    // Without a request that runs it ends at once.
    let ended = tokio::select! {
        ended = &mut server => Some(ended),
        () = draining.cancelled() => None,
    };
    let patience = Instant::now() + drain_timeout;
    let ended = match ended {
        Some(ended) => Some(ended),
        None => timeout_at(patience, server).await.ok(),
    };
    if let Some(ended) = ended {
        ended?;
    } else {
        tracing::warn!("requests still running after {drain_timeout:?} are given up");
    }
    // Sockets let their mutations finish, for as long.
    let patience = patience + SOCKETS_PATIENCE;
    while sockets.open.load(Ordering::Relaxed) > 0 && Instant::now() < patience {
        sleep(SOCKETS_POLL).await;
    }
    Ok(())
}
