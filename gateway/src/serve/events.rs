//! The way of events, over NATS or inside this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::patience::Patience;
use super::{Groups, ServeError};
use crate::config::ServeConfig;
use crate::cursor::{Cursor, Lineage};
use crate::embedded::EmbeddedBus;
use crate::hub::Hub;
use crate::nats::{NatsBus, NatsConnection, StreamReader};
use crate::ports::{ChangeBus, Tail};
use crate::postgres::{Channels, Database, PostgresChangeLog};
use crate::presence::{Board, PresenceWatch};
use crate::relay::{Relay, RelayState};
use crate::secret::Secret;
use crate::upkeep::follow_lineage;

/// NATS may come later; only where the hub begins depends on it.
const NATS_PATIENCE: Duration = Duration::from_secs(3);

/// What the interface needs of the events.
pub struct Events {
    /// Where subscribers register.
    pub hub: Arc<Hub>,
    /// For its health; none when embedded.
    pub nats: Option<NatsConnection>,
    /// For the health of what copies.
    pub relay: Arc<RelayState>,
}

/// Starts everything between the database and the hub.
pub async fn start(
    config: &ServeConfig,
    (database, patience): (&Database, &Patience),
    channels: Channels,
    board: &Arc<Board>,
    groups: &Groups,
) -> Result<Events, ServeError> {
    let lineage = patience.ask(async || database.lineage().await).await?;
    // A variable that is set to nothing means the same as one that is not set.
    if let Some(url) = config.nats.nats_url.as_ref().filter(|url| !url.expose().trim().is_empty()) {
        return start_with_nats(config, url, lineage, (database, patience), channels, board, groups).await;
    }
    let head = Cursor::end_of(patience.ask(async || database.last_batch().await).await?);
    let hub = Hub::new(head, lineage.clone());
    let bus = Arc::new(EmbeddedBus::new(Arc::clone(&hub), head, lineage));
    let relay = start_copying(&bus, database, channels, (&hub, board), groups);
    tracing::info!("no NATS_URL: events stay in this process");
    Ok(Events { hub, nats: None, relay })
}

async fn start_with_nats(
    config: &ServeConfig,
    url: &Secret,
    lineage: Lineage,
    (database, patience): (&Database, &Patience),
    channels: Channels,
    board: &Arc<Board>,
    groups: &Groups,
) -> Result<Events, ServeError> {
    let connection = NatsConnection::open(&config.nats, url.expose()).await?;
    let bus = NatsBus::new(connection.clone(), config.nats.clone());
    connection.wait_connected(NATS_PATIENCE).await;
    let tail = timeout(NATS_PATIENCE, bus.tail()).await.ok().and_then(Result::ok);
    if tail.is_none() {
        tracing::warn!("nats cannot be reached yet: events wait in the database");
    }
    let lineage = Lineage { fork: tail.as_ref().map_or(0, |tail| tail.fork), ..lineage };
    // Asked after the tail, so that nothing behind the head lies before the place where reading begins.
    let last_batch = patience.ask(async || database.last_batch().await).await?;
    let head = head(tail.as_ref(), &lineage, last_batch);
    let hub = Hub::new(head, lineage);
    let log = PostgresChangeLog(database.clone());
    let reader = StreamReader::new(connection.clone(), bus.clone(), log, Arc::clone(&hub), tail.as_ref());
    groups.hub.start(reader.run(groups.hub.stop()));
    let relay = start_copying(&Arc::new(bus), database, channels, (&hub, board), groups);
    Ok(Events { hub, nats: Some(connection), relay })
}

fn start_copying<B: ChangeBus>(
    bus: &Arc<B>,
    database: &Database,
    channels: Channels,
    (hub, board): (&Arc<Hub>, &Arc<Board>),
    groups: &Groups,
) -> Arc<RelayState> {
    let leading = watch::Sender::new(false);
    let presence = PresenceWatch {
        database: database.clone(),
        board: Arc::clone(board),
        wake_ups: channels.presence,
        bus: Arc::clone(bus),
        leading: leading.subscribe(),
    };
    let log = PostgresChangeLog(database.clone());
    let state = Arc::new(RelayState::default());
    let relay =
        Relay { log, bus: Arc::clone(bus), wake_ups: channels.events, leading, state: Arc::clone(&state) };
    groups.relay.start(relay.run(groups.relay.stop()));
    groups.relay.start(presence.run(groups.relay.stop()));
    groups.hub.start(follow_lineage(
        database.clone(),
        Arc::clone(hub),
        channels.connected,
        groups.hub.stop(),
    ));
    state
}

/// Whatever is in a batch already was committed before anybody subscribes here: whoever wants it asks for it with a
/// cursor. Only what is opened from now on is news.
fn head(tail: Option<&Tail>, lineage: &Lineage, last_batch: i64) -> Cursor {
    let behind_batches = Cursor::end_of(last_batch);
    let published = tail.and_then(|tail| tail.last.as_ref()).filter(|last| last.lineage == *lineage);
    published.map_or(behind_batches, |last| last.cursor.max(behind_batches))
}
