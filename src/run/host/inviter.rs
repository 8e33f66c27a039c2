//! Invitations that other threads make, look at and take back while the host runs.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::Host;
use super::inviting::InviteError;
use crate::config::Invitation;
use crate::net::system::Waker;
use crate::run::rights::Serial;
use crate::signaling::invitation::InvitationId;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::status::snapshot::InvitationStatus;

/// Requests that wait for the loop.
const MAX_WAITING: usize = 64;

/// An invitation that was made. `Debug` shows no pin.
#[derive(Clone)]
#[non_exhaustive]
pub struct Issued {
    /// Its public id.
    pub id: InvitationId,
    /// Its pin.
    pub pin: Pin,
    /// The URLs for its clients at present, pin included: on this machine, and through the server.
    pub urls: Vec<String>,
    /// When it ends.
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("id", &self.id).field("expires", &self.expires).finish_non_exhaustive()
    }
}

enum Request {
    Make(Box<Invitation>, Sender<Result<Issued, InviteError>>),
    List(Sender<Vec<InvitationStatus>>),
    Revoke(InvitationId, Sender<bool>),
}

/// The threads' side.
pub(crate) struct Inviter {
    requests: Sender<Request>,
    /// Disconnects when the loop ends. Requests in its queue would otherwise wait in vain.
    gone: Receiver<()>,
    waker: Arc<Waker>,
}

impl fmt::Debug for Inviter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inviter")
    }
}

/// The loop's side.
pub(super) struct Inviters {
    receiver: Receiver<Request>,
    requests: Sender<Request>,
    gone: Receiver<()>,
    _alive: Sender<()>,
}

impl Inviters {
    pub(super) fn new() -> Inviters {
        let (requests, receiver) = bounded(MAX_WAITING);
        let (alive, gone) = bounded(0);
        Inviters { receiver, requests, gone, _alive: alive }
    }
}

impl Inviter {
    /// Makes an invitation.
    pub(crate) fn make(&self, invitation: Invitation) -> Result<Issued, InviteError> {
        let invitation = Box::new(invitation);
        self.ask(|answer| Request::Make(invitation, answer)).unwrap_or(Err(InviteError::Ended))
    }

    /// Returns the invitations that count.
    pub(crate) fn list(&self) -> Vec<InvitationStatus> {
        self.ask(Request::List).unwrap_or_default()
    }

    /// Takes an invitation back. Returns false if there is none.
    pub(crate) fn revoke(&self, id: &InvitationId) -> bool {
        self.ask(|answer| Request::Revoke(id.clone(), answer)).unwrap_or_default()
    }

    /// Waits for the loop's answer; `None` if the loop has ended.
    fn ask<T>(&self, request: impl FnOnce(Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = bounded(1);
        select! {
            send(self.requests, request(answer)) -> sent => sent.ok()?,
            recv(self.gone) -> _ => return None,
        }
        self.waker.wake().ok()?;
        select! {
            recv(answered) -> answer => answer.ok(),
            // The answer may have come last.
            recv(self.gone) -> _ => answered.try_recv().ok(),
        }
    }
}

impl Host {
    /// Returns a handle that makes invitations from other threads.
    pub(crate) fn inviter(&self) -> Inviter {
        let Inviters { requests, gone, .. } = &self.inviters;
        Inviter { requests: requests.clone(), gone: gone.clone(), waker: self.core.turn.waker() }
    }

    /// Answers the requests of other threads. One that does not wait any more is not told.
    pub(super) fn handle_inviters(&mut self) {
        while let Ok(request) = self.inviters.receiver.try_recv() {
            match request {
                Request::Make(invitation, answer) => {
                    let issued = self.make_invitation(*invitation).and_then(|serial| self.issued(serial, None));
                    let _ = answer.try_send(issued);
                }
                Request::List(answer) => {
                    let _ = answer.try_send(self.list_invitations());
                }
                Request::Revoke(id, answer) => {
                    let _ = answer.try_send(self.take_back(&id));
                }
            }
        }
    }

    /// Takes an invitation back. Returns false if there is none.
    pub(super) fn take_back(&mut self, id: &InvitationId) -> bool {
        let Some(serial) = self.invitation(id) else { return false };
        self.revoke(serial, "it was taken back");
        true
    }

    /// Returns what is passed on of an invitation; clients come in at `public`, too, if that is said.
    pub(super) fn issued(&self, serial: Serial, public: Option<&SignalingUrl>) -> Result<Issued, InviteError> {
        // It is over already if its end was in the past.
        let entry = self.invitations.get(serial).filter(|entry| entry.counts()).ok_or(InviteError::Past)?;
        let others = self.addresses().into_iter().filter(|url| Some(url) != public);
        let urls = public.cloned().into_iter().chain(others);
        let urls = urls.map(|url| url.inviting(&entry.id).with_pin(&entry.pin)).collect();
        Ok(Issued { id: entry.id.clone(), pin: entry.pin.clone(), urls, expires: entry.ends_at() })
    }

    pub(in crate::run) fn list_invitations(&self) -> Vec<InvitationStatus> {
        let status = |entry: &super::invitations::Entry| InvitationStatus {
            id: entry.id.clone(),
            label: entry.invitation.label.clone(),
            services: entry.invitation.services.clone(),
            expires: entry.ends_at(),
            once: entry.invitation.once,
            sessions: self.sessions_of(entry.serial),
        };
        self.invitations.counting().map(status).collect()
    }
}
