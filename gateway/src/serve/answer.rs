//! Answering until told to stop, then letting what runs finish.

use std::future::{Future, IntoFuture};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::ServeError;
use crate::http::{App, router};

/// Time for sockets to say goodbye.
const SOCKETS_PATIENCE: Duration = Duration::from_secs(4);
const SOCKETS_POLL: Duration = Duration::from_millis(20);

/// Serves on `listener` until `stop` completes, then drains.
pub async fn answer(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
    drain_timeout: Duration,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let (drain, draining) = (app.drain.clone(), app.drain.clone());
    let sockets = Arc::clone(&app.sockets);
    let signal = async move {
        stop.await;
        drain.cancel();
    };
    // Events are small and each is written when it comes: waiting to fill a packet would only delay them.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let server = axum::serve(listener, router(app)).with_graceful_shutdown(signal).into_future();
    tracing::info!("ready on http://{address}");
    writeln!(std::io::stdout(), "ready on http://{address}")?;
    tokio::select! {
        ended = server => ended?,
        () = async { draining.cancelled().await; sleep(drain_timeout).await } => {
            tracing::warn!("requests still running after {drain_timeout:?} are given up");
        }
    }
    let patience = Instant::now() + SOCKETS_PATIENCE;
    while sockets.open.load(Ordering::Relaxed) > 0 && Instant::now() < patience {
        sleep(SOCKETS_POLL).await;
    }
    Ok(())
}
