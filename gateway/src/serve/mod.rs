//! Putting the rooms together, in order, and taking them apart in reverse.

mod answer;
mod check;
mod events;
mod patience;
mod port;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::config::ServeConfig;
use crate::graphql::{Services, schema};
use crate::http::{App, Probe};
use crate::nats::NatsError;
use crate::postgres::{Database, DatabaseError, listen};
use crate::presence::Board;
use crate::rate_limit::OperationBudget;
use crate::reading::Reading;
use crate::shares::Shares;
use crate::shutdown::Group;
use crate::token::TokenVerifier;
use crate::turns::Turns;
use crate::unread::Unread;
use crate::upkeep::Upkeep;
use crate::websocket::{AllowedOrigins, Sockets};

use answer::{answer, answer_meanwhile};
use check::{advise, check, listen_url};
use events::Events;
use patience::Patience;
use port::Port;

/// On so many sockets large messages may come: half of them of one tenant, a quarter of one user. Each may keep two megabytes.
const LARGE_SENDERS: usize = 256;

/// Why the gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// NATS.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The secret.
    #[error("JWT_SECRET must not be empty")]
    NoSecret,
    /// The database's address asks for what we do not have.
    #[error("the gateway has no TLS to postgresql: sslmode=require in its address cannot be met")]
    NoTls,
    /// The port.
    #[error("cannot listen on {host}:{port}: {error}")]
    Port {
        /// Host asked for.
        host: std::net::IpAddr,
        /// Port asked for.
        port: u16,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server.
    #[error("serving ended: {0}")]
    Io(#[from] std::io::Error),
}

/// Tasks behind the interface, in the order in which they end.
struct Groups {
    /// What copies events and looks at sessions.
    relay: Group,
    /// What delivers them.
    hub: Group,
}

impl Groups {
    fn new() -> Self {
        Self { relay: Group::new("relay"), hub: Group::new("hub") }
    }

    async fn end(&self) {
        self.relay.end().await;
        self.hub.end().await;
    }
}

/// Serves until `stop` completes.
///
/// # Errors
///
/// When a part cannot start.
pub async fn serve(
    config: ServeConfig,
    metrics: Option<PrometheusHandle>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    check(&config)?;
    // The port is taken first, so that a gateway that cannot have it disturbs nothing.
    let port = Port::bind(&config.http).await?;
    let groups = Groups::new();
    let patience = Patience::new();
    let obstacle = patience.obstacle();
    let starting = Box::pin(start(&config, patience, &groups, metrics));
    let mut stop = Box::pin(stop);
    let started = tokio::select! {
        biased;
        () = &mut stop => None,
        started = answer_meanwhile(port.clone(), obstacle, starting) => Some(started),
    };
    let nats = started.as_ref().and_then(|started| started.as_ref().ok()?.nats.clone());
    let served = match started {
        None => Ok(()),
        Some(Ok(app)) => answer(port, app, stop, config.http.drain_timeout).await,
        Some(Err(error)) => {
            advise(&error, &config.postgres);
            Err(error)
        }
    };
    groups.end().await;
    if let Some(nats) = nats {
        nats.close().await;
    }
    tracing::info!("ended");
    served
}

/// Starts everything behind the interface.
async fn start(
    config: &ServeConfig,
    patience: Patience,
    groups: &Groups,
    metrics: Option<PrometheusHandle>,
) -> Result<Arc<App>, ServeError> {
    let database = patience.ask(async || Database::connect(&config.postgres).await).await?;
    let (channels, listening) = listen(listen_url(&config.postgres), groups.hub.stop())?;
    groups.hub.start(listening);
    let board = Arc::new(Board::default());
    let events = events::start(config, (&database, &patience), channels, &board, groups).await?;
    let (per_second, burst) = (config.http.rate_limit_per_second, config.http.rate_limit_burst);
    let budget = Arc::new(OperationBudget::new(per_second, burst));
    let reading = Arc::new(Reading::new(per_second, burst));
    let upkeep = Upkeep {
        database: database.clone(),
        board: Arc::clone(&board),
        budget: Arc::clone(&budget),
        reading: Arc::clone(&reading),
        metrics: metrics.clone(),
    };
    groups.relay.start(upkeep.run(groups.relay.stop()));
    let turns = Turns::new(config.postgres.pg_pool_size);
    let services = Services { database, hub: Arc::clone(&events.hub), board, turns };
    Ok(Arc::new(assemble(config, services, &events, budget, reading, metrics)))
}

fn assemble(
    config: &ServeConfig,
    services: Services,
    events: &Events,
    budget: Arc<OperationBudget>,
    reading: Arc<Reading>,
    metrics: Option<PrometheusHandle>,
) -> App {
    let verifier = TokenVerifier::new(&config.jwt_secret);
    let origins = AllowedOrigins::new(&config.http.allowed_origins);
    let database = services.database.clone();
    let schema = schema(services);
    let drain = CancellationToken::new();
    let unread = Unread::default();
    let sockets = Arc::new(Sockets {
        unread: unread.clone(),
        schema: schema.clone(),
        verifier: verifier.clone(),
        budget: Arc::clone(&budget),
        reading,
        origins: origins.clone(),
        most: config.http.max_sockets,
        shares: Shares::new(config.http.max_sockets),
        large: Shares::new(LARGE_SENDERS),
        open: AtomicUsize::new(0),
        drain: drain.clone(),
        patience: config.http.drain_timeout,
    });
    let (nats, relay) = (events.nats.clone(), Arc::clone(&events.relay));
    let probe = Probe::default();
    App { schema, verifier, budget, unread, origins, sockets, database, probe, nats, relay, metrics, drain }
}
