//! The relay against a log and a bus that fail at every step: each event must be published once and in order.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use quote_collab_core::change::{Change, Entity, FieldChange, Operation};
use quote_collab_core::json::JsonText;
use quote_collab_core::subject::Subject;
use tokio::time::timeout;

use super::*;
use crate::cursor::{Cursor, Lineage};
use crate::ports::{
    Accepted, Checkpoint, Epoch, Logged, Message, Opened, Page, ReadLimit, Tail, TailMessage,
};

/// A small deterministic source of trouble.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[derive(Default)]
struct LogState {
    batches: BTreeMap<i64, Vec<i64>>,
    waiting: Vec<i64>,
    epoch: i64,
    holder: Option<Uuid>,
    checkpoint: Checkpoint,
    timeline: i32,
}

struct World {
    log: Mutex<LogState>,
    stream: Mutex<Vec<(Message, Lineage)>>,
    /// The last message that the bus remembers.
    remembered: Mutex<Option<TailMessage>>,
    dice: Mutex<Dice>,
    trouble: bool,
    /// Whether the log does not answer at all.
    hangs: AtomicBool,
    /// Whether the bus has no room.
    is_full: AtomicBool,
    /// Publications that were tried.
    tried: AtomicUsize,
    /// Bytes of each event.
    size: usize,
    /// Bytes of the largest read.
    most_read: AtomicUsize,
}

impl World {
    fn new(seed: u64, trouble: bool) -> Arc<Self> {
        Self::of_events(seed, trouble, 500)
    }

    fn of_events(seed: u64, trouble: bool, size: usize) -> Arc<Self> {
        let log = LogState { timeline: 1, ..LogState::default() };
        let dice = Mutex::new(Dice(seed));
        let (log, stream, remembered) = (Mutex::new(log), Mutex::default(), Mutex::default());
        let (hangs, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        let (tried, most_read) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { log, stream, remembered, dice, trouble, hangs, is_full, tried, size, most_read })
    }

    fn log(&self) -> MutexGuard<'_, LogState> {
        self.log.lock().unwrap()
    }

    fn fails(&self, sides: u64) -> bool {
        self.trouble && self.dice.lock().unwrap().roll(sides) == 0
    }

    fn page(&self, log: &LogState, after: Cursor, limit: ReadLimit) -> Page {
        let batch = log.batches.get(&after.batch).into_iter().flatten();
        let mut page = Page::default();
        for position in batch.copied().filter(|position| *position > after.position) {
            let is_exempt = limit.first_at_any_rate && page.events.is_empty();
            let is_full = page.bytes + self.size > limit.bytes;
            if page.events.len() >= limit.events.into() || (is_full && !is_exempt) {
                page.rest = Some(page.events.last().map_or(after.position, |last| last.change.position));
                break;
            }
            page.bytes += self.size;
            page.events.push(Logged { change: change(position), is_whole: true });
        }
        self.most_read.fetch_max(page.bytes, Ordering::Relaxed);
        page
    }

    fn commit(&self, positions: impl IntoIterator<Item = i64>) {
        self.log().waiting.extend(positions);
    }

    fn published(&self) -> Vec<i64> {
        let stream = self.stream.lock().unwrap();
        stream
            .iter()
            .filter(|(message, _)| message.subject != Subject::Resync)
            .map(|(message, _)| message.cursor.position)
            .collect()
    }

    fn resyncs(&self) -> usize {
        self.stream.lock().unwrap().iter().filter(|(message, _)| message.subject == Subject::Resync).count()
    }
}

fn change(position: i64) -> Change {
    Change {
        position,
        event_id: Uuid::from_u128(u128::try_from(position).unwrap()),
        tenant_id: Uuid::nil(),
        quote_id: Uuid::nil(),
        line_id: None,
        entity: Entity::Quote,
        operation: Operation::Update,
        actor: None,
        actor_name: None,
        at: String::new(),
        session_id: None,
        version_before: None,
        version_after: None,
        context: None,
        fields: vec![FieldChange {
            field: "notes".to_owned(),
            old: JsonText::default(),
            new: JsonText::of("x").unwrap(),
        }],
        truncated: false,
    }
}

#[derive(Clone)]
struct Log(Arc<World>);

impl Log {
    async fn trouble(&self) -> Result<(), DatabaseError> {
        if self.0.hangs.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        if self.0.fails(40) { Err(DatabaseError::TimedOut) } else { Ok(()) }
    }
}

