//! What must happen when a transaction or subtransaction ends.

use pgrx::{pg_guard, pg_sys};

use crate::hooks::statement;
use crate::identity::attribution;
use crate::memory::allocator;
use crate::{audit, wakeup};

/// Registers the callbacks, once per backend.
#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
pub fn watch() {
    // SAFETY: the callbacks are static functions of this library, which PostgreSQL never unloads.
    unsafe {
        pg_sys::RegisterXactCallback(Some(on_transaction), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(on_subtransaction), std::ptr::null_mut());
    }
}

/// How deep in subtransactions this backend is: 1 in a transaction without any.
pub fn depth() -> i32 {
    // SAFETY: reads the transaction state of this backend.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    unsafe {
        pg_sys::GetCurrentTransactionNestLevel()
    }
}

#[pg_guard]
extern "C-unwind" fn on_transaction(event: pg_sys::XactEvent::Type, _arg: *mut std::ffi::c_void) {
    use pg_sys::XactEvent as E;
    if allocator::is_over() {
        return;
    }
    match event {
        // Rows that no statement trigger wrote: logical replication fires row triggers only.
        E::XACT_EVENT_PRE_COMMIT | E::XACT_EVENT_PRE_PREPARE => audit::finish(),
        E::XACT_EVENT_COMMIT => {
            attribution::forget();
            audit::discard();
            statement::forget();
            wakeup::committed();
        }
        E::XACT_EVENT_ABORT | E::XACT_EVENT_PREPARE => {
            attribution::forget();
            audit::discard();
            statement::forget();
            wakeup::forget();
        }
        _ => {}
    }
}

#[pg_guard]
extern "C-unwind" fn on_subtransaction(
    event: pg_sys::SubXactEvent::Type,
    _id: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::SubXactEvent as E;
    if allocator::is_over() {
        return;
    }
    match event {
        E::SUBXACT_EVENT_PRE_COMMIT_SUB => audit::gather(),
        // Not before: until here it may still fail.
        E::SUBXACT_EVENT_COMMIT_SUB => {
            audit::hand_on();
            attribution::hand_on();
        }
        E::SUBXACT_EVENT_ABORT_SUB => {
            audit::discard_aborted();
            attribution::forget_subtransaction();
            statement::forget_subtransaction();
            wakeup::forget_subtransaction();
        }
        _ => {}
    }
}
