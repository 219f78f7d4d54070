//! A clock that is watched by whoever looks at it again and again.
//!
//! Where a clock is set while nobody looks, nothing tells afterwards what it showed meanwhile. One who looks every few seconds
//! knows that whatever began behind one of his looks has times behind that look. What is absent: a clock that is set and set back
//! between two looks.

/// The longest time between two looks, and the longest step back, in microseconds: what a clock that goes on evenly may show.
const LONGEST: u64 = 10_000_000;
/// How long a look is the newest that is kept, in microseconds.
const RENEWAL: u64 = 24 * 3_600_000_000;

/// A look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// What it showed, in microseconds.
    at: i64,
    /// The lowest transaction that had not begun.
    next: i64,
}

/// Looks at a clock that has gone on evenly between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What the last one showed.
    last: i64,
    /// The newest one that is kept, the one before it, and the first of all.
    kept: [Look; 3],
}

impl Watch {
    /// The first look: what the clock shows, in microseconds, and the lowest transaction that has not begun.
    #[must_use]
    pub const fn begin(now: i64, next: i64) -> Self {
        Self { last: now, kept: [Look { at: now, next }; 3] }
    }

    /// Another look: goes on where the clock has gone on evenly, and begins anew where it may have been set.
    #[must_use]
    pub const fn look(self, now: i64, next: i64) -> Self {
        if self.last.abs_diff(now) > LONGEST {
            return Self::begin(now, next);
        }
        let [newest, _, first] = self.kept;
        let is_old = now > newest.at && newest.at.abs_diff(now) > RENEWAL;
        Self { last: now, kept: if is_old { [Look { at: now, next }, newest, first] } else { self.kept } }
    }

    /// A time, days ago at most, before which a transaction and those with higher numbers had not begun; older where they may have been
    /// running for days, and `None` where they may have begun when nobody watched. Steps back of some seconds are left out of account.
    #[must_use]
    pub fn floor(self, transaction: i64) -> Option<i64> {
        self.kept.into_iter().find(|look| transaction >= look.next).map(|look| look.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3_600 * SECOND;

    #[test]
    fn who_looks_again_and_again_goes_on() {
        let mut watch = Watch::begin(5 * SECOND, 10);
        for second in (5..600).step_by(10) {
            watch = watch.look(second * SECOND, 20 + second);
            assert_eq!(watch.floor(10), Some(5 * SECOND), "{second}");
            assert_eq!(watch.floor(9), None, "{second}");
        }
        // As clocks are corrected.
        assert_eq!(watch.look(590 * SECOND, 1000).floor(10), Some(5 * SECOND));
    }

    #[test]
    fn a_clock_that_was_set_is_watched_anew() {
        let watch = Watch::begin(0, 10).look(5 * SECOND, 15);
        for at in [16 * SECOND, -6 * SECOND, i64::MAX, i64::MIN] {
            let anew = watch.look(at, 20);
            assert_eq!(anew, Watch::begin(at, 20));
            assert_eq!(anew.floor(19), None);
            assert_eq!(anew.look(at, 30).floor(20), Some(at));
        }
    }

    #[test]
    fn who_has_watched_for_long_looks_back_two_days_at_most() {
        let mut watch = Watch::begin(0, 10);
        let days = 10 * 24 * HOUR;
        for at in (0..=days).step_by(10_000_000) {
            watch = watch.look(at, 10 + at / SECOND);
        }
        let next = 10 + days / SECOND;
        let floor = watch.floor(next).unwrap();
        assert!(days - floor <= 25 * HOUR, "{floor}");
        let running_since_yesterday = watch.floor(next - 24 * 3_600).unwrap();
        assert!(days - running_since_yesterday <= 50 * HOUR, "{running_since_yesterday}");
        assert_eq!(watch.floor(10), Some(0));
        assert_eq!(watch.floor(9), None);
    }
}
