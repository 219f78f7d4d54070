//! Settings that are secrets. A variable of PostgreSQL's is shown, compared, handed to parallel workers, and written to the
//! log when a reload changes it; so it holds asterisks, also where nothing is configured, and the secret lies beside it.

#![expect(unsafe_code, reason = "PostgreSQL's C interface")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_guard, pg_sys};

use super::arrival;

/// What is seen of a secret.
const MASK: &CStr = c"********";

/// A secret of the server's configuration.
pub struct Secret {
    shown: GucSetting<Option<CString>>,
    /// What PostgreSQL keeps beside the value, a C string; null for none.
    kept: AtomicPtr<c_void>,
}

impl Secret {
    /// One that is not defined yet.
    pub const fn new() -> Self {
        Self { shown: GucSetting::<Option<CString>>::new(None), kept: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// Defines it. `assign` must call [`Self::keep`] of this very secret, which PostgreSQL does not name to it.
    pub fn define(
        &'static self,
        name: &'static CStr,
        texts: [&'static CStr; 2],
        assign: pg_sys::GucStringAssignHook,
    ) {
        // SAFETY: the check hook is guarded, and the assign hook only stores a pointer.
        arrival::arrives(name, || unsafe {
            GucRegistry::define_string_guc_with_hooks(
                name,
                texts[0],
                texts[1],
                &self.shown,
                GucContext::Sighup,
                GucFlags::SUPERUSER_ONLY | GucFlags::NO_SHOW_ALL,
                Some(conceal),
                assign,
                None,
            );
        });
    }

    /// Takes over what the check hook put beside a value.
    pub fn keep(&self, extra: *mut c_void) {
        self.kept.store(extra, Ordering::Relaxed);
    }

    /// The secret; `None` when none is configured, and in parallel workers.
    pub fn get(&self) -> Option<CString> {
        let kept = self.kept.load(Ordering::Relaxed).cast::<c_char>();
        // SAFETY: null, or the string that conceal() made, which PostgreSQL keeps as long as it is the current one.
        (!kept.is_null()).then(|| unsafe { CStr::from_ptr(kept) }.to_owned())
    }
}

/// Puts a value that is to be set beside the variable, and asterisks into it. `false` when memory is short.
#[pg_guard]
unsafe extern "C-unwind" fn conceal(
    value: *mut *mut c_char,
    extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: PostgreSQL passes a value that is its own, null or a C string, and room for what goes with it.
    unsafe {
        let given = *value;
        let is_secret = !given.is_null() && {
            let text = CStr::from_ptr(given);
            !text.is_empty() && text != MASK
        };
        let mask = allocator::copy(MASK.as_ptr());
        if mask.is_null() {
            return false;
        }
        *value = mask;
        if is_secret {
            *extra = given.cast();
        } else if !given.is_null() {
            allocator::free(given);
        }
        arrival::confirm(source)
    }
}

/// What PostgreSQL frees values of settings with.
#[cfg(any(feature = "pg14", feature = "pg15"))]
mod allocator {
    use std::ffi::{c_char, c_void};

    unsafe extern "C" {
        fn strdup(text: *const c_char) -> *mut c_char;
        #[link_name = "free"]
        fn release(memory: *mut c_void);
    }

    pub unsafe fn copy(text: *const c_char) -> *mut c_char {
        // SAFETY: per contract of strdup: a live C string.
        unsafe { strdup(text) }
    }

    pub unsafe fn free(text: *mut c_char) {
        // SAFETY: per contract of free: it came from malloc.
        unsafe { release(text.cast()) }
    }
}

/// What PostgreSQL frees values of settings with.
#[cfg(not(any(feature = "pg14", feature = "pg15")))]
mod allocator {
    use std::ffi::c_char;

    use pgrx::pg_sys;

    pub unsafe fn copy(text: *const c_char) -> *mut c_char {
        // SAFETY: a live C string; below ERROR the result is null when memory is short.
        unsafe { pg_sys::guc_strdup(pg_sys::LOG.cast_signed(), text) }
    }

    pub unsafe fn free(text: *mut c_char) {
        // SAFETY: a value of a setting.
        unsafe { pg_sys::guc_free(text.cast()) }
    }
}
