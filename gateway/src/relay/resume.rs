//! Where a relay goes on: what the bus ends with, seen against what the log has.

use crate::cursor::{Cursor, Lineage};
use crate::ports::{ChangeBus, ChangeLog, Checkpoint, Tail, TailMessage};
use crate::relay::RelayError;

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Everything up to here is in the bus.
    pub cursor: Cursor,
    /// The bus ends here.
    pub sequence: u64,
    /// Why readers must read again before anything else is published.
    pub resync: Option<Resync>,
    /// The fork that the bus is in from here on.
    pub fork: u64,
}

/// Why readers must read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// The bus has events that this database does not know.
    Fork,
    /// Events are missing in the bus: they were never published and the log no longer has them, or what follows them was published before.
    Gap,
}

/// What the log knows.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Oldest batch kept, 0 when none.
    pub first_batch: i64,
    /// Newest batch, 0 when none.
    pub last_batch: i64,
    /// The lazy copy.
    pub checkpoint: Checkpoint,
    /// Whether the log has the bus's last event, be it only remembered, at its place: none when it has nothing there any
    /// more.
    pub tail_is_known: Option<bool>,
}

/// Reads both ends and decides.
pub async fn resume<L: ChangeLog, B: ChangeBus>(
    log: &L,
    bus: &B,
    lineage: &Lineage,
) -> Result<Start, RelayError> {
    let tail = bus.tail().await?;
    let mut facts = Facts {
        first_batch: log.first_batch().await?,
        last_batch: log.last_batch().await?,
        checkpoint: log.checkpoint().await?,
        tail_is_known: None,
    };
    if let Some(last) = tail.last.as_ref().or(tail.remembered.as_ref()) {
        facts.tail_is_known = log.knows(last).await?;
    }
    Ok(decide(&tail, lineage, &facts))
}

/// The decision, without I/O.
pub fn decide(tail: &Tail, lineage: &Lineage, facts: &Facts) -> Start {
    let sequence = tail.sequence;
    let refill = Cursor::end_of(facts.first_batch.saturating_sub(1).max(0));
    let last = tail.last.as_ref().or(tail.remembered.as_ref());
    let end = Cursor::end_of(facts.last_batch);
    let (cursor, resync) = match &tail.last {
        _ if last.is_some_and(|last| forked(last, lineage, facts)) => {
            // What the log has up to now it had before it began this history, so it is in the bus already, save
            // what the bus had not reached. Where the bus ends with another database's its place says nothing, and what the
            // log knows to be published is not published again as news.
            let reached = last.map_or(end, |last| last.cursor);
            (reached.max(facts.checkpoint.cursor).min(end), Some(Resync::Fork))
        }
        Some(last) => (last.cursor, tail.is_torn.then_some(Resync::Gap)),
        None if facts.checkpoint.cursor.batch > facts.last_batch => (end, Some(Resync::Fork)),
        None if sequence == 0 => (refill, None),
        None => {
            let Checkpoint { cursor, sequence: noted } = facts.checkpoint;
            if noted != sequence {
                tracing::warn!(
                    noted,
                    sequence,
                    "the stream was emptied at {sequence} but the checkpoint is of {noted}: publishing again from the checkpoint"
                );
            }
            let noted_at = if noted == 0 { refill } else { cursor };
            (noted_at, None)
        }
    };
    // Cursors of before mean nothing behind a fork, so each has a number of its own.
    let fork = if resync.is_some() { tail.fork.max(sequence) + 1 } else { tail.fork };
    if cursor.batch + 1 < facts.first_batch {
        return Start { cursor: refill, sequence, resync: resync.or(Some(Resync::Gap)), fork };
    }
    Start { cursor, sequence, resync, fork }
}

