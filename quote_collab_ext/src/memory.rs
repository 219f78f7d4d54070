//! Where what is allocated lives, and until when: PostgreSQL's memory contexts. Below: what happens where there is no memory.

#![expect(unsafe_code, reason = "PostgreSQL's memory contexts")]

pub mod allocator;
pub mod last_resort;

use std::ffi::CStr;

use pgrx::pg_sys;

const FIRST_BLOCK: usize = 8 * 1024;
const LARGEST_BLOCK: usize = 8 * 1024 * 1024;

/// A new context below `parent`, which takes it along when it ends.
///
/// # Safety
/// `parent` must be a live context.
pub unsafe fn child(parent: pg_sys::MemoryContext, name: &'static CStr) -> pg_sys::MemoryContext {
    // SAFETY: per contract; the name is static, as PostgreSQL wants it.
    unsafe { pg_sys::AllocSetContextCreateInternal(parent, name.as_ptr(), 0, FIRST_BLOCK, LARGEST_BLOCK) }
}

/// A context that lasts for the backend's life, or until its owner is dropped.
pub struct Owned(pg_sys::MemoryContext);

impl Owned {
    /// A new one.
    pub fn new(name: &'static CStr) -> Self {
        // SAFETY: the top context lives as long as the backend.
        Self(unsafe { child(pg_sys::TopMemoryContext, name) })
    }

    /// The context.
    pub fn context(&self) -> pg_sys::MemoryContext {
        self.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made in new(); what lives in it belongs to the owner, which is gone.
        unsafe { pg_sys::MemoryContextDelete(self.0) }
    }
}

/// While it lives, PostgreSQL allocates in another context.
pub struct Scope {
    outer: pg_sys::MemoryContext,
}

impl Scope {
    /// Allocates in `context` from here on.
    ///
    /// # Safety
    /// `context` must outlive the scope, and scopes must end in the reverse order of their begin.
    pub unsafe fn enter(context: pg_sys::MemoryContext) -> Self {
        // SAFETY: the variable is this backend's, which has one thread.
        unsafe {
            let outer = pg_sys::CurrentMemoryContext;
            pg_sys::CurrentMemoryContext = context;
            Self { outer }
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // SAFETY: as above; the outer context outlives the scope by the order of scopes.
        unsafe { pg_sys::CurrentMemoryContext = self.outer }
    }
}
