//! What is answered before there is a database to answer from.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;

/// What is in the way of the start, and can be mended while the gateway waits.
pub type Obstacle = watch::Receiver<Option<&'static str>>;

/// Every address says that the gateway is on its way: an orchestrator sends nobody here yet, and a port that takes
/// connections without an answer would keep its probes waiting.
pub fn starting(obstacle: Obstacle) -> Router {
    Router::new().fallback(come_back).layer(from_fn(super::security::headers)).with_state(obstacle)
}

async fn come_back(State(obstacle): State<Obstacle>) -> Response {
    let headers = [
        (header::RETRY_AFTER, HeaderValue::from_static("1")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // The next request on this connection would be answered from here once more.
        (header::CONNECTION, HeaderValue::from_static("close")),
    ];
    let mut body = json!({"status": "starting"});
    if let Some(reason) = *obstacle.borrow() {
        body["reason"] = json!(reason);
    }
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(body)).into_response()
}
