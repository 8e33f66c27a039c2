//! What a run counts, in Prometheus' text format 0.0.4.

mod page;
pub mod peer;
pub mod server;

pub use server::{DirectoryMetrics, Metrics};

/// The `Content-Type` of metrics.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