/// The bus is ahead of the log, or has something else at the same place. A clean failover changes the timeline but
/// keeps what was committed, so a tail that the log knows is no fork.
fn forked(last: &TailMessage, lineage: &Lineage, facts: &Facts) -> bool {
    let ahead = last.cursor.batch > facts.last_batch;
    match facts.tail_is_known {
        Some(known) => ahead || !known,
        None => ahead || !last.lineage.is_of_database(lineage),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(timeline: i32) -> Lineage {
        Lineage { cluster: "1".to_owned(), timeline, fork: 0 }
    }

    fn tail(batch: i64, position: i64, timeline: i32) -> Tail {
        let cursor = Cursor { batch, position };
        Tail {
            sequence: 70,
            fork: 12,
            remembered: None,
            is_torn: false,
            last: Some(TailMessage {
                id: "x".to_owned(),
                is_resync: false,
                cursor,
                lineage: lineage(timeline),
            }),
        }
    }

    fn facts(first_batch: i64, last_batch: i64, tail_is_known: Option<bool>) -> Facts {
        Facts { first_batch, last_batch, checkpoint: Checkpoint::default(), tail_is_known }
    }

    fn at(batch: i64, position: i64, resync: Option<Resync>) -> Start {
        let fork = if resync == Some(Resync::Fork) { 71 } else { 12 };
        Start { cursor: Cursor { batch, position }, sequence: 70, resync, fork }
    }

    #[test]
    fn a_stream_with_a_tail_is_continued_behind_it() {
        let here = lineage(1);
        assert_eq!(decide(&tail(5, 9, 1), &here, &facts(1, 7, Some(true))), at(5, 9, None));
        // The batch is no longer kept, but nothing behind it is missing.
        assert_eq!(decide(&tail(5, 9, 1), &here, &facts(6, 7, None)), at(5, 9, None));
        // A failover that lost nothing.
        assert_eq!(decide(&tail(5, 9, 1), &lineage(2), &facts(1, 7, Some(true))), at(5, 9, None));
    }

    #[test]
    fn a_fork_is_told_and_nothing_new_is_skipped() {
        let fork = Some(Resync::Fork);
        // The promoted standby was behind: its next batch has a number that the stream has already.
        assert_eq!(decide(&tail(9, 3, 1), &lineage(2), &facts(1, 7, None)), at(7, i64::MAX, fork));
        assert_eq!(decide(&tail(7, 3, 1), &lineage(2), &facts(1, 7, Some(false))), at(7, 3, fork));
        assert_eq!(decide(&tail(5, 9, 1), &lineage(2), &facts(6, 7, None)), at(5, 9, fork));
        // A disk was rolled back: same timeline, but the stream is ahead or different.
        assert_eq!(decide(&tail(9, 3, 1), &lineage(1), &facts(1, 7, None)), at(7, i64::MAX, fork));
        assert_eq!(decide(&tail(5, 3, 1), &lineage(1), &facts(1, 7, Some(false))), at(5, 3, fork));
        // A new cluster without any batch.
        assert_eq!(decide(&tail(9, 3, 1), &lineage(2), &facts(0, 0, None)), at(0, i64::MAX, fork));
    }

    #[test]
    fn a_fork_is_told_though_the_stream_has_been_emptied() {
        for sequence in [0, 70] {
            let emptied = |batch, position| {
                let remembered = tail(batch, position, 1).last;
                Tail { sequence, last: None, fork: 12, remembered, is_torn: false }
            };
            let fork = |batch, position| {
                let fork = sequence.max(12) + 1;
                Start { sequence, fork, ..at(batch, position, Some(Resync::Fork)) }
            };
            assert_eq!(decide(&emptied(9, 3), &lineage(2), &facts(1, 7, None)), fork(7, i64::MAX));
            assert_eq!(decide(&emptied(9, 3), &lineage(1), &facts(1, 7, None)), fork(7, i64::MAX));
            assert_eq!(decide(&emptied(7, 3), &lineage(2), &facts(1, 9, Some(false))), fork(7, 3));
            let kept = decide(&emptied(5, 9), &lineage(2), &facts(1, 7, Some(true)));
            assert_eq!((kept.cursor, kept.resync, kept.fork), (Cursor::end_of(0), None, 12));
        }
    }

    #[test]
    fn an_announced_fork_is_not_announced_again() {
        assert_eq!(decide(&tail(7, i64::MAX, 2), &lineage(2), &facts(1, 7, None)), at(7, i64::MAX, None));
    }

    #[test]
    fn events_that_retention_took_unpublished_are_told() {
        assert_eq!(
            decide(&tail(5, 9, 1), &lineage(1), &facts(8, 9, None)),
            at(7, i64::MAX, Some(Resync::Gap))
        );
    }

    #[test]
    fn an_event_that_is_missing_in_the_middle_is_told() {
        let torn = Tail { is_torn: true, ..tail(5, 9, 1) };
        let start = decide(&torn, &lineage(1), &facts(1, 7, Some(true)));
        assert_eq!(
            (start.cursor, start.resync, start.fork),
            (Cursor { batch: 5, position: 9 }, Some(Resync::Gap), 71)
        );
    }

    #[test]
    fn a_new_stream_is_filled_with_what_is_kept() {
        let empty = Tail { sequence: 0, last: None, fork: 12, remembered: None, is_torn: false };
        let start = |batch| Start { cursor: Cursor::end_of(batch), sequence: 0, resync: None, fork: 12 };
        assert_eq!(decide(&empty, &lineage(1), &facts(4, 9, None)), start(3));
        assert_eq!(decide(&empty, &lineage(1), &facts(1, 9, None)), start(0));
        assert_eq!(decide(&empty, &lineage(1), &facts(0, 0, None)), start(0));
    }

    #[test]
    fn a_stream_emptied_by_age_is_continued_from_the_checkpoint() {
        let emptied = Tail { sequence: 70, last: None, fork: 12, remembered: None, is_torn: false };
        let with = |sequence, first, last| Facts {
            checkpoint: Checkpoint { cursor: Cursor { batch: 6, position: 2 }, sequence },
            ..facts(first, last, None)
        };
        assert_eq!(decide(&emptied, &lineage(1), &with(70, 1, 9)), at(6, 2, None));
        assert_eq!(decide(&emptied, &lineage(1), &with(60, 1, 9)), at(6, 2, None));
        assert_eq!(decide(&emptied, &lineage(1), &with(70, 9, 9)), at(8, i64::MAX, Some(Resync::Gap)));
        assert_eq!(decide(&emptied, &lineage(1), &with(70, 1, 4)), at(4, i64::MAX, Some(Resync::Fork)));
        assert_eq!(decide(&emptied, &lineage(1), &facts(3, 9, None)), at(2, i64::MAX, None));
    }
}
