//! Metrics of a server, in Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::time::{Duration, SystemTime};

use super::refusal::Refusal;

/// The `Content-Type` of the output of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 13] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Lowest status that is counted, and number of statuses. Each status adds a permanent line, so others are not counted.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// Metrics of a server. Fields that describe the present may rise and fall; the others only rise.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Hosts that are registered at present.
    pub hosts: usize,
    /// Links to other servers of the cluster at present.
    pub cluster_links: usize,
    /// Streams on those links at present.
    pub cluster_streams: usize,
    /// What has crossed such links so far.
    pub crossed: Crossed,
    /// Where hosts were that somebody wanted.
    pub lookups: Lookups,
    /// The directory of the cluster, if there is one.
    pub directory: Option<DirectoryMetrics>,
    /// Clients that are connected at present.
    pub clients: usize,
    /// TCP connections of every kind that are open at present.
    pub connections: usize,
    /// Clients that have joined a host so far.
    pub conversations: u64,
    /// Payloads of conversations.
    pub relayed: Moved,
    /// Registrations that replaced an earlier connection.
    pub replacements: u64,
    /// Connections that hosts were asked to dial for the proxy.
    pub dials: u64,
    /// Requests to the gateway in progress at present.
    pub requests: usize,
    /// Bodies of requests and answers, and data after an upgrade.
    pub gateway: Moved,
    refusals: [u64; Refusal::COUNT],
    statuses: Box<[u64; STATUSES]>,
    answers: Histogram,
    start: SystemTime,
}

/// Bytes that were passed on, by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// To hosts.
    pub to_host: u64,
    /// To their clients or visitors.
    pub to_client: u64,
}

/// What has crossed links to other servers of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crossed {
    /// Clients that joined a host at the other end.
    pub conversations: Directions,
    /// Streams of visitors and dials.
    pub streams: Directions,
    /// Bytes of messages, sealed.
    pub bytes: Directions,
}

/// Counts by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directions {
    /// To hosts, or to ends, at other servers.
    pub to_peers: u64,
    /// From other servers.
    pub from_peers: u64,
}

/// How often a host that somebody wanted was where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lookups {
    /// At this server.
    pub here: u64,
    /// At another server.
    pub elsewhere: u64,
    /// Perhaps at a server without a link.
    pub away: u64,
    /// At none.
    pub nowhere: u64,
}

/// What is counted of the directory of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectoryMetrics {
    /// It answers.
    pub is_up: bool,
    /// Look-ups that found a host.
    pub found: u64,
    /// Look-ups of hosts that are nowhere.
    pub absent: u64,
    /// Look-ups that had no answer in time.
    pub away: u64,
}

/// A histogram of durations.
#[derive(Debug, Clone, Default)]
struct Histogram {
    /// Durations up to the bound with the same index, and above the one before it.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Metrics {
    /// Creates metrics that begin at zero, for a server that was started at `start`.
    pub fn new(start: SystemTime) -> Metrics {
        Metrics {
            hosts: 0,
            cluster_links: 0,
            cluster_streams: 0,
            crossed: Crossed::default(),
            lookups: Lookups::default(),
            directory: None,
            clients: 0,
            connections: 0,
            conversations: 0,
            relayed: Moved::default(),
            replacements: 0,
            dials: 0,
            requests: 0,
            gateway: Moved::default(),
            refusals: [0; Refusal::COUNT],
            statuses: Box::new([0; STATUSES]),
            answers: Histogram::default(),
            start,
        }
    }

    /// Counts a refusal.
    pub fn refused(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }

    /// Counts an answer of the gateway; `after` is the time from the request's head to the answer's. For a status that
    /// HTTP does not have, only the duration counts.
    pub fn answered(&mut self, status: u16, after: Duration) {
        let index = status.checked_sub(FIRST_STATUS).map(usize::from);
        if let Some(count) = index.and_then(|index| self.statuses.get_mut(index)) {
            *count += 1;
        }
        self.answers.add(after);
    }

    /// Returns how many answers of the gateway had which status.
    pub(crate) fn by_status(&self) -> BTreeMap<String, u64> {
        let counted = (FIRST_STATUS..).zip(self.statuses.iter()).filter(|(_, count)| **count > 0);
        counted.map(|(status, count)| (status.to_string(), *count)).collect()
    }

    /// Returns the time within which such a part of the answers began, in milliseconds, as far as the histogram tells.
    pub(crate) fn quantile_ms(&self, part: f64) -> Option<f64> {
        self.answers.quantile(part).map(|seconds| (seconds * 1e6).round() / 1e3)
    }

