//! Ending in order: first nobody new comes in, then what copies events stops, then what delivers them.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest wait for a group to end. Its tasks end where they are; the relay alone has something to say, for half as long.
const GROUP_TIMEOUT: Duration = Duration::from_secs(8);

/// Tasks that end together.
#[derive(Clone, Debug)]
pub struct Group {
    name: &'static str,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Group {
    /// An empty group.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// Tells the group's tasks to end.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a task of the group.
    pub fn start<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        self.tasks.spawn(task);
    }

    /// Tells all tasks to end and waits for them.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(GROUP_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "{} did not end in time", self.name);
        }
    }
}

/// Completes at the first SIGTERM or SIGINT; at the second the process ends at once.
///
/// # Errors
///
/// When signals cannot be received.
pub fn on_signal() -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tracing::info!("draining; a second signal ends at once");
        std::thread::spawn(move || {
            let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = waiting {
                runtime.block_on(next());
                std::process::exit(130);
            }
        });
    })
}
