//! Durations as people write them: `24h`, `90s`, `250ms`; a bare number is seconds.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number with ms, s, m, h or d")]
pub struct DurationError;

/// Reads a duration.
///
/// # Errors
///
/// When the text is not a whole number with a known unit.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().map_err(|_| DurationError)?;
    let milliseconds = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DurationError),
    };
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or(DurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        let cases = [
            ("24h", 86_400_000),
            ("90s", 90_000),
            ("90", 90_000),
            ("250ms", 250),
            ("2d", 172_800_000),
            ("5M", 300_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "h", "-1s", "1.5h", "1y", "99999999999999999d"] {
            assert_eq!(parse_duration(text), Err(DurationError), "{text}");
        }
    }
}
