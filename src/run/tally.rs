//! What is counted of sessions and their streams, for those who measure a host or a client.

use crate::session::{End, Event, Progress};
use crate::status::event::StreamEnd;
use crate::status::metrics::peer::{EndClass, Label, PeerMetrics, StreamResult};
use crate::tunnel::{ConnectTarget, Mux};

/// What is counted of one session.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SessionTally {
    /// How often the peer stopped answering.
    pub(super) losses: u64,
    /// How often messages passed again.
    pub(super) recoveries: u64,
    /// Packets that were sent again.
    pub(super) retransmissions: u64,
    /// The estimated bandwidth to the peer in bytes a second, while messages travel on a direct path.
    pub(super) bandwidth: Option<u64>,
    /// The connection that was looked at last, and what it had sent again by then.
    looked_at: Option<(u32, u64)>,
}

impl SessionTally {
    /// Counts an event of the session.
    pub(super) fn observe(&mut self, all: &mut PeerMetrics, event: &Event) {
        match event {
            Event::Connected { .. } => all.begun += 1,
            Event::RoundTrip(time) => all.round_trip(*time),
            Event::Recovering { .. } => {
                self.losses += 1;
                all.path_losses += 1;
            }
            Event::Recovered { after, .. } => {
                self.recoveries += 1;
                all.recovered(*after);
            }
            _ => {}
        }
    }

    /// Looks at the connection that carries messages, and at its number; `None` if they are relayed. What a connection
    /// sends again after it was looked at last is not counted.
    pub(super) fn look_at(&mut self, all: &mut PeerMetrics, connection: Option<(u32, Progress)>) {
        self.bandwidth = connection.and_then(|(_, progress)| progress.bandwidth);
        let Some((number, Progress { repeated, .. })) = connection else { return };
        let before = self.looked_at.filter(|(of, _)| *of == number).map_or(0, |(_, before)| before);
        let further = repeated.saturating_sub(before);
        self.retransmissions += further;
        all.retransmissions += further;
        self.looked_at = Some((number, repeated));
    }
}

/// Returns what a stream of a session is counted under.
pub(super) fn label_of(all: &mut PeerMetrics, mux: &Mux, target: &ConnectTarget) -> Label {
    match target {
        ConnectTarget::Service(id) => {
            let of_peer = || mux.peer()?.services.iter().find(|service| service.id == *id);
            let service = mux.service(*id).or_else(of_peer);
            service.map_or(Label::OTHER, |service| all.label(&service.name))
        }
        ConnectTarget::Tcp(_) | ConnectTarget::Udp(_) | ConnectTarget::Unix(_) => Label::DIAL,
        ConnectTarget::Reverse(_) => Label::REVERSE,
    }
}

/// Returns how a stream that was open ended.
pub(super) fn result_of(end: &StreamEnd) -> StreamResult {
    match end {
        StreamEnd::Closed => StreamResult::Closed,
        StreamEnd::Failed(_) => StreamResult::Failed,
    }
}

/// Returns the word for the end of a session.
pub(super) fn class_of(end: &End) -> EndClass {
    match end {
        End::NoPath => EndClass::NoPath,
        End::PathLost => EndClass::PathLost,
        End::Replaced => EndClass::Replaced,
        End::Local => EndClass::Local,
        End::Peer => EndClass::Peer,
        End::Visit => EndClass::Visit,
        End::Lapsed(_) => EndClass::Lapsed,
        End::Restart => EndClass::Restart,
        End::SignalingLost => EndClass::SignalingLost,
        End::Failed(_) | End::Fault(_) => EndClass::Failed,
    }
}
