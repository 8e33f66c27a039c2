//! Invitations while the host runs: what is said of them, and what ends with them.

use log::info;

use super::Host;
use super::invitations::{Clocks, Entry, Origin, Unmade};
use super::links::Phase;
use super::reverse::ReverseKey;
use super::uplink::Uplink;
use crate::config::{ConfigError, Invitation};
use crate::net::system;
use crate::run::deadlines::{Due, HostDue};
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::rights::Serial;
use crate::signaling::invitation::{InvitationId, Lapse};
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;

/// Why an invitation is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// It contradicts itself, or the host's settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another invitation has its id.
    #[error("another invitation has that id")]
    IdTaken,
    /// There are as many as a host may have.
    #[error("there are as many invitations as a host may have: take one back")]
    TooMany,
    /// Its end is in the past.
    #[error("the end of the invitation is in the past")]
    Past,
    /// The host has ended.
    #[error("the host has ended")]
    Ended,
}

impl From<Unmade> for InviteError {
    fn from(unmade: Unmade) -> InviteError {
        match unmade {
            Unmade::IdTaken => InviteError::IdTaken,
            Unmade::TooMany => InviteError::TooMany,
        }
    }
}

impl Host {
    fn clocks(&self) -> Clocks {
        Clocks { now: self.core.turn.now, day: system::time_of_day() }
    }

    /// Makes an invitation while the host runs. Returns its serial.
    pub(in crate::run) fn make_invitation(&mut self, invitation: Invitation) -> Result<Serial, InviteError> {
        invitation.validate(&self.config)?;
        if self.is_ending() {
            return Err(InviteError::Ended);
        }
        let serial = self.invitations.make(self.clocks(), invitation, Origin::Made)?.serial;
        self.expire_invitations();
        self.report_invitations();
        Ok(serial)
    }

    /// Makes the invitations of the settings. One that cannot be made is warned of.
    pub(super) fn make_configured(&mut self, invitations: Vec<Invitation>) {
        for invitation in invitations {
            let label = invitation.label.clone();
            if let Err(unmade) = self.invitations.make(self.clocks(), invitation, Origin::Settings) {
                self.core.turn.warn("invitation", format!("the invitation {label} is not made: {unmade}"));
            }
        }
    }

    /// Makes and revokes invitations so that those of the settings are the present ones.
    pub(super) fn follow_invitations(&mut self, before: &[Invitation]) {
        let wanted = self.config.invitations.clone();
        let is_gone = |invitation: &Invitation| !wanted.contains(invitation);
        let counting = self.invitations.counting();
        let own = counting.filter(|entry| entry.origin == Origin::Settings && is_gone(&entry.invitation));
        let gone: Vec<Serial> = own.map(|entry| entry.serial).collect();
        gone.into_iter().for_each(|serial| self.revoke(serial, "the settings do not have it any more"));
        // One that ended while it stood in the settings does not begin anew.
        self.make_configured(wanted.into_iter().filter(|invitation| !before.contains(invitation)).collect());
        self.expire_invitations();
        self.report_invitations();
    }

    /// Returns the invitation with this id that counts.
    pub(in crate::run) fn invitation(&self, id: &InvitationId) -> Option<Serial> {
        self.invitations.counting().find(|entry| entry.id == *id).map(|entry| entry.serial)
    }

    /// Takes an invitation back. Its sessions end.
    pub(in crate::run) fn revoke(&mut self, serial: Serial, reason: &str) {
        let Some((id, label)) = self.end_invitation(serial, Lapse::Revoked) else { return };
        self.core.turn.report(&Event::InvitationRevoked { id, label, reason: reason.to_owned() });
    }

    /// Ends the invitations whose time is over, and sees to it that the next one ends in time.
    pub(super) fn expire_invitations(&mut self) {
        for serial in self.invitations.expired(self.clocks()) {
            if let Some((id, label)) = self.end_invitation(serial, Lapse::Expired) {
                self.core.turn.report(&Event::InvitationExpired { id, label });
            }
        }
        let now = self.core.turn.now;
        let armed = self.invitations_due.filter(|at| *at > now);
        self.invitations_due = armed;
        if let Some(at) = self.invitations.poll_timeout(now)
            && armed.is_none_or(|armed| at < armed)
        {
            self.invitations_due = Some(at);
            self.core.turn.deadlines.add(at, Due::Host(HostDue::Invitations));
        }
    }

    /// Has an invitation count no more, and ends what began by it. Returns its id and label.
    fn end_invitation(&mut self, serial: Serial, lapse: Lapse) -> Option<(InvitationId, String)> {
        if !self.invitations.end(self.core.turn.now, serial, lapse) {
            return None;
        }
        for session in self.core.sessions.of_invitation(serial) {
            self.lapse(session, lapse);
        }
        for key in self.asking_of(serial) {
            if let Phase::Asking(entrant) = std::mem::replace(&mut self.links[key].phase, Phase::Closing) {
                self.approval.iter_mut().for_each(|approval| approval.forget(key.number()));
                self.say_lapsed(key, entrant.established, lapse);
            }
        }
        let entry = self.invitations.get(serial)?;
        info!("invitation={entry} {}", lapse.as_str());
        Some((entry.id.clone(), entry.invitation.label.clone()))
    }

    /// Ends a session that began by an invitation.
    fn lapse(&mut self, session: SessionKey, lapse: Lapse) {
        let own = self.reverse.iter().filter(|(_, entry)| entry.session() == session);
        let listeners: Vec<ReverseKey> = own.map(|(key, _)| key).collect();
        listeners.into_iter().for_each(|key| self.close_listener(key));
        if let Some(entry) = self.core.sessions.get_mut(session) {
            entry.session.lapse(self.core.turn.now, lapse);
            self.core.sessions.touch(session);
        }
    }

    /// Returns how many sessions an invitation has, those included that a person is asked about.
    pub(super) fn sessions_of(&self, serial: Serial) -> usize {
        self.core.sessions.of_invitation(serial).len() + self.asking_of(serial).len()
    }

    /// Returns the links of an invitation that a person is asked about.
    fn asking_of(&self, serial: Serial) -> Vec<LinkKey> {
        self.links.of(|phase| match phase {
            Phase::Asking(entrant) => entrant.rights.as_ref().is_some_and(|rights| rights.serial == serial),
            _ => false,
        })
    }

    /// Returns the addresses where clients come in, without a pin.
    pub(super) fn addresses(&self) -> Vec<SignalingUrl> {
        let uplink = self.registered().and(self.uplink.as_ref());
        let own = self.config.public_url.clone().or_else(|| self.far_url());
        own.into_iter().chain(uplink.map(Uplink::client_url)).collect()
    }

    /// Reports the invitations, at each address once.
    pub(super) fn report_invitations(&mut self) {
        let addresses = self.addresses();
        for entry in self.invitations.counting_mut() {
            entry.reported.retain(|known| addresses.contains(known));
            let new: Vec<SignalingUrl> =
                addresses.iter().filter(|address| !entry.reported.contains(address)).cloned().collect();
            for address in new {
                self.core.turn.report(&entry.event(&address));
                entry.reported.push(address);
            }
        }
    }
}

impl Entry {
    /// Returns what is reported of it for an address where clients come in.
    fn event(&self, address: &SignalingUrl) -> Event {
        Event::Invitation {
            id: self.id.clone(),
            label: self.invitation.label.clone(),
            url: address.inviting(&self.id).with_pin(&self.pin),
            pin: self.pin.reveal().to_owned(),
            services: self.invitation.services.clone(),
            expires: self.ends_at(),
            once: self.invitation.once,
        }
    }
}
