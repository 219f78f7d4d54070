//! Measurements, as commands: never timed tests. Each prints what it did, on what, and medians.

pub mod chart;
pub mod feed;
pub mod instructions;
pub mod latency;
pub mod notify;
pub mod peers;
pub mod pgbench;
pub mod processor;
pub mod resume;
pub mod seal;
pub mod write;

/// Settings of a server that is measured: nothing happens by itself meanwhile.
pub const QUIET: [(&str, &str); 4] =
    [("autovacuum", "off"), ("shared_buffers", "1GB"), ("max_wal_size", "4GB"), ("checkpoint_timeout", "1h")];

/// The release before this one, whose functions the library still serves, and this one: a title, and what makes it.
pub const RELEASES: [(&str, &str); 2] = [
    ("0.21.0", "create extension quote_collab_ext version '0.21.0'"),
    ("this", "create extension quote_collab_ext"),
];
/// The install script of the release before.
pub const SCRIPT: &str = "quote_collab_ext--0.21.0.sql";

/// The median; of an even number of values the lower one.
///
/// # Panics
/// When there are no values.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which that share of all lies.
///
/// # Panics
/// When there are no values.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1).expect("something was measured");
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index between 0 and the last, rounded down"
    )]
    let index = (last as f64 * share) as usize;
    values[index]
}

/// Processors and their name, for the record.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    format!("{cores} cores, {}", model.map_or("unknown processor", |(_, name)| name.trim()))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_f64(number: u64) -> f64 {
    number as f64
}
