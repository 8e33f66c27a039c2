//! What a host is doing at a moment.

use super::{Host, Stage};
use crate::run::keys::SessionKey;
use crate::signaling::invitation::InvitationId;
use crate::status::metrics::peer::ServiceCount;
use crate::status::snapshot::{ServiceStatus, SessionStatus, Side, Snapshot, Stage as Shown};

impl Host {
    /// Returns what this host is doing.
    pub(super) fn survey(&mut self) -> Snapshot {
        let sessions = self.core.survey().into_iter();
        let tally = &self.core.turn.tally;
        let shown = |service: &crate::config::SharedService| {
            let ServiceCount { sent, received, open, .. } = tally.service(&service.name);
            let (name, target) = (service.name.clone(), Some(service.endpoint.to_string()));
            ServiceStatus { name, target, sent, received, streams: open }
        };
        let stage = match self.stage {
            Stage::Serving => Shown::Serving,
            Stage::Ending(_) | Stage::Over(_) => Shown::Ending,
        };
        Snapshot {
            listen: self.local_addr(),
            url: self.addresses().first().map(ToString::to_string),
            id: self.registered().and(self.config.server.as_ref()).map(|registration| registration.id.clone()),
            sessions: sessions.map(|(key, status)| self.complete(key, status)).collect(),
            services: self.core.dialer.services.iter().map(shown).collect(),
            invitations: self.list_invitations(),
            ..Snapshot::new(Side::Host, stage)
        }
    }

    /// Returns what this host counts, in Prometheus' text format.
    pub(super) fn count(&mut self) -> String {
        let present = self.survey();
        self.core.turn.tally.render(&present)
    }

    fn complete(&self, key: SessionKey, status: SessionStatus) -> SessionStatus {
        let link = self.link_of(key).and_then(|link| self.links.get(link));
        SessionStatus { signaling: link.map(|link| link.remote), invitation: self.invitation_of(key), ..status }
    }

    /// Returns the invitation by which a session began.
    fn invitation_of(&self, session: SessionKey) -> Option<InvitationId> {
        let rights = self.core.sessions.get(session)?.rights.as_ref()?;
        self.invitations.get(rights.serial).map(|entry| entry.id.clone())
    }
}
