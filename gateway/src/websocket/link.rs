//! The frames of one socket. Idle sockets are many: what one keeps of what it has carried is small, whatever that was.

use axum::body::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// A mutation of a megabyte, and its envelope.
const LARGEST_MESSAGE: usize = (1 << 20) + (64 << 10);
/// The library's default of 128 KiB would be nine tenths of an idle socket's memory.
const READ_BUFFER: usize = 4 << 10;
/// A longer text is sent in frames of this size: the library keeps room for the largest frame for as long as the socket lives.
const LARGEST_FRAME: usize = 64 << 10;

/// A socket as messages.
pub struct Link(WebSocketStream<TokioIo<Upgraded>>);

impl Link {
    /// Over a connection whose client was answered that it is one.
    pub async fn over(connection: Upgraded) -> Self {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        Self(WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(limits)).await)
    }

    /// The next message; none once the connection is over. Pings are answered. Whoever gives up waiting loses nothing.
    pub async fn recv(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// Sends a text, and is done when the system has all of it. Whoever gives up in its middle may only close.
    pub async fn send_text(&mut self, text: String) -> Result<(), Error> {
        for frame in frames(text.into()) {
            self.0.feed(Message::Frame(frame)).await?;
        }
        self.0.flush().await
    }

    /// Sends anything else.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.0.send(message).await
    }
}

/// A text as frames: the first says that it is one, the last that it ends.
fn frames(mut text: Bytes) -> impl Iterator<Item = Frame> {
    let mut kind = Some(Data::Text);
    std::iter::from_fn(move || {
        let this = kind?;
        let part = text.split_to(text.len().min(LARGEST_FRAME));
        kind = (!text.is_empty()).then_some(Data::Continue);
        Some(Frame::message(part, OpCode::Data(this), kind.is_none()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_whole_in_its_frames() {
        for size in [0, 1, LARGEST_FRAME, LARGEST_FRAME + 1, 3 * LARGEST_FRAME] {
            let text: String = "abcdefg".chars().cycle().take(size).collect();
            let frames: Vec<Frame> = frames(text.clone().into()).collect();
            assert_eq!(frames.len(), size.div_ceil(LARGEST_FRAME).max(1));
            assert!(frames.iter().all(|frame| frame.payload().len() <= LARGEST_FRAME));
            let (kinds, ends): (Vec<_>, Vec<_>) =
                frames.iter().map(|frame| (frame.header().opcode, frame.header().is_final)).unzip();
            assert_eq!(kinds.iter().filter(|kind| **kind == OpCode::Data(Data::Text)).count(), 1);
            assert_eq!(kinds[0], OpCode::Data(Data::Text));
            assert_eq!(ends.iter().position(|is_final| *is_final), Some(frames.len() - 1));
            let whole: Vec<u8> = frames.iter().flat_map(|frame| frame.payload().to_vec()).collect();
            assert_eq!(whole, text.into_bytes());
        }
    }
}
