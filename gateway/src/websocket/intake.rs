//! What a client sends, on its way to the library, which keeps room for the largest message for as long as the socket lives, and all of one that never
//! ends. So a message is small, or its socket takes one of its user's places for large ones, and keeps it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::shares::{Share, Shares};
use crate::token::Identity;

/// Bytes of a small message.
const SMALL: usize = 64 << 10;
/// Bytes of a message of somebody who has not been let in: as much as its protocol allows him, and what is read at once.
const STRANGERS: usize = (16 << 10) + (8 << 10);
/// Bytes of a frame around what it carries, at least: its header, and its mask.
const ENVELOPE: usize = 6;

/// Why nothing more of a message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its sender has not been let in.
    #[error("a message of a stranger is too large")]
    TooBig,
    /// Its sender's user, or tenant, has sent large messages on as many sockets as there may be.
    #[error("too many connections with large messages")]
    TooMany,
}

/// A connection that counts what comes.
pub struct Intake<C> {
    connection: C,
    taken: usize,
    places: Option<(Shares, Identity)>,
    place: Option<Share>,
}

impl<C> Intake<C> {
    /// Of somebody who has not been let in.
    pub const fn new(connection: C) -> Self {
        Self { connection, taken: 0, places: None, place: None }
    }

    /// Its sender has been let in, and may have such places for large messages.
    pub fn admit(&mut self, places: Shares, who: Identity) {
        self.places = Some((places, who));
    }

    /// A message has been taken as a whole.
    pub const fn end_message(&mut self) {
        self.taken = 0;
    }

    /// A ping or pong of so many bytes has been taken, perhaps in the middle of a message.
    pub const fn end_control(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes + ENVELOPE);
    }

    /// Takes whatever comes until there is nothing more, and keeps nothing.
    pub async fn discard(&mut self)
    where
        C: AsyncRead + Unpin,
    {
        let mut bytes = [0; 4096];
        while let Ok(1..) = self.connection.read(&mut bytes).await {}
    }

    /// Whether there may be more of this message.
    fn check(&mut self) -> Result<(), Refused> {
        let Some((places, who)) = &self.places else {
            return if self.taken > STRANGERS { Err(Refused::TooBig) } else { Ok(()) };
        };
        if self.taken > SMALL && self.place.is_none() {
            self.place = Some(places.take(who).ok_or(Refused::TooMany)?);
        }
        Ok(())
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Intake<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check().map_err(io::Error::other)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.connection).poll_read(context, buffer))?;
        this.taken += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Intake<C> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads until it may not, or there is nothing more.
    async fn read<C: AsyncRead + Unpin>(intake: &mut Intake<C>) -> (usize, Option<Refused>) {
        let (mut read, mut bytes) = (0, [0; 4096]);
        loop {
            match intake.read(&mut bytes).await {
                Ok(0) => return (read, None),
                Ok(more) => read += more,
                Err(error) => {
                    return (read, error.get_ref().and_then(|error| error.downcast_ref().copied()));
                }
            }
        }
    }

    #[tokio::test]
    async fn strangers_send_little_and_others_much_on_a_few_sockets() {
        let large = vec![0; 200 << 10];
        let (taken, refused) = read(&mut Intake::new(large.as_slice())).await;
        assert!(taken <= STRANGERS + 4096 && refused == Some(Refused::TooBig));
        // A user has a quarter of them.
        let (places, ann) = (Shares::new(4), Identity::numbered(1, 1));
        let admitted = || {
            let mut intake = Intake::new(large.as_slice());
            intake.admit(places.clone(), ann.clone());
            intake
        };
        let mut first = admitted();
        assert_eq!(read(&mut first).await, (large.len(), None));
        let (taken, refused) = read(&mut admitted()).await;
        assert!(taken <= SMALL + 4096 && refused == Some(Refused::TooMany));
        first.end_message();
        assert_eq!(read(&mut admitted()).await.1, Some(Refused::TooMany), "it keeps its room");
        drop(first);
        assert_eq!(read(&mut admitted()).await, (large.len(), None));
    }

    #[tokio::test]
    async fn what_has_ended_counts_no_more() {
        let mut intake = Intake::new([0; 4096].as_slice());
        for _ in 0..100 {
            intake.connection = [0; 4096].as_slice();
            assert_eq!(read(&mut intake).await.1, None);
            intake.end_message();
        }
        // Pongs of a client that says nothing else.
        for _ in 0..10_000 {
            intake.connection = [0; 10].as_slice();
            assert_eq!(read(&mut intake).await.1, None);
            intake.end_control(4);
        }
    }
}
