//! The text format: families of samples, and histograms.

use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

/// A histogram of durations.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    /// Upper bounds of the buckets, in seconds.
    bounds: &'static [f64],
    /// Durations up to the bound with the same index, and above the one before it.
    buckets: Vec<u64>,
    count: u64,
    sum: Duration,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, buckets: vec![0; bounds.len()], count: 0, sum: Duration::ZERO }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the duration within which such a part of all were, in seconds, as if those of a bucket were spread
    /// evenly.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let (mut below, mut from) = (0.0, 0.0);
        let wanted = part * self.count as f64;
        for (bound, count) in self.bounds.iter().zip(&self.buckets) {
            let count = *count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(from + (bound - from) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            (below, from) = (below + count, *bound);
        }
        Some(from)
    }

    pub(super) fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.iter().position(|bound| seconds <= *bound);
        // A duration above every bound is only in the count.
        if let Some(count) = bucket.and_then(|index| self.buckets.get_mut(index)) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

/// The text so far.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins with what every run tells: which version it is, and since when it runs.
    pub(super) fn begin(start: SystemTime) -> Page {
        let mut page = Page(String::with_capacity(8 * 1024));
        page.family("pinhole_build_info", "gauge", "The version that runs.");
        page.sample("pinhole_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let start = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.single("pinhole_start_time_seconds", "gauge", "When the process was started.", start.as_secs_f64());
        page
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        match labels.is_empty() {
            true => self.line(format_args!("{name} {value}")),
            false => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.buckets) {
            below += count;
            self.sample(&bucket, &[("le", &bound.to_string())], below);
        }
        self.sample(&bucket, &[("le", "+Inf")], histogram.count);
        self.sample(&format!("{name}_sum"), &[], histogram.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[], histogram.count);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// Escapes the value of a label.
pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}
