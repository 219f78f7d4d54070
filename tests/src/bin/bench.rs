//! `cargo xtask bench`: measurements against the real parts.

use quote_collab_tests::bench;

#[tokio::main]
async fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("write") => bench::write::run().await,
        Some("instructions") => bench::instructions::run().await,
        Some("seal") => bench::seal::run().await,
        Some("notify") => bench::notify::run().await,
        Some("feed") => bench::feed::run().await,
        Some("resume") => bench::resume::run().await,
        Some("latency") => bench::latency::run().await,
        _ => {
            bench::write::run().await;
            bench::instructions::run().await;
            bench::seal::run().await;
            bench::notify::run().await;
            bench::feed::run().await;
            bench::resume::run().await;
            bench::latency::run().await;
        }
    }
}
