//! How much one read of events may bring into memory.
//!
//! Bytes bound a read before it is made; events bound what the database prepares for it. Nobody knows beforehand how
//! large events are, so reads begin small and grow while there is room.

use crate::ports::ReadLimit;

/// Events of a first read.
const FIRST_READ: u16 = 64;

/// The size of the next read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    events: u16,
    most_events: u16,
    most_bytes: usize,
}

impl Portion {
    /// Before anything is known: of at most so many events, and so many bytes of all reads at once, save that a single
    /// event may have any size.
    #[must_use]
    pub const fn first(most_events: u16, most_bytes: usize) -> Self {
        let events = if most_events < FIRST_READ { most_events } else { FIRST_READ };
        Self { events, most_events, most_bytes }
    }

    /// The limit of the first of so many reads at once: whatever comes first must come, or nothing would go on.
    #[must_use]
    pub const fn at_any_rate(self, reads: usize) -> ReadLimit {
        ReadLimit { events: self.events, bytes: self.most_bytes / reads, first_at_any_rate: true }
    }

    /// The limit of the others.
    #[must_use]
    pub const fn at_best(self, reads: usize) -> ReadLimit {
        ReadLimit { first_at_any_rate: false, ..self.at_any_rate(reads) }
    }

    /// Learns from what was read.
    pub fn adapt(&mut self, events: usize, bytes: usize) {
        let is_full = events >= usize::from(self.events);
        if is_full || bytes > self.most_bytes / 2 {
            // As many of that size as fit, but no leap: the next ones may be larger.
            let fitting = events.saturating_mul(self.most_bytes) / bytes.max(1);
            let next = fitting.min(events.saturating_mul(4)).clamp(1, self.most_events.into());
            self.events = u16::try_from(next).unwrap_or(self.most_events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ_BYTES: usize = 4 << 20;

    const fn first() -> Portion {
        Portion::first(4_000, READ_BYTES)
    }

    fn sizes(mut portion: Portion, event: usize, reads: usize) -> Vec<u16> {
        let read = |portion: &mut Portion| {
            let fitting = (READ_BYTES / event).clamp(1, portion.events.into());
            portion.adapt(fitting, fitting * event);
            portion.events
        };
        (0..reads).map(|_| read(&mut portion)).collect()
    }

    #[test]
    fn small_events_are_read_in_large_portions_and_large_ones_in_small() {
        assert_eq!(sizes(first(), 600, 4), [256, 1_024, 4_000, 4_000]);
        assert_eq!(sizes(first(), 5_000, 4), [256, 838, 838, 838]);
        assert_eq!(sizes(first(), 100_000, 2), [41, 41]);
        assert_eq!(sizes(first(), 3 << 20, 2), [1, 1]);
        assert_eq!(sizes(first(), 100 << 20, 2), [1, 1]);
        assert_eq!(sizes(Portion { events: 1, ..first() }, 500, 3), [4, 16, 64]);
    }

    #[test]
    fn reads_at_once_share_the_bytes() {
        let limit = first().at_best(8);
        assert_eq!((limit.bytes, limit.first_at_any_rate), (READ_BYTES / 8, false));
    }
}
