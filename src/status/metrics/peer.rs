//! Metrics of a host or a client. No label names a peer, so there are as many lines as the settings have services.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::page::{Histogram, Page};
use crate::status::event::Way;
use crate::status::snapshot::{SessionState, Snapshot};
use crate::status::text::sanitize;

/// Maximum number of names of services that are told apart. A client's host chooses the names.
const MAX_SERVICES: usize = 256;

/// Maximum length of the name of a service as a label, in characters.
const MAX_NAME: usize = 64;

/// Upper bounds of the buckets for round trips, in seconds.
const ROUND_TRIP_BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// Upper bounds of the buckets for the times without a path, in seconds.
const RECOVERY_BOUNDS: [f64; 10] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// How a session ended, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndClass {
    /// This side ended it.
    Local,
    /// The peer ended it.
    Peer,
    /// The peer restarts.
    Restart,
    /// The peer only checked whether it could connect.
    Visit,
    /// Its invitation does not count any more.
    Lapsed,
    /// No path was found.
    NoPath,
    /// The path was lost and did not come back.
    PathLost,
    /// The peer's process does not know the session any more.
    Replaced,
    /// The signaling connection was lost before there was a path.
    SignalingLost,
    /// The peer broke the protocol, or the connection failed.
    Failed,
}

impl EndClass {
    /// Number of classes.
    const COUNT: usize = EndClass::ALL.len();

    const ALL: [EndClass; 10] = [
        EndClass::Local,
        EndClass::Peer,
        EndClass::Restart,
        EndClass::Visit,
        EndClass::Lapsed,
        EndClass::NoPath,
        EndClass::PathLost,
        EndClass::Replaced,
        EndClass::SignalingLost,
        EndClass::Failed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            EndClass::Local => "local",
            EndClass::Peer => "peer",
            EndClass::Restart => "restart",
            EndClass::Visit => "visit",
            EndClass::Lapsed => "lapsed",
            EndClass::NoPath => "no-path",
            EndClass::PathLost => "path-lost",
            EndClass::Replaced => "replaced",
            EndClass::SignalingLost => "signaling-lost",
            EndClass::Failed => "failed",
        }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamResult {
    /// Both directions ended in order.
    Closed,
    /// It was reset, or its session ended.
    Failed,
    /// It never opened: it was denied, or its target was not reached.
    Refused,
}

/// Names what a stream is for: a service, or one of the kinds that have no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

impl Label {
    /// A target that a program or a peer named.
    pub const DIAL: Label = Label(0);
    /// A target that a program named to the proxy of a client.
    pub const PROXY: Label = Label(1);
    /// A reverse forward.
    pub const REVERSE: Label = Label(2);
    /// A service beyond those that are told apart, or one that there is not.
    pub const OTHER: Label = Label(3);

    const FIXED: [&str; 4] = ["dial", "proxy", "reverse", "other"];
}

/// What is counted of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServiceCount {
    /// Payload to the peers.
    pub sent: u64,
    /// Payload from the peers.
    pub received: u64,
    /// Streams that are open.
    pub open: u64,
    /// Streams that ended in order.
    pub closed: u64,
    /// Streams that failed.
    pub failed: u64,
    /// Streams that never opened.
    pub refused: u64,
}

/// What a host or a client counts. What is present is in its [`Snapshot`].
#[derive(Debug)]
pub struct PeerMetrics {
    services: Vec<(String, ServiceCount)>,
    labels: HashMap<String, Label>,
    ends: [u64; EndClass::COUNT],
    /// Sessions over which messages passed.
    pub begun: u64,
    /// How often a session lost its path.
    pub path_losses: u64,
    /// Guesses of a pin that were wrong.
    pub wrong_pins: u64,
    /// Packets that SCTP sent again.
    pub retransmissions: u64,
    round_trips: Histogram,
    recoveries: Histogram,
    start: SystemTime,
}

impl PeerMetrics {
    /// Creates metrics that begin at zero, for a process that was started at `start`.
    pub fn new(start: SystemTime) -> PeerMetrics {
        let mut metrics = PeerMetrics {
            services: Vec::new(),
            labels: HashMap::new(),
            ends: [0; EndClass::COUNT],
            begun: 0,
            path_losses: 0,
            wrong_pins: 0,
            retransmissions: 0,
            round_trips: Histogram::new(&ROUND_TRIP_BOUNDS),
            recoveries: Histogram::new(&RECOVERY_BOUNDS),
            start,
        };
        Label::FIXED.into_iter().for_each(|name| _ = metrics.label(name));
        metrics
    }

    /// Returns the label of a service. A service with the name of a kind is counted with that.
    pub fn label(&mut self, name: &str) -> Label {
        let name = sanitize(name, MAX_NAME);
        if let Some(label) = self.labels.get(&name) {
            return *label;
        }
        if self.services.len() >= MAX_SERVICES + Label::FIXED.len() {
            return Label::OTHER;
        }
        let label = Label(self.services.len());
        self.services.push((name.clone(), ServiceCount::default()));
        self.labels.insert(name, label);
        label
    }

