//! Whether the server began as a standby. `pg_createsubscriber` promotes one and gives it another identifier a few seconds later: what is
//! sealed in between would name transactions by numbers that the publisher gives to others.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long housekeeping waits after a promotion.
pub const PAUSE: Duration = Duration::from_secs(20);

static BEGAN_AS_STANDBY: AtomicBool = AtomicBool::new(false);

/// Shared memory is being made: when the server starts, and after each crash. Its first process has the data directory for its own and
/// looks there for what makes it a standby, which is gone once it was promoted; those that it starts inherit what it found.
pub fn note() {
    BEGAN_AS_STANDBY.fetch_or(Path::new("standby.signal").exists(), Ordering::Relaxed);
}

/// Whether the server was promoted since it was started, crashes or not.
pub fn has_happened() -> bool {
    BEGAN_AS_STANDBY.load(Ordering::Relaxed)
}
