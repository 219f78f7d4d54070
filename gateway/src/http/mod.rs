//! HTTP: which address answers what.

mod assets;
mod graphql;
mod health;
mod probe;
mod response;
mod security;
mod starting;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::graphql::{LARGEST_MESSAGE, Schema};
use crate::nats::NatsConnection;
use crate::postgres::Database;
use crate::rate_limit::OperationBudget;
use crate::relay::RelayState;
use crate::token::TokenVerifier;
use crate::unread::Unread;
use crate::websocket::{AllowedOrigins, Sockets};

pub use probe::Probe;
pub use starting::{Obstacle, starting};

/// Longest run of one request. The database gives up earlier; this bounds everything else.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What handlers share.
pub struct App {
    /// Executes operations.
    pub schema: Schema,
    /// Checks tokens.
    pub verifier: TokenVerifier,
    /// Budgets of users.
    pub budget: Arc<OperationBudget>,
    /// Room for answers.
    pub unread: Unread,
    /// Pages of other hosts that may call.
    pub origins: AllowedOrigins,
    /// What sockets share.
    pub sockets: Arc<Sockets>,
    /// For the health of the database.
    pub database: Database,
    /// Its last answer.
    pub probe: Probe,
    /// For the health of NATS; none when embedded.
    pub nats: Option<NatsConnection>,
    /// For the health of what copies events.
    pub relay: Arc<RelayState>,
    /// Renders the metrics.
    pub metrics: Option<PrometheusHandle>,
    /// Shutting down.
    pub drain: CancellationToken,
}

/// All addresses.
pub fn router(app: Arc<App>) -> Router {
    let graphql = Router::new()
        .route("/graphql", get(graphql::get).post(graphql::post).options(security::preflight))
        .layer(DefaultBodyLimit::max(LARGEST_MESSAGE))
        .layer(from_fn_with_state(Arc::clone(&app), security::cross_origin));
    // For operators and their tools: no token, and nothing of any tenant.
    let operations = Router::new()
        .route("/health", get(health::summary))
        .route("/health/db", get(health::database))
        .route("/health/nats", get(health::nats))
        .route("/metrics", get(health::metrics))
        .route("/schema.graphql", get(graphql::schema));
    Router::new()
        .merge(graphql)
        .merge(operations)
        .merge(assets::router())
        .fallback(response::not_found)
        .layer(from_fn(security::headers))
        .with_state(app)
}
