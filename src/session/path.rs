//! Which path is reported, and why it is not direct.

use std::net::SocketAddr;

use super::event::{Event, Path};
use super::state::State;
use super::{Session, diagnosis};
use crate::signaling::network::Network;

impl Session {
    /// Returns the addresses between which the peers talk, the peer's first; `None` while they are relayed.
    pub fn peer_path(&self) -> Option<(SocketAddr, SocketAddr)> {
        let path = self.current_direct().and_then(|direct| direct.connection.path())?;
        Some((path.remote, path.local))
    }

    /// Reports the path, if it changed.
    pub(super) fn report_path(&mut self, reason: String) {
        let path = self.path();
        if self.reported.as_ref() != Some(&path) {
            self.reported = Some(path.clone());
            self.events.push_back(Event::PathChanged { path, reason });
        }
    }

    /// Returns the path that messages take.
    pub fn path(&self) -> Path {
        let direct = self.current_direct().and_then(|direct| direct.connection.path());
        direct.map_or_else(|| Path::Relayed { reason: self.why_relayed() }, Path::Direct)
    }

    /// Updates the reason for relaying, if more is known.
    pub(super) fn update_reason(&mut self) {
        if matches!(self.reported, Some(Path::Relayed { .. })) && !self.is_direct() && self.state == State::Established
        {
            self.report_path("more is known of the networks".to_owned());
        }
    }

    fn why_relayed(&self) -> String {
        let theirs = self.theirs.unwrap_or_else(|| Network::unknown(true, true));
        if !self.ours.direct || !theirs.direct {
            let side = if self.ours.direct { "the other side" } else { "this side" };
            return format!("{side} was started with --relay-only");
        }
        if self.asked.is_some() || self.carriers.attempt().is_some() {
            return "a direct path is still being looked for".to_owned();
        }
        diagnosis::diagnose(self.role, &self.ours, &theirs).why_not_direct()
    }
}
