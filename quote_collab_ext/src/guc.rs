//! Settings of the extension.

pub mod arrival;
pub mod secret;

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

use crate::identity::tenant;
use crate::identity::token::keys;
use crate::seal::signature;

/// How listeners learn that something was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum Notify {
    /// The best way available.
    #[name = c"auto"]
    Auto,
    /// The background worker sends one empty NOTIFY after the commit; without it, as `Transaction`.
    #[name = c"worker"]
    Worker,
    /// One NOTIFY with an empty payload inside each writing transaction.
    #[name = c"transaction"]
    Transaction,
    /// None: readers poll.
    #[name = c"off"]
    Off,
}

static NOTIFY: GucSetting<Notify> = GucSetting::<Notify>::new(Notify::Auto);

/// Defines the settings and reserves their prefix.
pub fn define() {
    GucRegistry::define_enum_guc(
        c"quote_collab.notify",
        c"How listeners are woken when a quote changes.",
        c"auto and worker let the background worker send one empty NOTIFY after the commit, where the library is preloaded, else as transaction; worker does so even while the worker is being started. transaction sends one empty NOTIFY inside each writing transaction. off sends none and leaves readers to poll.",
        &NOTIFY,
        GucContext::Suset,
        GucFlags::default(),
    );
    tenant::define();
    keys::define();
    signature::define();
    tenant::guard();
    // SAFETY: PostgreSQL copies the prefix; no backend state is held.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17", feature = "pg18"))]
        pgrx::pg_sys::MarkGUCPrefixReserved(c"quote_collab".as_ptr());
        #[cfg(feature = "pg14")]
        pgrx::pg_sys::EmitWarningsOnPlaceholders(c"quote_collab".as_ptr());
    }
}

/// How listeners are woken.
pub fn notify() -> Notify {
    NOTIFY.get()
}
