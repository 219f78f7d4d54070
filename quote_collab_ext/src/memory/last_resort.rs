//! Memory that is put by for telling that there is no more. An error is copied on its way from PostgreSQL's code through Rust's, and one that
//! finds no memory for that is the end of the server.

#![expect(unsafe_code, reason = "PostgreSQL's error contexts")]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;

use pgrx::pg_sys;

use crate::error::Error;
use crate::memory::allocator::try_reserve;

/// Bytes while one of our C functions runs, where PostgreSQL takes small blocks.
pub const OF_A_ROW: usize = 96 * 1024;
/// Bytes while many rows are written: the blocks of a memory context grow up to a megabyte before one may be smaller than the last.
pub const OF_MANY: usize = 1280 * 1024;

thread_local! {
    static PUT_BY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// How many hold it.
    static HELD: Cell<usize> = const { Cell::new(0) };
    /// In the stack of PostgreSQL's error contexts while anybody does.
    static CALLBACK: Cell<pg_sys::ErrorContextCallback> =
        const { Cell::new(pg_sys::ErrorContextCallback { previous: std::ptr::null_mut(), callback: None, arg: std::ptr::null_mut() }) };
}

/// While it lives, what was put by is spent as soon as PostgreSQL reports anything.
pub struct LastResort(());

/// Puts so many bytes by, where they are not yet; an error where there is no memory for them.
pub fn put_by(bytes: usize) -> Result<LastResort, Error> {
    let is_there = PUT_BY.with_borrow_mut(|put_by| put_by.capacity() >= bytes || try_reserve(put_by, bytes));
    if !is_there {
        return Err(refused());
    }
    if HELD.replace(HELD.get() + 1) == 0 {
        CALLBACK.with(|callback| {
            // SAFETY: the backend's only thread; the callback is taken off the stack before this ends.
            unsafe {
                callback.set(pg_sys::ErrorContextCallback {
                    previous: pg_sys::error_context_stack,
                    callback: Some(on_report),
                    arg: std::ptr::null_mut(),
                });
                pg_sys::error_context_stack = callback.as_ptr();
            }
        });
    }
    Ok(LastResort(()))
}

/// The error of whoever was given no memory; there is some for telling it.
pub fn refused() -> Error {
    spend();
    Error::OutOfMemory
}

/// Gives back what was put by. Where the process is ending, it is gone already.
pub fn spend() {
    let _ = PUT_BY.try_with(|put_by| put_by.try_borrow_mut().map(|mut put_by| std::mem::take(&mut *put_by)));
}

/// The transaction is over: what is put by for many rows is not kept.
pub fn let_go() {
    if PUT_BY.with_borrow(Vec::capacity) > OF_A_ROW {
        spend();
    }
}

unsafe extern "C-unwind" fn on_report(_arg: *mut c_void) {
    spend();
}

impl Drop for LastResort {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
        if HELD.get() == 0 {
            // SAFETY: as in put_by(); what was put on the stack since is gone, in order or with an error.
            unsafe { pg_sys::error_context_stack = CALLBACK.get().previous }
        }
    }
}
