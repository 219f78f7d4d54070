//! Logs and metrics of the process.

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// Seconds: from a tenth of a millisecond to ten seconds.
const DURATIONS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

const DEFAULT_FILTER: &str = "info";
/// What we wrote ourselves: the library, the binary, the core.
const OURS: [&str; 3] = ["quote_collab_gateway", "gateway", "quote_collab_core"];

/// What operators wait for is there from the beginning: of a series that begins with its first event nobody sees that event as an increase.
const AWAITED: [&str; 9] = [
    "gateway_answers_refused_total",
    "gateway_events_unreadable_total",
    "gateway_hub_lagged_total",
    "gateway_hub_missed_total",
    "gateway_hub_refused_total",
    "gateway_listener_reconnects_total",
    "gateway_nats_connections_total",
    "gateway_relay_truncated_total",
    "gateway_turns_refused_total",
];

/// Begins to log. A second call does nothing, so that several gateways can run in one test.
pub fn log(config: &LogConfig) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(ceiling()).with(filter());
    let _ = match config.log_format {
        LogFormat::Text => subscriber.with(lines).try_init(),
        LogFormat::Json => subscriber.with(lines.json()).try_init(),
    };
}

/// A variable that is set to nothing means the same as one that is not set.
fn filter() -> EnvFilter {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let wanted = Some(wanted.trim()).filter(|wanted| !wanted.is_empty()).unwrap_or(DEFAULT_FILTER);
    wanted.parse().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// Below a warning the libraries print what they carry: frames of sockets, parameters, headers, and with them tokens
/// and quotes. No wish for more detail may bring these into a log.
fn ceiling() -> Targets {
    Targets::new()
        .with_default(LevelFilter::WARN)
        .with_targets(OURS.map(|target| (target, LevelFilter::TRACE)))
}

/// Begins to count.
///
/// # Errors
///
/// When something else in the process counts already.
pub fn count() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &DURATIONS)?
        .install_recorder()?;
    for name in AWAITED {
        metrics::counter!(name).increment(0);
    }
    gauge("gateway_relay_batches_waiting", 0);
    for reason in ["origin", "close"] {
        metrics::counter!("gateway_sockets_refused_total", "reason" => reason).increment(0);
    }
    Ok(handle)
}

/// Sets a gauge to a count. Counts of this process are far below the four billion that are exact.
pub fn gauge(name: &'static str, count: usize) {
    metrics::gauge!(name).set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}
