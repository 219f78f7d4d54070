//! A request that asks for a socket, and the answer that turns its connection into one.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::OptionalFromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Request, Response, header};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::link::Link;
use super::protocol::SUBPROTOCOL;

/// A request that asks for a socket as the standard says (RFC 6455, 4.2.1).
pub struct Handshake {
    connection: OnUpgrade,
    response: Response<Body>,
    is_of_ours: bool,
}

impl<S: Sync> OptionalFromRequestParts<S> for Handshake {
    type Rejection = Infallible;

    /// None where the request asks for something else.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Handshake {
    fn of(parts: &mut Parts) -> Option<Self> {
        let mut request = Request::new(());
        request.method_mut().clone_from(&parts.method);
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        let mut response = create_response_with_body(&request, Body::empty).ok()?;
        let is_of_ours = offers(request.headers(), SUBPROTOCOL);
        if is_of_ours {
            let protocol = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Some(Self { connection: parts.extensions.remove()?, response, is_of_ours })
    }

    /// Whether the client speaks our protocol.
    #[must_use]
    pub const fn is_of_ours(&self) -> bool {
        self.is_of_ours
    }

    /// Answers, and serves the socket once the client has the answer; nothing happens where it is gone before.
    pub fn open<F: Future<Output = ()> + Send>(
        self,
        serve: impl FnOnce(Link) -> F + Send + 'static,
    ) -> Response<Body> {
        tokio::spawn(async move {
            if let Ok(connection) = self.connection.await {
                serve(Link::over(connection).await).await;
            }
        });
        self.response
    }
}

/// Whether a subprotocol is among those that a client offers, in one header or several.
fn offers(headers: &HeaderMap, protocol: &str) -> bool {
    let lists =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|offered| offered.trim() == protocol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_found_wherever_it_is_offered() {
        let offered = |lists: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(list));
            }
            offers(&headers, SUBPROTOCOL)
        };
        assert!(offered(&[SUBPROTOCOL]));
        assert!(offered(&["graphql-ws, graphql-transport-ws"]));
        assert!(offered(&["graphql-ws", "graphql-transport-ws"]));
        assert!(!offered(&[]));
        assert!(!offered(&["graphql-ws"]));
        assert!(!offered(&["graphql-transport-ws-2"]));
    }
}
