//! A place in the event feed, and its spelling for clients.
//!
//! Inside, a cursor is the pair (batch, position): batches are dense numbers that the relay commits in PostgreSQL,
//! positions are places in the audit log. Within the feed both only grow, in that order. Clients get an opaque text
//! that also names the history it belongs to, because after a failover to a standby that was behind the same pair
//! can mean something else.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A place in the event feed: everything up to and including it has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// Number of the batch.
    pub batch: i64,
    /// Position within it.
    pub position: i64,
}

/// Which history a cursor belongs to: database and timeline of PostgreSQL, and the fork. A dump that is restored into its
/// own database has the same of both and yet another history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// System identifier of the cluster and, behind a slash, the database in it, which releases before 0.16.0 did not say.
    pub cluster: String,
    /// Timeline: a failover begins a new one.
    pub timeline: i32,
    /// Number of the message that announced the last fork to the bus, 0 when there was none. The bus alone knows it.
    pub fork: u64,
}

/// A cursor as a client holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCursor {
    /// The place.
    pub cursor: Cursor,
    /// [`Lineage::fingerprint`] of the history it was given in.
    pub fingerprint: u32,
}

/// Why a text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is malformed")]
pub struct CursorError;

/// First part of every cursor, so that a later form can be told apart.
const FORM: &str = "1";

impl Cursor {
    /// Right before the event at this place.
    #[must_use]
    pub const fn before(self) -> Self {
        Self { position: self.position.saturating_sub(1), ..self }
    }

    /// Behind everything in this batch.
    #[must_use]
    pub const fn end_of(batch: i64) -> Self {
        Self { batch, position: i64::MAX }
    }
}

impl Lineage {
    /// Whether the database is the same one, whatever the bus knows.
    #[must_use]
    pub fn is_of_database(&self, other: &Self) -> bool {
        (&self.cluster, self.timeline) == (&other.cluster, other.timeline)
    }

    /// Whether this is a history of the database that calls itself so.
    #[must_use]
    pub fn is_of(&self, database: &str) -> bool {
        database
            .strip_prefix(self.cluster.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Whether the database may have begun this history after the other one. Timelines of one cluster tell; clusters do not.
    #[must_use]
    pub fn may_follow(&self, other: &Self) -> bool {
        self.cluster != other.cluster || self.timeline > other.timeline
    }

    /// A short name of this history (FNV-1a): collisions are harmless, it only guards against honest mistakes.
    #[must_use]
    pub fn fingerprint(&self) -> u32 {
        let fork = self.fork.to_be_bytes().into_iter().filter(|_| self.fork > 0);
        let bytes = self.cluster.bytes().chain([b'/']).chain(self.timeline.to_be_bytes()).chain(fork);
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }
}

impl ClientCursor {
    /// The opaque text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut plain = String::with_capacity(32);
        let Cursor { batch, position } = self.cursor;
        let _ = write!(plain, "{FORM}:{batch}:{position}:{:x}", self.fingerprint);
        URL_SAFE_NO_PAD.encode(plain)
    }

    /// Reads the text back.
    ///
    /// # Errors
    ///
    /// When it was not written by [`ClientCursor::text`].
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let plain = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let plain = String::from_utf8(plain).map_err(|_| CursorError)?;
        let parts: Vec<&str> = plain.split(':').collect();
        let [FORM, batch, position, fingerprint] = parts[..] else { return Err(CursorError) };
        let read = Self {
            cursor: Cursor { batch: natural(batch)?, position: natural(position)? },
            fingerprint: u32::from_str_radix(fingerprint, 16).map_err(|_| CursorError)?,
        };
        // One spelling per cursor: no signs, no leading zeros.
        if read.text() == text { Ok(read) } else { Err(CursorError) }
    }
}

fn natural(text: &str) -> Result<i64, CursorError> {
    text.parse().ok().filter(|number| *number >= 0).ok_or(CursorError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for batch in [0, 1, 17, i64::MAX] {
            for position in [0, 1, 4_711, i64::MAX] {
                for fingerprint in [0, 1, u32::MAX] {
                    let cursor = ClientCursor { cursor: Cursor { batch, position }, fingerprint };
                    assert_eq!(ClientCursor::parse(&cursor.text()), Ok(cursor));
                }
            }
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        let encoded = [
            "1:1:1",
            "2:1:1:0",
            "1:-1:1:0",
            "1:1:-1:0",
            "1:+1:1:0",
            "1:01:1:0",
            "1:1:1:0:0",
            "1:a:1:0",
            "1:1:1:100000000",
            "",
            "1:1:1:",
        ];
        for plain in encoded {
            assert_eq!(ClientCursor::parse(&URL_SAFE_NO_PAD.encode(plain)), Err(CursorError), "{plain}");
        }
        for text in ["", "garbage", "1:1:1:0", "=", "ä", "MToxOjE6MA=="] {
            assert_eq!(ClientCursor::parse(text), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn cursors_are_ordered_by_batch_then_position() {
        let cursor = |batch, position| Cursor { batch, position };
        assert!(
            cursor(2, 1) > cursor(1, 9) && cursor(1, 2) > cursor(1, 1) && Cursor::end_of(1) < cursor(2, 0)
        );
    }

    #[test]
    fn another_timeline_is_another_history() {
        let lineage = |timeline| Lineage { cluster: "7300000000000000001".to_owned(), timeline, fork: 0 };
        assert_ne!(lineage(1).fingerprint(), lineage(2).fingerprint());
        assert_eq!(lineage(1).fingerprint(), lineage(1).fingerprint());
        assert_ne!(lineage(1).fingerprint(), Lineage { fork: 7, ..lineage(1) }.fingerprint());
        assert!(lineage(1).is_of_database(&Lineage { fork: 7, ..lineage(1) }));
        assert!(lineage(2).may_follow(&lineage(1)) && !lineage(1).may_follow(&lineage(2)));
        assert!(!Lineage { fork: 7, ..lineage(1) }.may_follow(&lineage(1)));
        assert!(Lineage { cluster: "2".to_owned(), ..lineage(1) }.may_follow(&lineage(2)));
    }

    #[test]
    fn databases_of_a_cluster_are_told_apart() {
        let of = |cluster: &str| Lineage { cluster: cluster.to_owned(), timeline: 1, fork: 0 };
        assert!(of("73/5").is_of("73/5") && of("73").is_of("73/5") && of("73").is_of("73"));
        for other in ["73/6", "73/51", "7/5", "7", "73/5/", "74"] {
            assert!(!of(other).is_of("73/5"), "{other}");
        }
        assert!(!of("73/5").is_of("73"));
    }
}
