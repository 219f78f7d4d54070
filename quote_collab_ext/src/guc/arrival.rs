//! Settings that only the server's configuration sets, also where the library is loaded late. What a session brought
//! along under their names PostgreSQL throws away; but a value of the connection's start displaces the configured one,
//! which then is unknown. That is remembered as a doubt, and in doubt everything is closed.

#![expect(unsafe_code, reason = "PostgreSQL's C interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::guc::GucEnum;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, pg_guard, pg_sys};

/// The setting that is being defined took over a configured value.
static CONFIRMED: AtomicBool = AtomicBool::new(false);
/// Some setting arrived with a value that was not taken over.
static DOUBT: AtomicBool = AtomicBool::new(false);

/// Whether the configured value of some setting is unknown: displaced by the session, or not a value of its type.
pub fn in_doubt() -> bool {
    DOUBT.load(Ordering::Relaxed)
}

/// Defines a setting with a few values.
pub fn define_enum<T: GucEnum>(
    name: &'static CStr,
    texts: [&'static CStr; 2],
    setting: &'static GucSetting<T>,
) {
    // SAFETY: the hook is guarded.
    arrives(name, || unsafe {
        GucRegistry::define_enum_guc_with_hooks(
            name,
            texts[0],
            texts[1],
            setting,
            GucContext::Sighup,
            GucFlags::default(),
            Some(confirm_enum),
            None,
            None,
        );
    });
}

/// Defines a text that is shown to administrators only.
pub fn define_text(
    name: &'static CStr,
    texts: [&'static CStr; 2],
    setting: &'static GucSetting<Option<CString>>,
) {
    // SAFETY: the hook is guarded.
    arrives(name, || unsafe {
        GucRegistry::define_string_guc_with_hooks(
            name,
            texts[0],
            texts[1],
            setting,
            GucContext::Sighup,
            GucFlags::SUPERUSER_ONLY,
            Some(confirm_text),
            None,
            None,
        );
    });
}

/// Defines a setting, and finds out whether a value that was there before has been taken over. The check hook must call
/// [`confirm`].
pub fn arrives(name: &'static CStr, define: impl FnOnce()) {
    // SAFETY: returns null for an unknown name (missing_ok) or a C string, which is not kept.
    let is_known = unsafe { !pg_sys::GetConfigOption(name.as_ptr(), true, false).is_null() };
    CONFIRMED.store(false, Ordering::Relaxed);
    define();
    if is_known && !CONFIRMED.load(Ordering::Relaxed) {
        DOUBT.store(true, Ordering::Relaxed);
    }
}

/// What each check hook does: PostgreSQL asks it only after it has found that the source may set the setting.
pub fn confirm(source: pg_sys::GucSource::Type) -> bool {
    if source >= pg_sys::GucSource::PGC_S_FILE {
        CONFIRMED.store(true, Ordering::Relaxed);
    }
    true
}

#[pg_guard]
unsafe extern "C-unwind" fn confirm_enum(
    _value: *mut c_int,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    confirm(source)
}

#[pg_guard]
unsafe extern "C-unwind" fn confirm_text(
    _value: *mut *mut c_char,
    _extra: *mut *mut c_void,
    source: pg_sys::GucSource::Type,
) -> bool {
    confirm(source)
}