impl ChangeLog for Log {
    async fn lineage(&self) -> Result<Lineage, DatabaseError> {
        self.trouble().await?;
        Ok(Lineage { cluster: "1".to_owned(), timeline: self.0.log().timeline, fork: 0 })
    }

    async fn lease(&self, holder: Uuid, _life: Duration) -> Result<Option<Epoch>, DatabaseError> {
        self.trouble().await?;
        let stolen = self.0.fails(30);
        let mut log = self.0.log();
        if log.holder != Some(holder) || stolen {
            log.holder = Some(holder);
            log.epoch += 1;
        }
        Ok(Some(Epoch(log.epoch)))
    }

    async fn open_batch(
        &self,
        epoch: Epoch,
        lineage: &Lineage,
        expected: i64,
        limit: ReadLimit,
    ) -> Result<Opened, DatabaseError> {
        self.trouble().await?;
        let unheard = self.0.fails(20);
        let mut log = self.0.log();
        let newest = log.batches.last_key_value().map_or(0, |(last, _)| *last);
        if log.timeline != lineage.timeline || newest + 1 < expected {
            return Ok(Opened::OtherLineage);
        }
        if log.epoch != epoch.0 {
            return Err(DatabaseError::Unexpected("lease".to_owned()));
        }
        if log.waiting.is_empty() {
            return Ok(Opened::Nothing);
        }
        let next = newest + 1;
        let positions = std::mem::take(&mut log.waiting);
        log.batches.insert(next, positions);
        if unheard {
            return Err(DatabaseError::TimedOut);
        }
        let first = (next == expected).then(|| self.0.page(&log, Cursor { batch: next, position: 0 }, limit));
        Ok(Opened::Batch(next, first))
    }

    async fn first_batch(&self) -> Result<i64, DatabaseError> {
        Ok(self.0.log().batches.first_key_value().map_or(0, |(first, _)| *first))
    }

    async fn last_batch(&self) -> Result<i64, DatabaseError> {
        Ok(self.0.log().batches.last_key_value().map_or(0, |(last, _)| *last))
    }

    async fn read(&self, after: Cursor, limit: ReadLimit) -> Result<Page, DatabaseError> {
        self.trouble().await?;
        Ok(self.0.page(&self.0.log(), after, limit))
    }

    async fn checkpoint(&self) -> Result<Checkpoint, DatabaseError> {
        Ok(self.0.log().checkpoint)
    }

    async fn save_checkpoint(&self, _epoch: Epoch, checkpoint: Checkpoint) -> Result<(), DatabaseError> {
        self.0.log().checkpoint = checkpoint;
        Ok(())
    }
}

struct Bus(Arc<World>);

impl ChangeBus for Bus {
    async fn tail(&self) -> Result<Tail, BusError> {
        let stream = self.0.stream.lock().unwrap();
        let last = stream.last().map(|(message, lineage)| TailMessage {
            id: message.id.clone(),
            is_resync: message.subject == Subject::Resync,
            cursor: message.cursor,
            lineage: lineage.clone(),
        });
        let mut remembered = self.0.remembered.lock().unwrap();
        if last.is_some() {
            remembered.clone_from(&last);
        }
        let fork = remembered.as_ref().map_or(0, |last| last.lineage.fork);
        let remembered = remembered.clone().filter(|_| last.is_none());
        Ok(Tail { sequence: stream.len() as u64, last, fork, remembered, is_torn: false })
    }

    /// Stores some, then loses the connection, perhaps before the acknowledgement is heard.
    async fn publish(
        &self,
        messages: &[Message],
        lineage: &Lineage,
        sequence: u64,
    ) -> Result<Accepted, BusError> {
        self.0.tried.fetch_add(1, Ordering::Relaxed);
        if self.0.is_full.load(Ordering::Relaxed) {
            return Err(BusError::Full("maximum bytes exceeded".to_owned()));
        }
        let taken = if self.0.fails(4) {
            self.0.dice.lock().unwrap().roll(messages.len() as u64 + 1)
        } else {
            u64::MAX
        };
        let mut stream = self.0.stream.lock().unwrap();
        if stream.len() as u64 != sequence {
            return Err(BusError::Fenced);
        }
        for message in messages.iter().take(usize::try_from(taken).unwrap_or(usize::MAX)) {
            stream.push((message.clone(), lineage.clone()));
        }
        if taken == u64::MAX {
            return Ok(Accepted { count: messages.len(), sequence: stream.len() as u64 });
        }
        Err(BusError::Unreachable("lost".to_owned()))
    }