    /// Returns what is counted of a service.
    pub fn service(&self, name: &str) -> ServiceCount {
        let name = sanitize(name, MAX_NAME);
        let label = self.labels.get(&name);
        label.and_then(|label| self.services.get(label.0)).map(|(_, count)| *count).unwrap_or_default()
    }

    fn count(&mut self, label: Label, change: impl FnOnce(&mut ServiceCount)) {
        if let Some((_, count)) = self.services.get_mut(label.0) {
            change(count);
        }
    }

    /// Counts a stream that opened.
    pub fn opened(&mut self, label: Label) {
        self.count(label, |count| count.open += 1);
    }

    /// Counts the end of a stream; one that was [opened](PeerMetrics::opened) is closed or failed.
    pub fn ended(&mut self, label: Label, result: StreamResult) {
        self.count(label, |count| {
            let open = count.open.saturating_sub(1);
            match result {
                StreamResult::Closed => (count.open, count.closed) = (open, count.closed + 1),
                StreamResult::Failed => (count.open, count.failed) = (open, count.failed + 1),
                StreamResult::Refused => count.refused += 1,
            }
        });
    }

    /// Counts payload of a stream: to the peer, and from it.
    pub fn moved(&mut self, label: Label, sent: u64, received: u64) {
        self.count(label, |count| {
            count.sent += sent;
            count.received += received;
        });
    }

    /// Counts a round trip that was measured.
    pub fn round_trip(&mut self, time: Duration) {
        self.round_trips.add(time);
    }

    /// Counts a session over which messages pass again, after so long.
    pub fn recovered(&mut self, after: Duration) {
        self.recoveries.add(after);
    }

    /// Counts the end of a session.
    pub fn session_ended(&mut self, class: EndClass) {
        if let Some(count) = self.ends.get_mut(class as usize) {
            *count += 1;
        }
    }

    /// Returns the metrics in Prometheus' text format.
    pub fn render(&self, present: &Snapshot) -> String {
        let mut page = Page::begin(self.start);
        self.add_sessions(&mut page, present);
        self.add_services(&mut page);
        let help = "Times that the peer of a session stopped answering.";
        page.single("pinhole_path_losses_total", "counter", help, self.path_losses);
        let help = "Times that messages of a session passed again.";
        page.single("pinhole_recoveries_total", "counter", help, self.recoveries.count());
        let help = "How long messages did not pass until they passed again.";
        page.histogram("pinhole_recovery_seconds", help, &self.recoveries);
        let help = "Invitations that count.";
        page.single("pinhole_invitations", "gauge", help, present.invitations.len());
        page.single("pinhole_wrong_pins_total", "counter", "Guesses of a pin that were wrong.", self.wrong_pins);
        let help = "Packets that were sent again on direct paths.";
        page.single("pinhole_retransmissions_total", "counter", help, self.retransmissions);
        let bandwidth: u64 = present.sessions.iter().filter_map(|session| session.bandwidth_per_s).sum();
        let help = "Estimated bandwidth to the peers on direct paths, as far as it is known, summed up.";
        page.single("pinhole_bandwidth_bytes_per_second", "gauge", help, bandwidth);
        page.finish()
    }

    fn add_sessions(&self, page: &mut Page, present: &Snapshot) {
        const STATES: [(&str, SessionState); 4] = [
            ("connecting", SessionState::Connecting),
            ("connected", SessionState::Connected),
            ("recovering", SessionState::Recovering),
            ("ending", SessionState::Ending),
        ];
        page.family("pinhole_sessions", "gauge", "Sessions with peers, by path and state.");
        for (path, direct) in [("direct", true), ("relayed", false)] {
            for (name, state) in STATES {
                let is_such = |way: &Way| matches!(way, Way::Direct { .. }) == direct;
                let sessions = present.sessions.iter();
                let count = sessions.filter(|session| session.state == state && is_such(&session.way)).count();
                page.sample("pinhole_sessions", &[("path", path), ("state", name)], count);
            }
        }
        let help = "Sessions over which messages passed.";
        page.single("pinhole_sessions_begun_total", "counter", help, self.begun);
        page.family("pinhole_sessions_ended_total", "counter", "Sessions that ended, by reason.");
        for (class, count) in EndClass::ALL.into_iter().zip(self.ends) {
            page.sample("pinhole_sessions_ended_total", &[("reason", class.as_str())], count);
        }
        page.histogram("pinhole_round_trip_seconds", "Round trips that were measured.", &self.round_trips);
    }

    fn add_services(&self, page: &mut Page) {
        page.family("pinhole_streams", "gauge", "Streams that are open, by service.");
        for (name, count) in &self.services {
            page.sample("pinhole_streams", &[("service", name)], count.open);
        }
        page.family("pinhole_streams_total", "counter", "Streams that ended, by service and result.");
        for (name, count) in &self.services {
            for (result, count) in [("closed", count.closed), ("failed", count.failed), ("refused", count.refused)] {
                page.sample("pinhole_streams_total", &[("service", name), ("result", result)], count);
            }
        }
        page.family("pinhole_bytes_total", "counter", "Payload of streams, by service and direction.");
        for (name, count) in &self.services {
            for (direction, bytes) in [("sent", count.sent), ("received", count.received)] {
                page.sample("pinhole_bytes_total", &[("service", name), ("direction", direction)], bytes);
            }
        }
    }
}
