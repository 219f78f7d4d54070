//! Settings of the extension.

use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};

/// How listeners learn that something was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PostgresGucEnum)]
pub enum Notify {
    /// The best way available.
    #[name = c"auto"]
    Auto,
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
        c"auto takes the best way available, transaction sends one empty NOTIFY per writing transaction, off sends none and leaves readers to poll.",
        &NOTIFY,
        GucContext::Suset,
        GucFlags::default(),
    );
    // SAFETY: PostgreSQL copies the prefix; no backend state is held.
    #[expect(unsafe_code, reason = "PostgreSQL's C interface")]
    unsafe {
        #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17", feature = "pg18"))]
        pgrx::pg_sys::MarkGUCPrefixReserved(c"quote_collab".as_ptr());
        #[cfg(feature = "pg14")]
        pgrx::pg_sys::EmitWarningsOnPlaceholders(c"quote_collab".as_ptr());
    }
}

/// Whether a writing transaction sends a NOTIFY itself.
pub fn notifies_in_transaction() -> bool {
    matches!(NOTIFY.get(), Notify::Auto | Notify::Transaction)
}
