//! What the library complains of in a client's frames, as a close.

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use super::intake::Refused;
use super::protocol::{Close, CloseCode};

/// How a connection is closed whose client broke the rules; none when the client is gone.
pub fn fault(error: &Error) -> Option<Close> {
    use ProtocolError::{ReceivedAfterClosing, ResetWithoutClosingHandshake, SendAfterClosing};
    match error {
        Error::Capacity(_) => Some(Close::new(CloseCode::TooBig, "Message too big")),
        Error::Utf8(_) => Some(Close::new(CloseCode::NotText, "Text must be UTF-8")),
        // The end of the protocol, after which there is nobody to tell.
        Error::Protocol(ReceivedAfterClosing | ResetWithoutClosingHandshake | SendAfterClosing) => None,
        Error::Protocol(_) => Some(Close::new(CloseCode::Protocol, "Frame against the protocol")),
        Error::Io(error) => match error.get_ref()?.downcast_ref()? {
            Refused::TooBig => Some(Close::new(CloseCode::TooBig, "Message too big")),
            Refused::TooMany => {
                Some(Close::new(CloseCode::TooMany, "Too many connections with large messages"))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::error::CapacityError;

    use super::*;

    #[test]
    fn whoever_breaks_the_rules_is_told_and_whoever_is_gone_is_not() {
        let too_long = CapacityError::MessageTooLong { size: 2, max_size: 1 };
        let cases = [
            (Error::Capacity(too_long), Some(CloseCode::TooBig)),
            (Error::Utf8("invalid".to_owned()), Some(CloseCode::NotText)),
            (Error::Protocol(ProtocolError::NonZeroReservedBits), Some(CloseCode::Protocol)),
            (Error::Protocol(ProtocolError::InvalidCloseSequence), Some(CloseCode::Protocol)),
            (Error::Protocol(ProtocolError::ResetWithoutClosingHandshake), None),
            (Error::Protocol(ProtocolError::SendAfterClosing), None),
            (Error::Io(std::io::ErrorKind::BrokenPipe.into()), None),
            (Error::Io(std::io::Error::other(Refused::TooBig)), Some(CloseCode::TooBig)),
            (Error::Io(std::io::Error::other(Refused::TooMany)), Some(CloseCode::TooMany)),
        ];
        for (error, code) in cases {
            assert_eq!(fault(&error).map(|close| close.code), code, "{error}");
        }
    }
}
