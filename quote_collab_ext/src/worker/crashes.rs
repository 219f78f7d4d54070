//! How often the server has begun anew after a crash. Housekeeping begins with the server, and would end it again at once where it is what
//! brings it down: it waits longer each time.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use pgrx::pg_sys;

use crate::worker::backoff::Backoff;

/// How long housekeeping waits after the first crash, and at most.
const FIRST: Duration = Duration::from_secs(10);
const LAST: Duration = Duration::from_mins(5);
/// Crashes further apart than this have nothing to do with each other: housekeeping has run meanwhile.
const APART: Duration = Duration::from_mins(15);

/// When shared memory was made last, in microseconds since 2000; zero: never.
static MADE: AtomicI64 = AtomicI64::new(0);
static CRASHES: AtomicU32 = AtomicU32::new(0);

/// Shared memory is being made: when the server starts, and after each crash. Its first process stays and counts; those that it starts
/// inherit the count.
#[expect(unsafe_code, reason = "PostgreSQL's clock")]
pub fn count() {
    // SAFETY: reads the clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let before = MADE.swap(now, Ordering::Relaxed);
    let since = Duration::from_micros(u64::try_from(now.saturating_sub(before)).unwrap_or_default());
    let crashes = match before {
        0 => 0,
        _ if since > APART => 1,
        _ => CRASHES.load(Ordering::Relaxed).saturating_add(1),
    };
    CRASHES.store(crashes, Ordering::Relaxed);
}

/// How long housekeeping waits before it begins; nothing where the server did not crash.
pub fn pause() -> Duration {
    let mut backoff = Backoff::new(FIRST, LAST);
    let doublings = CRASHES.load(Ordering::Relaxed).min(16);
    (0..doublings).map(|_| backoff.next()).last().unwrap_or_default()
}
