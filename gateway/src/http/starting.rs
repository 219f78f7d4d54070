//! What is answered before there is a database to answer from.

use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;

/// Every address says that the gateway is on its way: an orchestrator sends nobody here yet, and a port that takes
/// connections without an answer would keep its probes waiting.
pub fn starting() -> Router {
    Router::new().fallback(come_back).layer(from_fn(super::security::headers))
}

async fn come_back() -> Response {
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The next request on this connection would be answered from here once more.
        (header::CONNECTION, HeaderValue::from_static("close")),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(json!({"status": "starting"}))).into_response()
}
