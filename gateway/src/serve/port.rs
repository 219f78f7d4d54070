//! The port: taken once, answered on by two servers one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::ServeError;
use crate::config::HttpConfig;

/// Out of descriptors, most likely: connections that end bring some back.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// A connection whose other end takes nothing of what waits for it is closed. Elsewhere than on Linux it stays.
#[cfg(target_os = "linux")]
const LONGEST_UNREAD: Duration = Duration::from_mins(1);

/// A port that is ours.
#[derive(Clone)]
pub struct Port(Arc<TcpListener>);

impl Port {
    /// Takes the port.
    pub async fn bind(config: &HttpConfig) -> Result<Self, ServeError> {
        let (host, port) = (config.host, config.port);
        let listener = TcpListener::bind((host, port)).await;
        listener.map(|listener| Self(Arc::new(listener))).map_err(|error| ServeError::Port {
            host,
            port,
            error,
        })
    }
}

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    // Events are small and each is written when it comes: waiting to fill a packet would only delay
                    // them.
                    let _ = stream.set_nodelay(true);
                    #[cfg(target_os = "linux")]
                    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(LONGEST_UNREAD));
                    return (stream, address);
                }
                Err(error) if is_of_the_caller(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Whoever called has hung up already.
fn is_of_the_caller(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
