//! What the library complains of in a client's frames, as a close.

use super::protocol::{Close, CloseCode};

/// Complaints of the protocol's end, after which there is nobody to tell.
const OVER: [&str; 3] = ["without closing handshake", "after closing", "after having closed"];

/// How a connection is closed whose client broke the rules; none when the client is gone. The library's error type is private to
/// it; its words are all there is.
pub fn fault(error: &axum::Error) -> Option<Close> {
    let words = error.to_string();
    if words.contains("too long") {
        Some(Close::new(CloseCode::TooBig, "Message too big"))
    } else if words.starts_with("UTF-8 encoding error") {
        Some(Close::new(CloseCode::NotText, "Text must be UTF-8"))
    } else if words.starts_with("WebSocket protocol error") && !OVER.iter().any(|over| words.contains(over)) {
        Some(Close::new(CloseCode::Protocol, "Frame against the protocol"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_breaks_the_rules_is_told_and_whoever_is_gone_is_not() {
        let cases = [
            ("Space limit exceeded: Message too long: 2 > 1", Some(CloseCode::TooBig)),
            ("UTF-8 encoding error: invalid utf-8 sequence", Some(CloseCode::NotText)),
            ("WebSocket protocol error: Reserved bits are non-zero", Some(CloseCode::Protocol)),
            ("WebSocket protocol error: Invalid close sequence", Some(CloseCode::Protocol)),
            ("WebSocket protocol error: Connection reset without closing handshake", None),
            ("WebSocket protocol error: Sending after closing is not allowed", None),
            ("IO error: broken pipe", None),
        ];
        for (words, code) in cases {
            assert_eq!(fault(&axum::Error::new(words)).map(|close| close.code), code, "{words}");
        }
    }
}
