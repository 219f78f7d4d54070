//! What a token is held to, whoever verifies it: the gateway, or PostgreSQL.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Number, Value};
use uuid::Uuid;

/// No honest token comes near this; a larger one is not even decoded.
pub const LONGEST: usize = 8 * 1024;

/// A secret of HS256 of fewer bytes than its hash can be guessed sooner than a signature, from one token (RFC 7518, section 3.2).
pub const SHORTEST_SECRET: usize = 32;

/// Tolerance for a beginning set by a clock that runs a little ahead of ours. An end has none.
const LEEWAY_SECONDS: u64 = 5;
/// Up to here a number with a fraction names its second exactly; it is later than any clock will show.
const LATEST: f64 = 9_007_199_254_740_992.0;

/// What a token says. Others of its claims are let be; one that comes twice, or has another type, is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// The user.
    pub sub: Uuid,
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's tenant.
    pub tenant_id: Uuid,
    /// The user's e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// When the token ends; one without an end is refused.
    pub exp: NumericDate,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<NumericDate>,
    /// When it was made, which says nothing about when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<NumericDate>,
    /// Whom it is meant for, one text or a list of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Value>,
    /// Whom it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<Value>,
}

/// Why a token is not good at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYet,
}

impl Claims {
    /// Whether they hold at a time in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Before they begin, and once they have ended.
    pub fn hold_at(&self, now: u64) -> Result<(), Untimely> {
        if self.exp.is_over(now) {
            Err(Untimely::Expired)
        } else if self.nbf.is_some_and(|begin| begin.is_to_come(now)) {
            Err(Untimely::NotYet)
        } else {
            Ok(())
        }
    }
}

/// A time as RFC 7519 writes it: a number of seconds since 1970, which may have a fraction. Only whole ones count.
///
/// # Examples
/// ```
/// use quote_collab_core::token::NumericDate;
/// let end: NumericDate = serde_json::from_str("1000.75").unwrap();
/// assert_eq!(end, NumericDate(1_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NumericDate(pub u64);

impl NumericDate {
    /// Whether something that ends then has ended.
    const fn is_over(self, now: u64) -> bool {
        self.0 <= now
    }

    /// Whether something that begins then has not begun.
    const fn is_to_come(self, now: u64) -> bool {
        self.0 > now.saturating_add(LEEWAY_SECONDS)
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        let seconds = number.as_u64().or_else(|| number.as_f64().and_then(whole));
        seconds.map(Self).ok_or_else(|| D::Error::custom("no time"))
    }
}

fn whole(seconds: f64) -> Option<u64> {
    let in_range = (0.0..=LATEST).contains(&seconds);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    in_range.then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_have_a_fraction_and_counts_as_its_second() {
        let cases = [
            ("0", Some(0)),
            ("1000", Some(1_000)),
            ("1000.0", Some(1_000)),
            ("1000.999", Some(1_000)),
            ("9.9e9", Some(9_900_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1e16", None),
            ("1e400", None),
            ("-1", None),
            ("-1.5", None),
            ("\"1000\"", None),
            ("null", None),
            ("[1000]", None),
            ("true", None),
        ];
        for (text, seconds) in cases {
            let read = serde_json::from_str::<NumericDate>(text).ok();
            assert_eq!(read, seconds.map(NumericDate), "{text}");
        }
        assert_eq!(serde_json::to_string(&NumericDate(7)).unwrap(), "7");
    }

    #[test]
    fn claims_hold_between_their_times_and_come_once() {
        let claims = |more: &str| {
            let id = Uuid::nil();
            serde_json::from_str::<Claims>(&format!(
                "{{\"sub\":\"{id}\",\"tenantId\":\"{id}\",\"role\":[1]{more}}}"
            ))
        };
        assert!(claims("").is_err(), "no end");
        assert!(claims(",\"exp\":9,\"exp\":9").is_err() && claims(",\"exp\":9,\"aud\":1,\"aud\":2").is_err());
        assert!(claims(",\"exp\":9,\"username\":1").is_err() && claims(",\"exp\":9,\"nbf\":\"1\"").is_err());
        let held = claims(",\"exp\":2000,\"nbf\":1000,\"iat\":5000").unwrap();
        for (now, holds) in
            [(994, Err(Untimely::NotYet)), (995, Ok(())), (1_999, Ok(())), (2_000, Err(Untimely::Expired))]
        {
            assert_eq!(held.hold_at(now), holds, "{now}");
        }
        assert_eq!(claims(",\"exp\":2000").unwrap().hold_at(0), Ok(()));
    }

    #[test]
    fn an_end_is_exact_and_a_beginning_may_be_a_little_early() {
        let at = NumericDate(1_000);
        assert!(!at.is_over(999) && at.is_over(1_000) && at.is_over(1_001));
        assert!(at.is_to_come(994) && !at.is_to_come(995) && !NumericDate(u64::MAX).is_to_come(u64::MAX));
    }
}
