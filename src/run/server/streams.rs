//! The streams that carry visitors' requests to hosts.

use super::Server;
use super::quota::source;
use super::visitor::{Destination, Web, WebKey};
use crate::address::Protocol;
use crate::cluster::message::MOVED;
use crate::gateway::{Ending, Refusal};
use crate::net::listener::Ends;
use crate::run::connections::stream_hash;
use crate::run::exchange::RequestStream;
use crate::run::keys::SessionKey;
use crate::signaling::rendezvous::HostId;
use crate::tunnel::{self, AbortReason, OpenError, StreamKey};

impl Web {
    /// Tells whether there is a stream for requests, and it leads to this destination.
    pub(super) fn leads_to(&self, destination: &Destination) -> bool {
        self.stream.is_some() && self.destination.as_ref() == Some(destination)
    }

    /// Returns the session of the stream for requests.
    pub(super) fn session(&self) -> Option<SessionKey> {
        self.stream.as_ref().map(|request_stream| request_stream.session)
    }
}

impl Server {
    /// Handles an event of a connection's stream.
    pub(super) fn handle_stream(&mut self, session: SessionKey, event: tunnel::Event) {
        if self.handle_cluster_stream(session, &event) {
            return;
        }
        let (tunnel::Event::Readable(key)
        | tunnel::Event::Writable(key)
        | tunnel::Event::Accepted(key)
        | tunnel::Event::Aborted { key, .. }) = event
        else {
            return;
        };
        let Some(&visitor) = self.streams.get(&(session, key)) else {
            return;
        };
        let Some(web) = self.webs.get_mut(visitor) else { return };
        match event {
            tunnel::Event::Accepted(_) => {
                web.stream.iter_mut().for_each(|stream| stream.is_held = false);
                web.visit.exchange.handle_service_accepted();
            }
            tunnel::Event::Aborted { reason, ref detail, .. } => {
                let was_held = web.stream.take().is_some_and(|stream| stream.is_held);
                self.stream_gone(visitor, session, key);
                let Some(web) = self.webs.get_mut(visitor) else { return };
                if was_held && detail == MOVED && !std::mem::replace(&mut web.has_followed, true) {
                    self.follow_host(visitor);
                    return self.pump_web(visitor);
                }
                web.visit.exchange.handle_service_failed(refusal(reason));
            }
            _ => {}
        }
        self.pump_web(visitor);
    }

    /// Moves bytes between an exchange and its stream.
    pub(super) fn move_stream(&mut self, visitor: WebKey) -> bool {
        let Some(Web { visit, stream: Some(stream), .. }) = self.webs.get_mut(visitor) else { return false };
        let moved = stream.move_bytes(&mut self.core, &mut visit.exchange);
        if moved.is_over {
            self.end_stream(visitor);
        }
        moved.has_moved
    }

    /// Cleans up after a connection's stream that is gone.
    fn stream_gone(&mut self, visitor: WebKey, session: SessionKey, key: StreamKey) {
        self.streams.remove(&(session, key));
        if let Some(host) = self.sessions.get(&session).copied().and_then(|host| self.host(host)) {
            host.requests.leave(visitor);
        }
    }

    /// Ends the stream of a connection that no longer needs it.
    pub(super) fn end_stream(&mut self, visitor: WebKey) {
        let Some(web) = self.webs.get_mut(visitor) else { return };
        let Some(stream) = web.stream.take() else { return };
        let (session, key) = (stream.session, stream.key);
        let is_reset = web.visit.exchange.service_ending() == Some(Ending::Reset);
        self.stream_gone(visitor, session, key);
        stream.end(&mut self.core, is_reset);
    }

    /// Ends every stream, so that services see an end in order before their hosts leave.
    pub(super) fn end_streams(&mut self) {
        let all: Vec<WebKey> = self.webs.iter().map(|(visitor, _)| visitor).collect();
        all.into_iter().for_each(|visitor| self.end_stream(visitor));
    }

    /// Ends the streams to such destinations on which no request is under way.
    pub(super) fn end_idle_streams(&mut self, is_such: impl Fn(&Destination) -> bool) {
        let is_idle = |web: &Web| web.stream.is_some() && !web.is_busy();
        let idle = self.webs.iter().filter(|(_, web)| is_idle(web) && web.destination.as_ref().is_some_and(&is_such));
        let idle: Vec<WebKey> = idle.map(|(visitor, _)| visitor).collect();
        idle.into_iter().for_each(|visitor| self.end_stream(visitor));
    }

    /// Ends connections that were dialled for tokens that no longer allow it.
    pub(super) fn drop_undialled(&mut self, may_dial: impl Fn(&[u8; 32], &HostId) -> bool) {
        let is_over = |web: &Web| {
            web.destination
                .as_ref()
                .is_some_and(|destination| destination.token.is_some_and(|token| !may_dial(&token, &destination.id)))
        };
        let over = self.webs.iter().filter(|(_, web)| is_over(web));
        let over: Vec<WebKey> = over.map(|(visitor, _)| visitor).collect();
        over.into_iter().for_each(|visitor| self.drop_web(visitor));
    }

    /// Opens a stream for the requests of a connection.
    pub(super) fn open_stream(&mut self, visitor: WebKey, destination: Destination) -> Result<(), OpenError> {
        self.end_stream(visitor);
        self.opened += 1;
        let flow = self.opened.to_string();
        let session = destination.session;
        let ends = self.webs.get(visitor).map_or(Ends::Unknown, Web::ends);
        let trail = self.core.trails.of_accepted(&self.core.sessions, session, Protocol::Tcp, &ends);
        let target = destination.connect_target().ok_or(OpenError::TooManyStreams)?;
        let entry = self.core.sessions.get_mut(session).ok_or(OpenError::GoingAway)?;
        let hash = stream_hash(&entry.salt, &flow);
        let key = entry.session.mux().open_from(hash, &target, &trail)?;
        self.core.sessions.touch(session);
        self.streams.insert((session, key), visitor);
        if let Some(web) = self.webs.get_mut(visitor) {
            let (source, standing) = (source(web.remote), web.standing);
            let is_held = destination.epoch.is_some();
            self.metrics.crossed.streams.to_peers += u64::from(is_held);
            web.destination = Some(destination);
            web.stream = Some(RequestStream::new(session, key, is_held));
            if let Some(host) = self.sessions.get(&session).copied().and_then(|host| self.host(host)) {
                host.requests.enter(visitor, source, standing);
            }
        }
        Ok(())
    }
}

/// Returns the refusal for a stream that the host aborted.
fn refusal(reason: AbortReason) -> Refusal {
    match reason {
        AbortReason::Denied => Refusal::Denied,
        AbortReason::Timeout => Refusal::Timeout,
        AbortReason::TooManyStreams => Refusal::TooMany { retry_after: 1 },
        AbortReason::Shutdown => Refusal::HostGone,
        AbortReason::Refused
        | AbortReason::Unreachable
        | AbortReason::Reset
        | AbortReason::FlowControl
        | AbortReason::IdInUse
        | AbortReason::Protocol
        | AbortReason::UnknownService
        | AbortReason::Gone
        | AbortReason::Other(_) => Refusal::ServiceDown,
    }
}
