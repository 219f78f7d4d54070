//! Ctrl-C: the first one asks for an orderly end, the second for an immediate one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use xtask::failure::{Failure, Result};

/// Counts the signals that ask this program to end.
#[derive(Debug, Clone)]
pub struct Interrupts {
    seen: Arc<AtomicUsize>,
}

impl Interrupts {
    /// From now on these signals no longer end the program by themselves.
    pub fn catch() -> Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Failure::io("catch signals"))?;
        let seen = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&seen);
        thread::spawn(move || {
            for _ in &mut signals {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { seen })
    }

    /// Somebody wants an end.
    pub fn requested(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > 0
    }

    /// Somebody wants it now.
    pub fn urgent(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > 1
    }
}
