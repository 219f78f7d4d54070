//! The NATS subjects of quote collaboration.
//!
//! ```text
//! subject  = "quote.event."    tenant "." quote      one change of one quote, in JetStream
//!          | "quote.event.resync"                    everybody re-reads: the history forked
//!          | "presence.event." tenant "." quote      who is here, core NATS, never stored
//! tenant, quote = UUID, lower case, with hyphens
//! ```
//!
//! The tenant is part of the subject so that a NATS account can be limited to it, and so that no event can reach
//! another tenant's subscriber by a forgotten filter. Nothing else in this workspace formats a subject.

use std::fmt;

use uuid::Uuid;

/// What the stream holds and the hub reads.
pub const QUOTE_EVENTS: &str = "quote.event.>";

/// What is told of people, in core NATS.
pub const PRESENCE_EVENTS: &str = "presence.event.>";

const QUOTE_EVENT: &str = "quote.event.";
const PRESENCE_EVENT: &str = "presence.event.";
const RESYNC: &str = "resync";

/// A parsed subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A change of a quote or of one of its lines.
    QuoteEvent(QuoteAddress),
    /// A fork of the history, announced to everybody.
    Resync,
    /// Someone joined, left or moved.
    PresenceEvent(QuoteAddress),
}

/// Where a quote lives: no quote is ever named without its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuoteAddress {
    /// The owner.
    pub tenant: Uuid,
    /// The quote.
    pub quote: Uuid,
}

/// Why a text is not one of our subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The first words are not ours.
    #[error("not a subject of quote collaboration")]
    UnknownPrefix,
    /// There is no tenant or no quote, or there is more behind them.
    #[error("a subject names exactly one tenant and one quote")]
    WrongLength,
    /// A token is not a UUID in its canonical spelling: wildcards, blanks and dots are refused with it.
    #[error("a token is not a lower-case UUID with hyphens")]
    NotAUuid,
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuoteEvent(QuoteAddress { tenant, quote }) => {
                write!(formatter, "{QUOTE_EVENT}{tenant}.{quote}")
            }
            Self::Resync => write!(formatter, "{QUOTE_EVENT}{RESYNC}"),
            Self::PresenceEvent(QuoteAddress { tenant, quote }) => {
                write!(formatter, "{PRESENCE_EVENT}{tenant}.{quote}")
            }
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        if let Some(rest) = text.strip_prefix(PRESENCE_EVENT) {
            return address(rest).map(Self::PresenceEvent);
        }
        match text.strip_prefix(QUOTE_EVENT).ok_or(SubjectError::UnknownPrefix)? {
            RESYNC => Ok(Self::Resync),
            rest => address(rest).map(Self::QuoteEvent),
        }
    }
}

fn address(text: &str) -> Result<QuoteAddress, SubjectError> {
    let (tenant, quote) = text.split_once('.').ok_or(SubjectError::WrongLength)?;
    if quote.contains('.') {
        return Err(SubjectError::WrongLength);
    }
    Ok(QuoteAddress { tenant: token(tenant)?, quote: token(quote)? })
}

/// A UUID has several accepted spellings; a subject is compared byte by byte, so only one of them may pass.
fn token(text: &str) -> Result<Uuid, SubjectError> {
    let id = Uuid::try_parse(text).map_err(|_| SubjectError::NotAUuid)?;
    if id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text {
        Ok(id)
    } else {
        Err(SubjectError::NotAUuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: &str = "0190b7a1-0000-7000-8000-00000000000a";
    const QUOTE: &str = "0190b7a1-0000-7000-8000-0000000000ff";

    #[test]
    fn what_is_built_is_parsed() {
        for seed in 0_u128..2_000 {
            let address = QuoteAddress {
                tenant: Uuid::from_u128(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                quote: Uuid::from_u128(!seed.wrapping_mul(0x2545_f491_4f6c_dd1d_a3b1_9535_4a39_b70d)),
            };
            for subject in [Subject::QuoteEvent(address), Subject::PresenceEvent(address), Subject::Resync] {
                assert_eq!(subject.to_string().parse(), Ok(subject));
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let cases = [
            (String::new(), SubjectError::UnknownPrefix),
            ("quote.events.x".to_owned(), SubjectError::UnknownPrefix),
            ("quote.event.>".to_owned(), SubjectError::WrongLength),
            (format!("quote.event.{TENANT}"), SubjectError::WrongLength),
            (format!("quote.event.{TENANT}.{QUOTE}.x"), SubjectError::WrongLength),
            (format!("quote.event.{TENANT}.*"), SubjectError::NotAUuid),
            (format!("quote.event.*.{QUOTE}"), SubjectError::NotAUuid),
            (format!("quote.event.{TENANT}.{QUOTE} "), SubjectError::NotAUuid),
            (format!("quote.event.{TENANT}.{}", QUOTE.to_uppercase()), SubjectError::NotAUuid),
            (format!("quote.event.{TENANT}.{}", QUOTE.replace('-', "")), SubjectError::NotAUuid),
            (format!("quote.event.{TENANT}.{{{QUOTE}}}"), SubjectError::NotAUuid),
            (format!("presence.event.{TENANT}.resync"), SubjectError::NotAUuid),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Subject>(), Err(error), "{text}");
        }
    }
}
