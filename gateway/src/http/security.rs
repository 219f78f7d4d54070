//! Headers that tell browsers what not to do.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;

/// Nothing from elsewhere, nothing inline, nobody frames us.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const PREFLIGHT_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// Adds what every response has.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CONTENT_SECURITY_POLICY);
    response
}

/// Lets pages that may open a socket read the answer, too. Others get it too, but their browser keeps it from them.
pub async fn cross_origin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(&app, request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    response
}

/// Answers the question a browser asks before it sends a token to another origin.
pub async fn preflight(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if allowed_origin(&app, &headers).is_none() {
        return StatusCode::NO_CONTENT.into_response();
    }
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    app.origins.allows(headers).then(|| origin.clone())
}
