//! Lines of the log that would repeat: the first is told, those after it are counted, and once a minute their number is told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often the same is told.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// What was told last. It keeps one line, so what takes turns with something else is told each time.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<Option<Told>>);

#[derive(Debug)]
struct Told {
    what: String,
    at: Instant,
    /// So often it came since.
    untold: u64,
}

impl Seldom {
    /// Whether to tell this now: then how often the same came since it was told, this time left out.
    pub fn tell(&self, what: &str) -> Option<u64> {
        let mut last = self.last();
        if let Some(told) = last.as_mut().filter(|told| told.what == what) {
            if told.at.elapsed() < TOLD_AGAIN {
                told.untold += 1;
                return None;
            }
            told.at = Instant::now();
            return Some(std::mem::take(&mut told.untold));
        }
        *last = Some(Told { what: what.to_owned(), at: Instant::now(), untold: 0 });
        Some(0)
    }

    fn last(&self) -> MutexGuard<'_, Option<Told>> {
        // What is put there is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_is_told_once_a_minute_with_its_number() {
        let seldom = Seldom::default();
        assert_eq!(seldom.tell("full"), Some(0));
        for _ in 0..59 {
            advance(Duration::from_secs(1)).await;
            assert_eq!(seldom.tell("full"), None);
        }
        advance(Duration::from_secs(1)).await;
        assert_eq!((seldom.tell("full"), seldom.tell("full")), (Some(59), None));
        assert_eq!((seldom.tell("away"), seldom.tell("full")), (Some(0), Some(0)));
    }
}
