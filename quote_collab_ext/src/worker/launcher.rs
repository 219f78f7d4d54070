//! The launcher: starts a waker where one is wanted, and a keeper for one database after the other.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerStatus, DynamicBackgroundWorker, SignalWakeFlags};
use pgrx::{pg_guard, pg_sys};

use super::{board, crashes, databases, promotion, wait, worker_for};
use crate::memory::{Owned, Scope};
use crate::worker::backoff::Backoff;

/// Attached databases are looked after this often.
const ROUND: Duration = Duration::from_secs(10);
/// All others are looked at this often: something may have been attached there by a restored dump.
const SURVEY: Duration = Duration::from_mins(5);
/// When there was no place for a keeper for so long, the waker of its database makes room.
const STARVED: Duration = Duration::from_secs(5);
/// A waker that ended sooner than this will hardly do better at once.
const YOUNG: Duration = Duration::from_secs(1);
/// That there is no place is said so often at most: the keeper takes and leaves one every few seconds.
const SAID_AGAIN: Duration = Duration::from_mins(1);

/// Entry point.
#[pg_guard]
#[expect(unsafe_code, reason = "PostgreSQL finds the function by its symbol")]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn quote_collab_launcher_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM);
    // No database: only the catalogs that all share.
    BackgroundWorker::connect_worker_to_spi_by_oid(None, None);
    let (pause, reason) = match crashes::pause() {
        pause if promotion::has_happened() && pause < promotion::PAUSE => {
            (promotion::PAUSE, "the server was a standby")
        }
        pause => (pause, "the server has crashed"),
    };
    let pause = board::launcher_is_here(pause);
    if !pause.is_zero() {
        pgrx::log!("quote_collab keeps house in {} s: {reason}", pause.as_secs_f32().ceil());
    }
    let mut launcher = Launcher::new(pause);
    while wait(launcher.nap()) {
        launcher.turn();
    }
    // A worker that ends with 0 is never started again, and pg_terminate_backend must not be the end of all wake-ups.
    // SAFETY: nothing is open.
    unsafe { pg_sys::proc_exit(1) }
}

/// A worker that was started.
struct Started {
    worker: DynamicBackgroundWorker,
    since: Instant,
    /// Where PostgreSQL keeps what it is known by: as long as the launcher runs, unless somebody clears it away.
    _memory: Owned,
}

struct Launcher {
    wakers: HashMap<pg_sys::Oid, Started>,
    keeper: Option<Started>,
    /// Since when no keeper has found a place.
    starved: Option<Instant>,
    queue: VecDeque<pg_sys::Oid>,
    round: Instant,
    survey: Instant,
    /// After PostgreSQL had no place for another worker: when to try again.
    retry: Option<Instant>,
    backoff: Backoff,
    /// After a waker that ended at once.
    illness: Backoff,
    /// When it was said last that there is no place.
    said: Option<Instant>,
}

impl Launcher {
    fn new(pause: Duration) -> Self {
        let begin = Instant::now() + pause;
        Self {
            wakers: HashMap::new(),
            keeper: None,
            starved: None,
            queue: VecDeque::new(),
            round: begin,
            survey: begin,
            retry: None,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_mins(1)),
            illness: Backoff::new(Duration::from_millis(50), Duration::from_secs(5)),
            said: None,
        }
    }

    fn nap(&self) -> Duration {
        let due = [Some(self.round), Some(self.survey), self.retry].into_iter().flatten().min();
        let left = due.map_or(ROUND, |at| at.saturating_duration_since(Instant::now()));
        left.max(Duration::from_millis(1))
    }

    fn turn(&mut self) {
        let now = Instant::now();
        let running = self.running();
        let is_ill = self.wakers.values().any(|waker| !waker.is_running() && waker.since.elapsed() < YOUNG);
        self.wakers.retain(|_, waker| waker.is_running());
        self.keeper = self.keeper.take().filter(Started::is_running);
        if is_ill {
            self.retry = Some(now + self.illness.next());
        } else if self.running() < running {
            // Whoever ended left a place.
            self.retry = None;
            self.illness.reset();
        }
        self.enqueue(now);
        if self.retry.is_some_and(|at| at > now) {
            return;
        }
        self.retry = None;
        self.start_keeper();
        self.start_wakers();
    }

    fn running(&self) -> usize {
        self.wakers.len() + usize::from(self.keeper.is_some())
    }

    fn enqueue(&mut self, now: Instant) {
        let mut due = Vec::new();
        if self.survey <= now {
            self.survey = now + SURVEY;
            due.extend(databases::all());
        }
        if self.round <= now {
            self.round = now + ROUND;
            board::join();
            due.extend(board::slots().map(board::Slot::database));
        }
        for database in due {
            if !self.queue.contains(&database) {
                self.queue.push_back(database);
            }
        }
    }

    fn start_wakers(&mut self) {
        for slot in board::slots().filter(|slot| slot.is_wanted()) {
            let database = slot.database();
            if self.retry.is_some() || self.wakers.contains_key(&database) {
                continue;
            }
            // Sessions of before go on in one that takes no more.
            if databases::takes_connections(database) != Some(true) {
                continue;
            }
            if let Some(waker) = self.start("quote_collab waker", "quote_collab_waker_main", database) {
                self.wakers.insert(database, waker);
            }
        }
    }

    /// One at a time: the next when this one has ended, which wakes the launcher.
    fn start_keeper(&mut self) {
        while self.keeper.is_none() && self.retry.is_none() {
            let Some(database) = self.queue.pop_front() else { return };
            match databases::takes_connections(database) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    if let Some(slot) = board::find(database) {
                        slot.give_back();
                    }
                    continue;
                }
            }
            self.keeper = self.start("quote_collab keeper", "quote_collab_keeper_main", database);
            if self.keeper.is_some() {
                self.starved = None;
            } else {
                self.queue.push_front(database);
                self.make_room(database);
            }
        }
    }

    /// Wakers stay as long as the server runs: where they have all places, nobody would ever keep house.
    fn make_room(&mut self, database: pg_sys::Oid) {
        let starved = *self.starved.get_or_insert_with(Instant::now);
        if starved.elapsed() > STARVED
            && let Some(slot) = board::find(database).or_else(|| board::slots().next())
        {
            slot.send_away();
        }
    }

    fn start(&mut self, kind: &str, function: &str, database: pg_sys::Oid) -> Option<Started> {
        if let Some(started) = Started::new(kind, function, database) {
            self.backoff.reset();
            return Some(started);
        }
        if self.said.is_none_or(|said| said.elapsed() > SAID_AGAIN) {
            let database = database.to_u32();
            pgrx::log!(
                "no background worker is free for {kind} of the database with oid {database}; raise max_worker_processes"
            );
            self.said = Some(Instant::now());
        }
        self.retry = Some(Instant::now() + self.backoff.next());
        None
    }
}

impl Started {
    /// `None` when there is no place for another worker.
    fn new(kind: &str, function: &str, database: pg_sys::Oid) -> Option<Self> {
        let memory = Owned::new(c"quote_collab worker");
        let worker = {
            // SAFETY: the context is kept beside what is allocated in it.
            #[expect(unsafe_code, reason = "PostgreSQL's memory contexts")]
            let _scope = unsafe { Scope::enter(memory.context()) };
            worker_for(kind, function, database).load_dynamic().ok()?
        };
        Some(Self { worker, since: Instant::now(), _memory: memory })
    }

    fn is_running(&self) -> bool {
        matches!(self.worker.pid(), Ok(_) | Err(BackgroundWorkerStatus::NotYetStarted))
    }
}
