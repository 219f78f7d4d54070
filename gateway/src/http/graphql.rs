//! GraphQL over HTTP, and the way to a socket.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::response::{Media, answer, give_up, refuse, respond};
use super::{App, REQUEST_TIMEOUT, assets};
use crate::failure::{Code, Failure};
use crate::graphql::{Operation, Prepared, sdl, with_codes, write};
use crate::token::{Identity, TokenError};
use crate::websocket::{Handshake, upgrade};

/// A query in the address, a socket, or the console for a person with a browser.
pub async fn get(
    State(app): State<Arc<App>>,
    handshake: Option<Handshake>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if let Some(handshake) = handshake {
        return upgrade(&app.sockets, handshake, &headers);
    }
    let parameters = query.map(|Query(parameters)| parameters).unwrap_or_default();
    if !parameters.contains_key("query") && wants_html(&headers) {
        return assets::console();
    }
    let Some(media) = Media::accepted_by(&headers) else { return not_acceptable() };
    let identity = match bearer(&app, &headers) {
        Ok(identity) => identity,
        Err(error) => return unauthenticated(media, error),
    };
    match from_parameters(parameters) {
        Ok(operation) => execute(&app, identity, media, operation, true).await,
        Err(failure) => refuse(StatusCode::BAD_REQUEST, media, failure),
    }
}

/// Any operation but a subscription. Whoever has no token is not listened to.
pub async fn post(State(app): State<Arc<App>>, request: Request) -> Response {
    let headers = request.headers();
    let Some(media) = Media::accepted_by(headers) else { return not_acceptable() };
    let identity = match bearer(&app, headers) {
        Ok(identity) => identity,
        Err(error) => return unauthenticated(media, error),
    };
    if !is_json(headers) {
        let failure = Failure::bad_input("content-type must be application/json");
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, media, failure);
    }
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let failure = Failure::new(Code::PayloadTooLarge, "the request is larger than a mutation may be");
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, media, failure);
        }
        Err(_) => {
            return refuse(StatusCode::BAD_REQUEST, media, Failure::bad_input("the body cannot be read"));
        }
    };
    let Ok(value) = serde_json::from_slice::<Value>(&body) else {
        return refuse(StatusCode::BAD_REQUEST, media, Failure::bad_input("the body must be JSON in UTF-8"));
    };
    match Operation::from_json(value, body.len()) {
        Ok(operation) => execute(&app, identity, media, operation, false).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, media, Failure::bad_input(error.to_string())),
    }
}

/// The schema as text.
pub async fn schema() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], sdl()).into_response()
}

async fn execute(
    app: &App,
    identity: Identity,
    media: Media,
    operation: Operation,
    safe_only: bool,
) -> Response {
    let Prepared { request, plan } = match operation.admit(&app.budget, identity.user) {
        Ok(prepared) => prepared,
        Err(failure) => return respond(media, &failure.into()),
    };
    match plan.kind {
        Some(OperationType::Subscription) => {
            let failure =
                Failure::bad_input("a subscription needs a WebSocket with subprotocol graphql-transport-ws");
            return refuse(StatusCode::BAD_REQUEST, media, failure);
        }
        Some(OperationType::Mutation) if safe_only => {
            let mut response =
                refuse(StatusCode::METHOD_NOT_ALLOWED, media, Failure::bad_input("a mutation needs POST"));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return response;
        }
        _ => {}
    }
    let room = match app.unread.room(&identity).await {
        Ok(room) => Arc::new(room),
        Err(failure) => return respond(media, &failure.into()),
    };
    let executing = app.schema.execute(request.data(identity).data(Arc::clone(&room)));
    // What was done is told in any case, in as much room as there is.
    let is_mutation = plan.kind == Some(OperationType::Mutation);
    let Ok(response) = tokio::time::timeout(REQUEST_TIMEOUT, executing).await else {
        return give_up(media, is_mutation);
    };
    if let Some(failure) = room.refusal().filter(|_| !is_mutation) {
        return respond(media, &failure.into());
    }
    let mut response = with_codes(response);
    plan.arrange(&mut response);
    let text = write(&response);
    match room.grow(text.len()) {
        Err(failure) if !is_mutation => respond(media, &failure.into()),
        _ => answer(media, &response, plan.did_nothing(&response), room.body(text)),
    }
}

fn unauthenticated(media: Media, error: TokenError) -> Response {
    respond(media, &Failure::new(Code::Unauthenticated, error.to_string()).into())
}

fn bearer(app: &App, headers: &HeaderMap) -> Result<Identity, TokenError> {
    let text = headers.get(header::AUTHORIZATION).ok_or(TokenError::Absent)?;
    app.verifier.verify_bearer(text.to_str().map_err(|_| TokenError::Invalid)?)
}

fn from_parameters(mut parameters: HashMap<String, String>) -> Result<Operation, Failure> {
    let bytes = parameters.values().map(String::len).sum();
    let mut request = Map::new();
    for name in ["query", "operationName"] {
        if let Some(text) = parameters.remove(name) {
            request.insert(name.to_owned(), Value::String(text));
        }
    }
    for name in ["variables", "extensions"] {
        if let Some(text) = parameters.remove(name).filter(|text| !text.is_empty()) {
            let value = serde_json::from_str(&text)
                .map_err(|_| Failure::bad_input(format!("{name} must be JSON")))?;
            request.insert(name.to_owned(), value);
        }
    }
    Operation::from_json(Value::Object(request), bytes).map_err(|error| Failure::bad_input(error.to_string()))
}

/// Requiring this type is also what keeps a foreign page's plain form from posting a mutation.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(text)) = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str) else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let charset =
        parts.find_map(|part| part.to_ascii_lowercase().strip_prefix("charset=").map(str::to_owned));
    json && charset.is_none_or(|charset| charset.trim_matches('"') == "utf-8")
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn not_acceptable() -> Response {
    let failure = Failure::bad_input("accept application/graphql-response+json or application/json");
    refuse(StatusCode::NOT_ACCEPTABLE, Media::Json, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_read() {
        let cases = [
            (Some("application/json"), true),
            (Some("application/json; charset=utf-8"), true),
            (Some("Application/JSON;charset=\"UTF-8\""), true),
            (Some("application/json; charset=utf-16"), false),
            (Some("text/plain"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some("application/graphql"), false),
            (None, false),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(text) = text {
                headers.insert(header::CONTENT_TYPE, text.parse().unwrap());
            }
            assert_eq!(is_json(&headers), expected, "{text:?}");
        }
    }

    #[test]
    fn parameters_of_the_address_are_a_request() {
        let parameters = |pairs: &[(&str, &str)]| {
            from_parameters(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
        };
        assert!(parameters(&[("query", "{ a }"), ("variables", r#"{"a":1}"#), ("extensions", "")]).is_ok());
        assert!(parameters(&[("query", "{ a }"), ("variables", "{")]).is_err());
        assert!(parameters(&[("query", "{ a }"), ("variables", "[]")]).is_err());
        assert!(parameters(&[]).is_err());
    }
}