    /// Returns the metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(8 * 1024));
        page.family("pinhole_build_info", "gauge", "The version that runs.");
        page.sample("pinhole_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let start = self.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        page.single("pinhole_start_time_seconds", "gauge", "When the server was started.", start.as_secs_f64());
        page.single("pinhole_connections", "gauge", "TCP connections that are open.", self.connections);
        page.single("pinhole_hosts", "gauge", "Hosts that are registered.", self.hosts);
        let help = "Links to other servers of the cluster.";
        page.single("pinhole_cluster_links", "gauge", help, self.cluster_links);
        let help = "Streams on links to other servers.";
        page.single("pinhole_cluster_streams", "gauge", help, self.cluster_streams);
        let help = "Clients that joined a host through a link between servers.";
        page.directions("pinhole_cluster_conversations_total", help, self.crossed.conversations);
        let help = "Streams of visitors and dials that were opened on links between servers.";
        page.directions("pinhole_cluster_streams_total", help, self.crossed.streams);
        page.directions("pinhole_cluster_bytes_total", "Messages on links between servers.", self.crossed.bytes);
        page.family("pinhole_lookups_total", "counter", "Hosts that somebody wanted, by where they were.");
        let Lookups { here, elsewhere, away, nowhere } = self.lookups;
        for (result, count) in [("here", here), ("elsewhere", elsewhere), ("away", away), ("nowhere", nowhere)] {
            page.sample("pinhole_lookups_total", &[("result", result)], count);
        }
        if let Some(DirectoryMetrics { is_up, found, absent, away }) = self.directory {
            let help = "Whether the directory of the cluster answers.";
            page.single("pinhole_directory_up", "gauge", help, u8::from(is_up));
            page.family("pinhole_directory_lookups_total", "counter", "Look-ups of hosts in the directory, by result.");
            for (result, count) in [("found", found), ("absent", absent), ("away", away)] {
                page.sample("pinhole_directory_lookups_total", &[("result", result)], count);
            }
        }
        let help = "Registrations that replaced an earlier connection.";
        page.single("pinhole_replacements_total", "counter", help, self.replacements);
        page.single("pinhole_clients", "gauge", "Clients that are connected to hosts.", self.clients);
        page.single("pinhole_conversations_total", "counter", "Clients that joined a host.", self.conversations);
        page.moved(
            "pinhole_relayed_bytes_total",
            "Payload that was passed on between clients and hosts.",
            self.relayed,
        );
        page.family("pinhole_refusals_total", "counter", "Who was refused or given up, by reason.");
        for (refusal, count) in Refusal::ALL.iter().zip(self.refusals) {
            page.sample("pinhole_refusals_total", &[("reason", refusal.as_str())], count);
        }
        page.single("pinhole_gateway_requests", "gauge", "Requests to the gateway that are under way.", self.requests);
        page.family("pinhole_gateway_requests_total", "counter", "Answers of the gateway, by status.");
        for (status, count) in (FIRST_STATUS..).zip(self.statuses.iter()).filter(|(_, count)| **count > 0) {
            page.sample("pinhole_gateway_requests_total", &[("status", &status.to_string())], count);
        }
        let help = "Time from the head of a request to that of its answer.";
        page.histogram("pinhole_gateway_request_seconds", help, &self.answers);
        let help = "Bodies of requests and answers, and data after an upgrade.";
        page.moved("pinhole_gateway_bytes_total", help, self.gateway);
        let help = "Connections that hosts were asked to dial for the proxy.";
        page.single("pinhole_dials_total", "counter", help, self.dials);
        page.0
    }
}

impl Histogram {
    /// Returns the duration within which such a part of all were, in seconds, as if those of a bucket were spread
    /// evenly.
    fn quantile(&self, part: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let (mut below, mut from) = (0.0, 0.0);
        let wanted = part * self.count as f64;
        for (bound, count) in BUCKETS.iter().zip(self.buckets) {
            let count = count as f64;
            if count > 0.0 && below + count >= wanted {
                return Some(from + (bound - from) * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            (below, from) = (below + count, *bound);
        }
        Some(from)
    }

    fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound);
        // A duration above every bound is only in the count.
        if let Some(count) = bucket.and_then(|index| self.buckets.get_mut(index)) {
            *count += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }
}

/// The text so far.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        match labels.is_empty() {
            true => self.line(format_args!("{name} {value}")),
            false => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn moved(&mut self, name: &str, help: &str, moved: Moved) {
        self.family(name, "counter", help);
        self.sample(name, &[("direction", "to_host")], moved.to_host);
        self.sample(name, &[("direction", "to_client")], moved.to_client);
    }

    fn directions(&mut self, name: &str, help: &str, counted: Directions) {
        self.family(name, "counter", help);
        self.sample(name, &[("direction", "to_peers")], counted.to_peers);
        self.sample(name, &[("direction", "from_peers")], counted.from_peers);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
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
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
