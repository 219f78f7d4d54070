//! The frames of one socket. Idle sockets are many: what one keeps of what it has carried is small, whatever that was.

use std::time::Duration;

use axum::body::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::intake::Intake;
use super::protocol::Close;
use crate::graphql::LARGEST_MESSAGE;
use crate::shares::Shares;
use crate::token::Identity;

/// The library's default of 128 KiB would be nine tenths of an idle socket's memory.
const READ_BUFFER: usize = 4 << 10;
/// A longer text is sent in several frames: the library keeps room for the largest frame for as long as the socket lives.
const LARGEST_FRAME: usize = 64 << 10;
/// Bytes of each of them.
const PART: usize = 16 << 10;
/// Longest wait for the client's side of a close.
const GOODBYE: Duration = Duration::from_secs(2);

/// A socket as messages.
pub struct Link {
    frames: WebSocketStream<Intake<TokioIo<Upgraded>>>,
    /// What came while a text was sent.
    early: Option<Received>,
    /// The library reads no more of what comes: it is against the rules.
    is_refused: bool,
}

/// A message; none once the connection is over.
type Received = Option<Result<Message, Error>>;

impl Link {
    /// Over a connection whose client was answered that it is one.
    pub async fn over(connection: Upgraded) -> Self {
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(LARGEST_MESSAGE))
            .max_frame_size(Some(LARGEST_MESSAGE));
        let connection = Intake::new(TokioIo::new(connection));
        let frames = WebSocketStream::from_raw_socket(connection, Role::Server, Some(limits)).await;
        Self { frames, early: None, is_refused: false }
    }

    /// The client has been let in, and may have such places for large messages.
    pub fn admit(&mut self, places: Shares, who: Identity) {
        self.frames.get_mut().admit(places, who);
    }

    /// The next message; none once the connection is over. Pings are answered. Whoever gives up waiting loses nothing.
    pub async fn recv(&mut self) -> Received {
        match self.early.take() {
            Some(early) => early,
            None => self.next().await,
        }
    }

    /// Sends a text, and is done when the system has all of it, or the client has closed. Pings are answered meanwhile. Whoever gives up in
    /// its middle may only close.
    pub async fn send_text(&mut self, text: String) -> Result<(), Error> {
        for frame in frames(text.into()) {
            let is_last = frame.header().is_final;
            self.frames.feed(Message::Frame(frame)).await?;
            if !is_last {
                self.listen();
            }
            if matches!(self.early, Some(None | Some(Err(_) | Ok(Message::Close(_))))) {
                return Ok(());
            }
        }
        self.frames.flush().await
    }

    /// Sends anything else.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        self.frames.send(message).await
    }

    /// Closes, and waits a while for the client's side of it.
    pub async fn close(mut self, close: Close) {
        let frame = CloseFrame { code: close.code.number().into(), reason: close.reason.into() };
        let goodbye = async {
            if self.send(Message::Close(Some(frame))).await.is_ok() {
                self.drain().await;
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }

    /// The client has closed: the library has the answer ready and writes it while it is asked for more.
    pub async fn answer_close(mut self) {
        let _ = timeout(GOODBYE, self.drain()).await;
    }

    /// Takes what comes until the connection is over, the rest of a message that was refused with it: a connection that is closed before it was read
    /// is reset, and what the client was told last is lost.
    async fn drain(&mut self) {
        while let Some(Ok(_)) = self.recv().await {}
        if self.is_refused {
            self.frames.get_mut().discard().await;
        }
    }

    /// Takes what has come, up to the first that is no ping or pong.
    fn listen(&mut self) {
        while self.early.is_none() {
            match self.next().now_or_never() {
                Some(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Some(received) => self.early = Some(received),
                None => break,
            }
        }
    }

    async fn next(&mut self) -> Received {
        let received = self.frames.next().await;
        match &received {
            Some(Ok(Message::Ping(bytes) | Message::Pong(bytes))) => {
                self.frames.get_mut().end_control(bytes.len());
            }
            Some(Ok(_)) => self.frames.get_mut().end_message(),
            Some(Err(_)) => self.is_refused = true,
            None => {}
        }
        received
    }
}

/// A text as frames: the first says that it is one, the last that it ends.
fn frames(mut text: Bytes) -> impl Iterator<Item = Frame> {
    let each = if text.len() > LARGEST_FRAME { PART } else { LARGEST_FRAME };
    let mut kind = Some(Data::Text);
    std::iter::from_fn(move || {
        let this = kind?;
        let part = text.split_to(text.len().min(each));
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
            assert_eq!(frames.len(), if size > LARGEST_FRAME { size.div_ceil(PART) } else { 1 });
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
