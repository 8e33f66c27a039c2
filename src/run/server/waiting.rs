//! Who waits for an answer of the directory, and goes on with it.

use super::Server;
use super::phase::Phase;
use super::visitor::WebKey;
#[cfg(unix)]
use crate::address::Target;
use crate::gateway::{Request, Stage};
use crate::run::keys::LinkKey;
#[cfg(unix)]
use crate::run::opener;
use crate::signaling::rendezvous::HostId;

/// Something that goes on once it is known where a host is.
pub(super) enum Waiting {
    /// A client that wants to join it.
    Client(LinkKey),
    /// A client whose host was not where it should be.
    Follower(LinkKey),
    /// A visitor's request, or that of a program at the proxy.
    Request(WebKey, Box<Request>),
    /// A request whose host was not where it should be.
    FollowingRequest(WebKey),
    /// A dial of another thread.
    #[cfg(unix)]
    Dial(Box<opener::Request<Wanted>>),
}

/// A host, and the target that it is to dial for another thread.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: HostId,
    pub(super) target: Target,
}

impl Server {
    /// Has something go on once the directory has answered where a host is.
    pub(super) fn wait_for(&mut self, id: &HostId, waiting: Waiting) {
        self.waiting.entry(id.clone()).or_default().push(waiting);
    }

    /// Goes on with everything that waited for a host.
    pub(super) fn go_on(&mut self, id: &HostId) {
        for waiting in self.waiting.remove(id).unwrap_or_default() {
            match waiting {
                Waiting::Client(key) => self.seek_ended(key, id),
                Waiting::Follower(key) => self.follow_client(key),
                Waiting::Request(key, request) => {
                    // Its visitor may have left, or it took too long.
                    if self.webs.get(key).is_some_and(|web| web.visit.exchange.stage() == Stage::Routing) {
                        self.route(key, &request);
                        self.pump_web(key);
                    }
                }
                Waiting::FollowingRequest(key) => {
                    self.go_on_following(key);
                    self.pump_web(key);
                }
                #[cfg(unix)]
                Waiting::Dial(request) => self.handle_dial(*request),
            }
        }
    }

    /// Has a client wait, unread, until it is known where its host is.
    pub(super) fn seek(&mut self, key: LinkKey, id: &HostId) {
        if let Some(link) = self.links.get_mut(key) {
            link.phase = Phase::Seeking;
            self.wait_for(id, Waiting::Client(key));
        }
    }

    fn seek_ended(&mut self, key: LinkKey, id: &HostId) {
        if self.is_seeking(key) {
            self.join(key, id);
            self.links.poll_later(&mut self.core.turn, key);
        }
    }

    pub(super) fn is_seeking(&self, key: LinkKey) -> bool {
        self.links.get(key).is_some_and(|link| matches!(link.phase, Phase::Seeking))
    }
}