    async fn announce(&self, _subject: Subject, _payload: Bytes) -> Result<(), BusError> {
        Ok(())
    }

    async fn announcements(&self) -> Result<BoxStream<'static, Bytes>, BusError> {
        Ok(stream::pending().boxed())
    }

    fn largest_payload(&self) -> usize {
        1 << 20
    }
}

fn relay(world: &Arc<World>) -> Relay<Log, Bus> {
    Relay {
        log: Log(Arc::clone(world)),
        bus: Arc::new(Bus(Arc::clone(world))),
        wake_ups: WakeUps::silent(),
        leading: watch::Sender::new(false),
        state: Arc::default(),
    }
}

/// Runs relays until everything committed is published.
async fn settle(world: &Arc<World>, relays: usize, expected: usize) {
    let stop = CancellationToken::new();
    let running: Vec<_> = (0..relays).map(|_| tokio::spawn(relay(world).run(stop.clone()))).collect();
    let done = async {
        while world.published().len() < expected {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_hours(1), done).await.unwrap();
    stop.cancel();
    for task in running {
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_is_published_once_and_in_order_whatever_fails() {
    for seed in 0..60 {
        let world = World::new(seed, true);
        for step in 0..20 {
            world.commit(step * 100 + 1..=step * 100 + 90);
            settle(&world, 2, (usize::try_from(step).unwrap() + 1) * 90).await;
        }
        let expected: Vec<i64> = (0..20).flat_map(|step| step * 100 + 1..=step * 100 + 90).collect();
        assert_eq!(world.published(), expected, "seed {seed}");
        assert_eq!(world.resyncs(), 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn however_large_events_are_a_read_is_bounded_and_all_are_published() {
    for size in [50, 100_000, 1 << 20, 3 << 20, 100 << 20] {
        for trouble in [false, true] {
            let world = World::of_events(7, trouble, size);
            let mut all = 0;
            for batch in 0..3 {
                world.commit(batch * 1_000 + 1..=batch * 1_000 + 70);
                all += 70;
                settle(&world, 1, all).await;
            }
            world.stream.lock().unwrap().clear();
            settle(&world, 2, all).await;
            let expected = (0..3).flat_map(|batch| batch * 1_000 + 1..=batch * 1_000 + 70);
            assert_eq!(world.published(), expected.collect::<Vec<_>>(), "{size}");
            assert!(world.most_read.load(Ordering::Relaxed) <= size.max(4 << 20), "{size}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_told_to_stop_does_not_wait_for_a_log_that_hangs() {
    let world = World::new(1, false);
    let stop = CancellationToken::new();
    let running = tokio::spawn(relay(&world).run(stop.clone()));
    world.commit(1..=10);
    while world.published().len() < 10 {
        sleep(TICK).await;
    }
    world.hangs.store(true, Ordering::Relaxed);
    world.commit(11..=20);
    sleep(10 * TICK).await;
    stop.cancel();
    timeout(2 * GOODBYE, running).await.expect("it ends in time").unwrap();
    world.hangs.store(false, Ordering::Relaxed);
    settle(&world, 1, 20).await;
    assert_eq!(world.published(), (1..=20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_bus_without_room_is_tried_less_and_less_often_until_it_has_some() {
    let world = World::new(1, false);
    let (stop, relay) = (CancellationToken::new(), relay(&world));
    let state = Arc::clone(&relay.state);
    let running = tokio::spawn(relay.run(stop.clone()));
    world.is_full.store(true, Ordering::Relaxed);
    world.commit(1..=10);
    sleep(Duration::from_mins(1)).await;
    assert_eq!(state.report().failing.map(|(reason, _)| reason.as_str()), Some("bus_full"));
    let tried = world.tried.load(Ordering::Relaxed);
    sleep(Duration::from_mins(10)).await;
    let tried = world.tried.load(Ordering::Relaxed) - tried;
    assert!((15..=45).contains(&tried), "{tried}");
    world.is_full.store(false, Ordering::Relaxed);
    sleep(LONGEST_PAUSE_FOR_ROOM).await;
    assert_eq!(world.published(), (1..=10).collect::<Vec<_>>());
    stop.cancel();
    running.await.unwrap();
}

#[test]
fn a_session_that_timed_out_is_no_database_that_is_away() {
    let reason = |sqlstate| {
        let (sqlstate, message) =
            (tokio_postgres::error::SqlState::from_code(sqlstate), "terminating connection".to_owned());
        RelayError::Log(DatabaseError::Refused { sqlstate, message, detail: None, hint: None }).reason()
    };
    for (sqlstate, expected) in [
        ("25P03", "database_session_timeout"),
        ("57P05", "database_session_timeout"),
        ("25006", "database_read_only"),
        ("57P01", "database_unavailable"),
    ] {
        assert_eq!(reason(sqlstate).as_str(), expected, "{sqlstate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_lost_its_tail_is_filled_again() {
    let world = World::new(1, false);
    world.commit(1..=300);
    settle(&world, 1, 300).await;
    for left in [170, 1, 0] {
        world.stream.lock().unwrap().truncate(left);
        settle(&world, 1, 300).await;
        assert_eq!(world.published(), (1..=300).collect::<Vec<_>>());
    }
    assert_eq!(world.resyncs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_promoted_standby_that_was_behind_is_announced_and_loses_nothing_new() {
    let world = World::new(1, false);
    for batch in 0..5 {
        world.commit(batch * 10 + 1..=batch * 10 + 10);
        settle(&world, 1, usize::try_from(batch + 1).unwrap() * 10).await;
    }
    {
        // The standby never heard of the last two batches, and has written something else since.
        let mut log = world.log();
        log.batches.retain(|batch, _| *batch <= 3);
        log.timeline = 2;
        log.waiting.extend(101..=105);
    }
    settle(&world, 1, 55).await;
    assert_eq!(world.published()[50..], (101..=105).collect::<Vec<_>>());
    assert_eq!(world.resyncs(), 1);
    world.commit(106..=110);
    settle(&world, 1, 60).await;
    assert_eq!(world.resyncs(), 1);
    // The announcement is the 51st message; it and whatever follows it belong to the fork of that number.
    let forks: Vec<_> = world.stream.lock().unwrap().iter().map(|(_, lineage)| lineage.fork).collect();
    assert_eq!(forks, [vec![0; 50], vec![51; 11]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_promoted_standby_that_was_behind_is_announced_in_a_stream_that_lost_everything() {
    let world = World::new(1, false);
    for batch in 0..5 {
        world.commit(batch * 10 + 1..=batch * 10 + 10);
        settle(&world, 1, usize::try_from(batch + 1).unwrap() * 10).await;
    }
    // Whoever relays next has seen the end of the stream.
    settle(&world, 1, 50).await;
    Bus(Arc::clone(&world)).tail().await.unwrap();
    {
        let mut log = world.log();
        log.batches.retain(|batch, _| *batch <= 3);
        log.timeline = 2;
        log.waiting.extend(101..=105);
    }
    world.stream.lock().unwrap().clear();
    settle(&world, 1, 5).await;
    assert_eq!((world.published(), world.resyncs()), ((101..=105).collect(), 1));
    world.commit(106..=110);
    settle(&world, 1, 10).await;
    assert_eq!(world.resyncs(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_put_back_between_two_looks_is_announced() {
    for waiting in [0, 1] {
        let world = World::new(1, false);
        let stop = CancellationToken::new();
        let running = tokio::spawn(relay(&world).run(stop.clone()));
        for position in 1..=3 {
            world.commit([position]);
            while world.published().len() < usize::try_from(position).unwrap() {
                sleep(TICK).await;
            }
        }
        {
            // The relay has its lease and its timeline as before; the log has lost one batch or two, and nobody else has come.
            let mut log = world.log();
            log.batches.retain(|batch, _| *batch <= 2 - waiting);
            log.waiting.extend((101..).take(usize::try_from(waiting).unwrap()));
        }
        sleep(20 * TICK).await;
        assert_eq!(world.resyncs(), 1);
        world.commit([102]);
        sleep(20 * TICK).await;
        let since: Vec<_> = world.published().split_off(3);
        assert_eq!(since, (102 - waiting..=102).collect::<Vec<_>>());
        assert_eq!(world.resyncs(), 1);
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_failover_that_lost_nothing_is_not_announced() {
    let world = World::new(1, false);
    world.commit(1..=10);
    settle(&world, 1, 10).await;
    world.log().timeline = 2;
    world.commit(11..=20);
    settle(&world, 1, 20).await;
    assert_eq!((world.published(), world.resyncs()), ((1..=20).collect(), 0));
}
