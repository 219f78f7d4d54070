//! A request that asks for a socket, and the answer that turns its connection into one.

use axum::body::Body;
use axum::extract::OptionalFromRequestParts;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::link::Link;
use super::protocol::SUBPROTOCOL;

/// The version of the protocol that there is.
const VERSION: &str = "13";
/// Bytes of a key.
const KEY: usize = 16;

/// A request that asks for a socket as the standard says (RFC 6455, 4.2.1).
pub struct Handshake {
    connection: OnUpgrade,
    accept: String,
    is_of_ours: bool,
}

impl<S: Sync> OptionalFromRequestParts<S> for Handshake {
    type Rejection = Response<Body>;

    /// None where the request asks for something else; refuses one that asks for a socket in another way than the standard says.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Response<Body>> {
        if parts.method != Method::GET || !lists(&parts.headers, &UPGRADE, "websocket") {
            return Ok(None);
        }
        let accept = accept(&parts.headers).map_err(IntoResponse::into_response)?;
        let is_of_ours = lists(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        let connection = parts.extensions.remove::<OnUpgrade>();
        Ok(connection.map(|connection| Self { connection, accept, is_of_ours }))
    }
}

/// The answer to the client's key.
fn accept(headers: &HeaderMap) -> Result<String, impl IntoResponse + use<>> {
    let refusal = |status, words| (status, [(SEC_WEBSOCKET_VERSION, VERSION)], words);
    if !lists(headers, &CONNECTION, "upgrade") {
        return Err(refusal(StatusCode::BAD_REQUEST, "a socket needs the header Connection: Upgrade"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "this is version 13 of the WebSocket protocol"));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(refusal(
            StatusCode::BAD_REQUEST,
            "a socket needs one header Sec-WebSocket-Key of 16 bytes in base64",
        )),
    }
}

fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY)
}

impl Handshake {
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
        let switch =
            [(CONNECTION, "Upgrade"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_ACCEPT, self.accept.as_str())];
        let mut response = (StatusCode::SWITCHING_PROTOCOLS, switch).into_response();
        if self.is_of_ours {
            let protocol = HeaderValue::from_static(SUBPROTOCOL);
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Whether a word is in a list that one header has, or several.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lists = headers.get_all(name).into_iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_word_is_found_wherever_it_is_listed() {
        let listed = |lists: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(list));
            }
            super::lists(&headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        };
        assert!(listed(&[SUBPROTOCOL]));
        assert!(listed(&["graphql-ws,\tgraphql-transport-ws"]));
        assert!(listed(&["graphql-ws", "graphql-transport-ws"]));
        assert!(!listed(&[]));
        assert!(!listed(&["graphql-ws"]));
        assert!(!listed(&["graphql-transport-ws-2"]));
    }

    #[test]
    fn a_socket_is_asked_for_as_the_standard_says() {
        const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
        let asked = |connection, version, key| {
            let fields =
                [(CONNECTION, connection), (SEC_WEBSOCKET_VERSION, version), (SEC_WEBSOCKET_KEY, key)];
            accept(&headers(&fields)).map_err(|refusal| refusal.into_response().status().as_u16())
        };
        // The standard's own example.
        assert_eq!(asked("keep-alive, Upgrade", "13", KEY).as_deref(), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(asked("keep-alive", "13", KEY), Err(400));
        assert_eq!(asked("upgrade", "8", KEY), Err(426));
        assert_eq!(asked("upgrade", "8, 13", KEY), Err(426));
        assert_eq!(asked("upgrade", "13", ""), Err(400));
        assert_eq!(asked("upgrade", "13", "AAAA"), Err(400));
        assert_eq!(asked("upgrade", "13", "!!!!!!!!!!!!!!!!!!!!!!=="), Err(400));
    }
}
