//! What a client is doing at a moment.

use super::{Client, Stage};
use crate::run::keys::SessionKey;
use crate::status::snapshot::{SessionStatus, Side, Snapshot, Stage as Shown};

impl Client {
    /// Returns what this client is doing.
    pub(super) fn survey(&mut self) -> Snapshot {
        let sessions = self.core.survey().into_iter();
        let url = self.config.urls().nth(self.servers.at()).map(|(url, _)| url);
        let stage = match self.stage {
            Stage::Joining => Shown::Connecting,
            Stage::Serving if self.local.is_connected || self.session.is_some() => Shown::Serving,
            Stage::Serving => Shown::Connecting,
            Stage::Leaving(_) | Stage::Over(_) => Shown::Ending,
        };
        Snapshot {
            url: Some(url.unwrap_or_else(|| self.config.url.clone()).to_string()),
            sessions: sessions.map(|(key, status)| self.complete(key, status)).collect(),
            services: self.local.shown_services(&self.core.turn.tally),
            forwards: self.local.shown_forwards(),
            ..Snapshot::new(Side::Client, stage)
        }
    }

    /// Returns what this client counts, in Prometheus' text format.
    pub(super) fn count(&mut self) -> String {
        let present = self.survey();
        self.core.turn.tally.render(&present)
    }

    fn complete(&self, key: SessionKey, status: SessionStatus) -> SessionStatus {
        let link = self.link_of(key).and_then(|link| self.links.get(link));
        SessionStatus { signaling: link.map(|link| link.remote), ..status }
    }
}
