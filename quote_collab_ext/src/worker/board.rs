//! The board in shared memory through which writers, wakers and the launcher tell each other: one slot per attached
//! database. Everything on it is a hint; what is lost on it costs a reader one turn of its polling.

#![expect(unsafe_code, reason = "PostgreSQL's shared memory")]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

use pgrx::{pg_guard, pg_sys};

use super::{crashes, promotion};

/// Databases beyond these are woken by NOTIFY inside the transaction.
const SLOTS: usize = 128;

/// One attached database. All zero is an empty slot.
pub struct Slot {
    database: AtomicU32,
    /// Something was committed since the waker looked.
    pending: AtomicBool,
    /// A waker should run here and does not.
    wanted: AtomicBool,
    /// The waker must leave: its database is being dropped, renamed or copied, or the extension is gone.
    leave: AtomicBool,
    pid: AtomicI32,
    latch: AtomicPtr<pg_sys::Latch>,
}

struct Board {
    launcher: AtomicPtr<pg_sys::Latch>,
    /// When housekeeping begins, in microseconds since 2000.
    keeps_house_from: AtomicI64,
    slots: [Slot; SLOTS],
}

static BOARD: AtomicPtr<Board> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    static MINE: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// Arranges for the board while PostgreSQL preloads the library.
pub fn reserve() {
    // SAFETY: the postmaster has one thread; each hook keeps the one before it.
    unsafe {
        #[cfg(feature = "pg14")]
        pg_sys::RequestAddinShmemSpace(size_of::<Board>());
        #[cfg(not(feature = "pg14"))]
        {
            EARLIER_REQUEST = pg_sys::shmem_request_hook;
            pg_sys::shmem_request_hook = Some(request);
        }
        EARLIER_STARTUP = pg_sys::shmem_startup_hook;
        pg_sys::shmem_startup_hook = Some(startup);
    }
}

#[cfg(not(feature = "pg14"))]
static mut EARLIER_REQUEST: pg_sys::shmem_request_hook_type = None;
static mut EARLIER_STARTUP: pg_sys::shmem_startup_hook_type = None;

#[cfg(not(feature = "pg14"))]
#[pg_guard]
unsafe extern "C-unwind" fn request() {
    // SAFETY: called once by the postmaster; size_of is the size that startup() asks for.
    unsafe {
        if let Some(earlier) = EARLIER_REQUEST {
            earlier();
        }
        pg_sys::RequestAddinShmemSpace(size_of::<Board>());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn startup() {
    // SAFETY: called by the postmaster before any backend exists, again after a crash of the server. All zero is a
    // valid board.
    unsafe {
        if let Some(earlier) = EARLIER_STARTUP {
            earlier();
        }
        let mut found = false;
        let board =
            pg_sys::ShmemInitStruct(c"quote_collab board".as_ptr(), size_of::<Board>(), &raw mut found)
                .cast::<Board>();
        if !found {
            board.write_bytes(0, 1);
            crashes::count();
            promotion::note();
        }
        BOARD.store(board, Ordering::Release);
    }
}

fn board() -> Option<&'static Board> {
    // SAFETY: null, or shared memory that lasts as long as the process.
    unsafe { BOARD.load(Ordering::Acquire).as_ref() }
}

/// Every slot in use.
pub fn slots() -> impl Iterator<Item = &'static Slot> {
    board().into_iter().flat_map(|board| &board.slots).filter(|slot| slot.database() != pg_sys::InvalidOid)
}

/// The slot of a database that has one.
pub fn find(database: pg_sys::Oid) -> Option<&'static Slot> {
    slots().find(|slot| slot.database() == database)
}

/// The slot of the database this backend is connected to, taken now if it has none; `None` when the library was not
/// preloaded or every slot is taken.
pub fn mine() -> Option<&'static Slot> {
    // SAFETY: reads a variable of this backend.
    let database = unsafe { pg_sys::MyDatabaseId };
    if let Some(slot) = MINE.get().filter(|slot| slot.database() == database) {
        return Some(slot);
    }
    let slot = find(database).or_else(|| take(database));
    MINE.set(slot);
    slot
}

