//! Memory that Rust asks for. Where there is none, Rust aborts the process, and PostgreSQL then ends every session of every database; its own
//! code raises an error. Here whoever can answer asks by [`reserve`], and for all others the session ends, alone.

#![expect(unsafe_code, reason = "an allocator, and PostgreSQL's error reporting")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

use pgrx::{PgLogLevel, PgSqlErrorCode};

use crate::error::Error;
use crate::memory::last_resort;

/// The system's allocator, which never refuses unless it was told that it may.
struct Granting;

#[global_allocator]
static ALLOCATOR: Granting = Granting;

thread_local! {
    static MAY_REFUSE: Cell<bool> = const { Cell::new(false) };
    static IS_OVER: Cell<bool> = const { Cell::new(false) };
}

/// Makes room for more values; an error where there is no memory for them.
pub fn reserve<T>(values: &mut Vec<T>, more: usize) -> Result<(), Error> {
    if try_reserve(values, more) { Ok(()) } else { Err(last_resort::refused()) }
}

/// Makes room for more values, if there is memory for them.
pub fn try_reserve<T>(values: &mut Vec<T>, more: usize) -> bool {
    MAY_REFUSE.set(true);
    let reserved = values.try_reserve(more);
    MAY_REFUSE.set(false);
    reserved.is_ok()
}

/// Whether the session is ending in the middle of Rust's code for lack of memory: anything may be borrowed, and is left as it is.
pub fn is_over() -> bool {
    IS_OVER.get()
}

// SAFETY: what the system's allocator gives and takes back is passed on. It does not unwind: a session that ends does not return here.
unsafe impl GlobalAlloc for Granting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the same.
        granted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        granted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        granted(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn granted(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !MAY_REFUSE.get() {
        end_session(size);
    }
    memory
}

unsafe extern "C-unwind" {
    fn errstart(level: c_int, domain: *const c_char) -> bool;
    fn errcode(code: c_int) -> c_int;
    fn errmsg(format: *const c_char, ...) -> c_int;
    fn errdetail(format: *const c_char, ...) -> c_int;
    fn errfinish(file: *const c_char, line: c_int, function: *const c_char);
}

/// Reports a FATAL error, for which PostgreSQL keeps memory of its own.
#[cold]
fn end_session(size: usize) -> ! {
    const MESSAGE: &CStr = c"out of memory";
    const DETAIL: &CStr = c"quote collaboration found no memory for %zu bytes.";
    IS_OVER.set(true);
    last_resort::spend();
    // SAFETY: as PostgreSQL's ereport() does it, in the backend's only thread, with texts of the program and the number that one of them
    // names. Nothing is unwound on the way out of the process.
    unsafe {
        if errstart(PgLogLevel::FATAL as c_int, std::ptr::null()) {
            errcode(PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY as c_int);
            errmsg(MESSAGE.as_ptr());
            errdetail(DETAIL.as_ptr(), size);
            errfinish(std::ptr::null(), 0, std::ptr::null());
        }
    }
    std::process::abort()
}
