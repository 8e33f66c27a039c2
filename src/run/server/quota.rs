//! How sources share the places of the server, and who gives way.

use std::net::SocketAddr;

use super::Server;
use super::visitor::{MAX_CONNECTIONS, WebKey};
use crate::gateway::{Refusal, Stage};
use crate::run::keys::{LinkKey, SessionKey};
use crate::run::links::Link;
use crate::shares::{Admission, Source, Standing};
use crate::status::refusal::Refusal as Counted;

/// Maximum number of connections without a request.
pub(super) const MAX_ASKING: usize = 4096;

/// Maximum number of incomplete heads of visitors longer than [`LONG_HEAD`], which share one budget.
pub(super) const MAX_LONG_HEADS: usize = 512;

/// Longest incomplete head without a place of its own, in bytes. Heads of browsers usually come in one piece.
const LONG_HEAD: usize = 1024;

/// Maximum number of streams to one host that carry requests: a host that answers none must not take everything the
/// server has.
pub(super) const MAX_REQUESTS: usize = 1024;

/// Maximum number of streams to one host, including those that only wait for a last acknowledgement and are not counted
/// as requests.
pub(super) const MAX_STREAMS: usize = 2 * MAX_REQUESTS;

/// When visitors should try again if there are too many, in seconds.
pub(super) const RETRY_AFTER: u32 = 1;

/// Reason for dropping a link.
const GAVE_WAY: &str = "others came";

/// Returns the source of a connection.
pub(super) fn source(remote: SocketAddr) -> Source {
    Source::of(remote.ip())
}

impl Server {
    /// Divides the descriptors: visitors get half of them, so that hosts and clients always have theirs.
    pub(super) fn fit_places(&mut self, descriptors: u64) {
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        if descriptors > 0 {
            self.visitors.set_places(MAX_CONNECTIONS.min(descriptors / 2));
            self.asking.set_places(MAX_ASKING.min(descriptors / 4));
        }
    }

    /// Drops a connection without a request, of the largest source, because no descriptors are left.
    pub(super) fn free_descriptor(&mut self) -> bool {
        if let Some(key) = self.asking.first_to_go() {
            self.drop_link(key, GAVE_WAY);
        } else if let Some(key) = self.visitors.first_to_go() {
            self.drop_web(key);
        } else {
            return false;
        }
        true
    }

    /// Makes a place for a connection that is about to send its request.
    pub(super) fn make_place_for_asking(&mut self, source: Source) -> bool {
        let admission = self.asking.admit(source, rand::random());
        self.make_way(admission, |server, other| server.drop_link(other, GAVE_WAY))
    }

    /// Makes a place for a host that may register.
    pub(super) fn make_place_for_host(&mut self, key: LinkKey) -> bool {
        let Some(source) = self.links.get(key).map(Link::source) else { return false };
        let admission = self.hosts.admit(source, rand::random());
        self.make_way(admission, |server, other| {
            server.refuse(other, Counted::Busy, "there are too many hosts from its address");
        })
    }

    /// Makes a place for a client, on the server and at its host.
    pub(super) fn make_place_for_client(&mut self, key: LinkKey, host: LinkKey) -> bool {
        let Some(source) = self.links.get(key).map(Link::source) else { return false };
        let give_up = |server: &mut Server, other| {
            server.refuse(other, Counted::Busy, "there are too many clients from its address");
        };
        let Some(state) = self.host(host) else { return false };
        let admission = state.clients.admit(source, rand::random());
        if !self.make_way(admission, give_up) {
            return false;
        }
        let admission = self.clients.admit(source, rand::random());
        if !self.make_way(admission, give_up) {
            return false;
        }
        self.asking.leave(key);
        self.clients.enter(key, source, Standing::Settled);
        self.host(host).into_iter().for_each(|host| host.clients.enter(key, source, Standing::Settled));
        true
    }