/// A database has one slot, however many backends take one at the same time: whoever finds another's before his own gives his
/// back. Both look after they have taken, so that one of them sees both, unless a slot before became free meanwhile: see [`join`].
fn take(database: pg_sys::Oid) -> Option<&'static Slot> {
    let free = pg_sys::InvalidOid.to_u32();
    let taken = board()?.slots.iter().find(|slot| {
        slot.database.compare_exchange(free, database.to_u32(), Ordering::SeqCst, Ordering::SeqCst).is_ok()
    })?;
    let first = find(database).unwrap_or(taken);
    if !std::ptr::eq(first, taken) {
        taken.wanted.store(false, Ordering::Release);
        taken.database.store(free, Ordering::SeqCst);
    }
    Some(first)
}

/// Gives back every further slot of a database that has one: who has taken it finds the first from then on.
pub fn join() {
    for slot in slots().filter(|slot| find(slot.database()).is_some_and(|first| !std::ptr::eq(first, *slot)))
    {
        slot.give_back();
    }
}

/// Where the launcher sleeps; called by the launcher. How long housekeeping waits yet: the first launcher on this board says how long in all, and
/// one that comes in the place of another waits for the rest.
pub fn launcher_is_here(pause: Duration) -> Duration {
    // SAFETY: reads the clock, and a variable of this process; the latch is in shared memory.
    let (now, latch) = unsafe { (pg_sys::GetCurrentTimestamp(), pg_sys::MyLatch) };
    let Some(board) = board() else { return pause };
    if board.launcher.swap(latch, Ordering::AcqRel).is_null() {
        let pause = i64::try_from(pause.as_micros()).unwrap_or_default();
        board.keeps_house_from.store(now.saturating_add(pause), Ordering::Release);
    }
    let left = board.keeps_house_from.load(Ordering::Acquire).saturating_sub(now);
    Duration::from_micros(u64::try_from(left).unwrap_or_default())
}

fn wake_launcher() {
    if let Some(board) = board() {
        set(&board.launcher);
    }
}

fn set(latch: &AtomicPtr<pg_sys::Latch>) {
    let latch = latch.load(Ordering::Acquire);
    if !latch.is_null() {
        // SAFETY: latches of processes lie in shared memory, which is never given back; to set one whose process is
        // gone, or which another has now, wakes somebody for nothing.
        unsafe { pg_sys::SetLatch(latch) }
    }
}

impl Slot {
    /// The database of the slot.
    pub fn database(&self) -> pg_sys::Oid {
        pg_sys::Oid::from(self.database.load(Ordering::Acquire))
    }

    /// Whether a waker runs.
    pub fn is_served(&self) -> bool {
        self.pid.load(Ordering::Acquire) != 0
    }

    /// Asks the launcher for a waker. Cheap when asked already. From here on it may be told to leave, also before it has come.
    pub fn want(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.leave.store(false, Ordering::Release);
            wake_launcher();
        }
    }

    /// Whether a waker was asked for and does not run.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire) && !self.is_served()
    }

    /// Tells the waker that something was committed. Never fails: called when the transaction is over.
    pub fn tell(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            set(&self.latch);
        }
    }

    /// Whether something was committed that the waker has not taken up.
    pub fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Whether something was committed since this was asked last; called by the waker.
    pub fn take_pending(&self) -> bool {
        self.pending.swap(false, Ordering::AcqRel)
    }

    /// Becomes the waker of this database; `false` when another is.
    pub fn serve(&self) -> bool {
        // SAFETY: reads variables of this process.
        let (pid, latch) = unsafe { (pg_sys::MyProcPid, pg_sys::MyLatch) };
        if self.pid.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        self.wanted.store(false, Ordering::Release);
        self.latch.store(latch, Ordering::Release);
        true
    }

    /// Ceases to be the waker.
    pub fn cease(&self) {
        self.latch.store(std::ptr::null_mut(), Ordering::Release);
        self.pid.store(0, Ordering::Release);
    }

    /// Tells the waker to leave.
    pub fn send_away(&self) {
        self.wanted.store(false, Ordering::Release);
        self.leave.store(true, Ordering::Release);
        set(&self.latch);
    }

    /// Whether the waker was told to leave.
    pub fn must_leave(&self) -> bool {
        self.leave.load(Ordering::Acquire)
    }

    /// Gives the slot back: the extension or the database is gone.
    pub fn give_back(&self) {
        self.send_away();
        self.database.store(pg_sys::InvalidOid.to_u32(), Ordering::Release);
    }
}
