//! A clock that is watched by whoever looks at it again and again.
//!
//! Where a clock is set while nobody looks, nothing tells afterwards what it showed meanwhile. One who looks every minute
//! knows that whatever began behind his first look has times behind that look.

/// The longest time between two looks, and the longest step back, in microseconds: what a clock that goes on evenly may show.
const LONGEST: u64 = 60_000_000;

/// The first look at a clock that has gone on evenly since, and the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    first: i64,
    last: i64,
    /// The lowest transaction that had not begun at the first look.
    next: i64,
}

impl Watch {
    /// The first look: what the clock shows, in microseconds, and the lowest transaction that has not begun.
    #[must_use]
    pub const fn begin(now: i64, next: i64) -> Self {
        Self { first: now, last: now, next }
    }

    /// Another look: goes on where the clock has gone on evenly, and begins anew where it may have been set.
    #[must_use]
    pub const fn look(self, now: i64, next: i64) -> Self {
        if self.last.abs_diff(now) <= LONGEST { Self { last: now, ..self } } else { Self::begin(now, next) }
    }

    /// The time before which a transaction, and those with higher numbers, had not begun; `None` where nobody watched then. A minute of
    /// steps back is left out of account at each look.
    #[must_use]
    pub fn floor(self, transaction: i64) -> Option<i64> {
        (transaction >= self.next).then_some(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn who_looks_again_and_again_goes_on() {
        let mut watch = Watch::begin(5 * SECOND, 10);
        for second in (5..600).step_by(60) {
            watch = watch.look(second * SECOND, 20 + second);
            assert_eq!(watch.floor(10), Some(5 * SECOND), "{second}");
            assert_eq!(watch.floor(9), None, "{second}");
        }
        // As clocks are corrected.
        assert_eq!(watch.look(544 * SECOND, 1000).floor(10), Some(5 * SECOND));
    }

    #[test]
    fn a_clock_that_was_set_is_watched_anew() {
        let watch = Watch::begin(0, 10).look(30 * SECOND, 15);
        for at in [91 * SECOND, -31 * SECOND, i64::MAX, i64::MIN] {
            let anew = watch.look(at, 20);
            assert_eq!(anew, Watch::begin(at, 20));
            assert_eq!(anew.floor(19), None);
            assert_eq!(anew.look(at, 30).floor(20), Some(at));
        }
    }
}