    /// Makes a place on this server for a client whose host is at another.
    pub(super) fn make_place_for_distant(&mut self, key: LinkKey) -> bool {
        let Some(source) = self.links.get(key).map(Link::source) else { return false };
        let admission = self.clients.admit(source, rand::random());
        let has_place = self.make_way(admission, |server, other| {
            server.refuse(other, Counted::Busy, "there are too many clients from its address");
        });
        if has_place {
            self.asking.leave(key);
            self.clients.enter(key, source, Standing::Settled);
        }
        has_place
    }

    /// Makes a place for the connection of a visitor. Without a place, it may still be told so.
    pub(super) fn make_place_for_visitor(&mut self, source: Source) -> bool {
        let admission = self.visitors.admit(source, rand::random());
        self.make_way(admission, |server, other| {
            server.metrics.refused(Counted::Busy);
            server.drop_web(other);
        })
    }

    /// Makes a place for a request among those of its host.
    pub(super) fn make_place_for_request(&mut self, key: WebKey, session: SessionKey) -> bool {
        let Some(remote) = self.webs.get(key).map(|web| web.remote) else { return false };
        let Some(host) = self.sessions.get(&session).copied().and_then(|host| self.host(host)) else { return false };
        let admission = host.requests.admit(source(remote), rand::random());
        self.make_way(admission, |server, other| {
            // A connection that is between requests just opens another stream for the next.
            let busy = server.webs.get_mut(other).filter(|web| web.is_busy());
            if let Some(web) = busy {
                web.visit.exchange.refuse(Refusal::TooMany { retry_after: RETRY_AFTER });
                server.metrics.refused(Counted::Busy);
            }
            server.end_stream(other);
            server.pump_web(other);
        })
    }

    /// Makes a place for a long incomplete head. Returns false if the connection is gone.
    pub(super) fn make_place_for_head(&mut self, key: WebKey) -> bool {
        let Some(web) = self.webs.get(key) else { return false };
        if web.visit.exchange.head_so_far() <= LONG_HEAD {
            self.heads.leave(key);
            return true;
        }
        if self.heads.holds(key) {
            return true;
        }
        let source = source(web.remote);
        let admission = self.heads.admit(source, rand::random());
        let has_place = self.make_way(admission, |server, other| {
            server.metrics.refused(Counted::Busy);
            server.drop_web(other);
        });
        if has_place {
            self.heads.enter(key, source, Standing::Asking);
        } else {
            self.drop_web(key);
        }
        has_place
    }

    /// Sets the source of a visitor, once its request shows it.
    pub(super) fn note_visitor(&mut self, key: WebKey) {
        let Some(web) = self.webs.get(key) else { return };
        let (source, session) = (source(web.remote), web.session());
        self.visitors.set_source(key, source);
        if let Some(host) = session.and_then(|session| self.sessions.get(&session).copied())
            && let Some(host) = self.host(host)
        {
            host.requests.set_source(key, source);
        }
    }

    /// Sets the standing of a visitor's connection.
    pub(super) fn note_standing(&mut self, key: WebKey) {
        let Some(web) = self.webs.get_mut(key) else { return };
        let standing = match web.stage() {
            Stage::AwaitingAnswer | Stage::Answering | Stage::Piped => Standing::Settled,
            _ if web.is_busy() => Standing::Asking,
            _ => Standing::Idle,
        };
        if std::mem::replace(&mut web.standing, standing) == standing {
            return;
        }
        let session = web.session();
        self.visitors.set(key, standing);
        if let Some(host) = session.and_then(|session| self.sessions.get(&session).copied())
            && let Some(host) = self.host(host)
        {
            host.requests.set(key, standing);
        }
    }

    fn make_way<K>(&mut self, admission: Admission<K>, give_up: impl FnOnce(&mut Server, K)) -> bool {
        match admission {
            Admission::Free => true,
            Admission::InsteadOf(other) => {
                give_up(self, other);
                true
            }
            Admission::Full => false,
        }
    }
}
