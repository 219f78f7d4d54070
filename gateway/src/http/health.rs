//! Health: alive, and what works. No token, and nothing of any tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::App;
use crate::relay::{Report, Role};

/// Alive, with a summary, at once: what the database said last, also while it hangs. Only a gateway that is shutting down says no: one
/// that waits for the database or NATS must not be restarted for it.
pub async fn summary(State(app): State<Arc<App>>) -> Response {
    if app.probe.is_due() {
        // The next summary will know better.
        drop(ask(&app));
    }
    let (_, database) = database_state(&app, app.probe.found());
    let (_, nats) = nats_state(&app);
    let sockets = app.sockets.open.load(std::sync::atomic::Ordering::Relaxed);
    let draining = app.drain.is_cancelled();
    let whole = database["status"] == "ok" && nats["status"] == "ok";
    let status = match (draining, whole) {
        (true, _) => "draining",
        (false, true) => "ok",
        (false, false) => "degraded",
    };
    let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let body = json!({"status": status, "database": database, "nats": nats, "sockets": sockets,
        "version": env!("CARGO_PKG_VERSION")});
    (code, Json(body)).into_response()
}

/// Whether the database answers.
pub async fn database(State(app): State<Arc<App>>) -> Response {
    let answers = ask(&app).await.unwrap_or(false);
    let (code, body) = database_state(&app, answers);
    (code, Json(body)).into_response()
}

/// Whether NATS is connected and its stream is read, and whether events are copied to it.
pub async fn nats(State(app): State<Arc<App>>) -> Response {
    let (code, body) = nats_state(&app);
    (code, Json(body)).into_response()
}

/// All metrics, in the text form of Prometheus.
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let Some(handle) = &app.metrics else { return super::response::not_found().await };
    app.relay.show();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], handle.render()).into_response()
}

/// Asks the database, unless somebody has just done so. Whoever hangs up leaves the question running: the next would ask it again at once.
fn ask(app: &Arc<App>) -> JoinHandle<bool> {
    let app = Arc::clone(app);
    tokio::spawn(async move { app.probe.finds(async || app.database.ping().await.is_ok()).await })
}

fn database_state(app: &App, answers: bool) -> (StatusCode, Value) {
    let (busy, connections) = app.database.load();
    let refused = app.database.serves().err().and_then(|error| error.obstacle());
    match (refused, answers) {
        (Some(reason), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "refused", "reason": reason}))
        }
        (None, true) => (StatusCode::OK, json!({"status": "ok", "connections": connections, "busy": busy})),
        (None, false) => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "unavailable"})),
    }
}

/// Also inside one process somebody has to copy events: in its own, since what another copies stays there.
fn nats_state(app: &App) -> (StatusCode, Value) {
    let report = app.relay.report();
    let mut body = match &app.nats {
        None => {
            let status = if report.role == Role::Standby { "standby" } else { "ok" };
            json!({"status": status, "mode": "embedded"})
        }
        Some(nats) => {
            let (connected, streaming) = (nats.is_connected(), nats.is_streaming());
            let status = if streaming { "ok" } else { "unavailable" };
            json!({"status": status, "mode": "nats", "connected": connected, "streaming": streaming})
        }
    };
    if report.failing.is_some() && body["status"] == "ok" {
        body["status"] = json!("failing");
    }
    let code = if body["status"] == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    body["relay"] = relay_state(&report);
    (code, body)
}

fn relay_state(report: &Report) -> Value {
    let role = report.role.as_str();
    let lag = report.lag.as_secs();
    match report.failing {
        None => json!({"status": "ok", "role": role, "lagSeconds": lag}),
        Some((reason, time)) => json!({"status": "failing", "role": role, "lagSeconds": lag,
            "reason": reason.as_str(), "failingSeconds": time.as_secs()}),
    }
}
