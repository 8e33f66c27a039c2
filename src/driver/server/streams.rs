//! The streams that carry visitors' requests to hosts.

use super::Server;
use super::web::Web;
use crate::driver::connections::stream_hash;
use crate::driver::sessions::SessionKey;
use crate::gateway::{Ending, Refusal};
use crate::signaling::rendezvous::HostId;
use crate::tunnel::{self, AbortReason, ConnectTarget, OpenError, StreamKey};

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: HostId,
    pub(super) session: SessionKey,
    pub(super) target: ConnectTarget,
    /// The login was for the gateway.
    pub(super) strip_authorization: bool,
    /// The hash of the token that it may be dialled for.
    pub(super) token: Option<[u8; 32]>,
}

/// A stream that carries requests.
pub(super) struct Carrying {
    session: SessionKey,
    key: StreamKey,
    /// The exchange knows that nothing follows.
    end_told: bool,
    /// The host knows that nothing follows.
    is_half_closed: bool,
}

impl Web {
    /// Tells whether the stream that carries requests is there, and leads to that place.
    pub(super) fn leads_to(&self, place: &Place) -> bool {
        self.stream.is_some() && self.place.as_ref() == Some(place)
    }
}

impl Server {
    /// Takes what a stream of a connection tells.
    pub(super) fn handle_stream(&mut self, session: SessionKey, event: tunnel::Event) {
        let (tunnel::Event::Readable(key)
        | tunnel::Event::Writable(key)
        | tunnel::Event::Accepted(key)
        | tunnel::Event::Aborted { key, .. }) = event
        else {
            return;
        };
        let Some(&index) = self.streams.get(&(session, key)) else { return };
        let Some(web) = self.webs.get_mut(index) else { return };
        match event {
            tunnel::Event::Accepted(_) => web.exchange.handle_service_accepted(),
            tunnel::Event::Aborted { reason, .. } => {
                self.streams.remove(&(session, key));
                web.stream = None;
                web.exchange.handle_service_failed(refusal(reason));
            }
            _ => {}
        }
        self.pump_web(index);
    }

    /// Moves bytes between an exchange and its stream.
    pub(super) fn move_stream(&mut self, index: usize) -> bool {
        let Some(Web { exchange, stream: Some(carrying), .. }) = self.webs.get_mut(index) else { return false };
        let (session, key) = (carrying.session, carrying.key);
        if self.core.session(session).is_none() {
            return false;
        }
        let Some(entry) = self.core.sessions.get_mut(session.index) else { return false };
        let mut has_moved = false;
        let Some(mut stream) = entry.session.mux().stream(key) else { return false };
        while !exchange.to_service().is_empty() {
            let capacity = stream.send_capacity();
            if capacity == 0 {
                break;
            }
            let mut chunk = self.core.pool.take();
            let len = chunk.room_mut().len().min(capacity).min(exchange.to_service().len());
            chunk.room_mut()[..len].copy_from_slice(&exchange.to_service()[..len]);
            chunk.set_len(len);
            if let Err(chunk) = stream.send(self.core.pool.fit(chunk)) {
                self.core.pool.recycle(chunk);
                break;
            }
            exchange.handle_sent_to_service(len);
            has_moved = true;
        }
        loop {
            let room = exchange.service_room();
            let Some(bytes) = stream.readable().next().filter(|_| room > 0) else { break };
            let len = bytes.len().min(room);
            exchange.handle_service(&bytes[..len]);
            stream.consume(len);
            has_moved = true;
        }
        if !carrying.end_told && stream.is_at_end() {
            carrying.end_told = true;
            exchange.handle_service_end();
            has_moved = true;
        }
        match exchange.service_ending() {
            None => {}
            Some(Ending::HalfClose) => {
                stream.finish();
                has_moved |= !std::mem::replace(&mut carrying.is_half_closed, true);
            }
            Some(Ending::Close) if carrying.end_told => {
                stream.finish();
                self.forget_stream(index);
            }
            Some(Ending::Close | Ending::Reset) => {
                stream.abort(AbortReason::Reset, "");
                self.forget_stream(index);
            }
        }
        if has_moved {
            self.core.touch(session.index);
        }
        has_moved
    }

    fn forget_stream(&mut self, index: usize) {
        let Some(carrying) = self.webs.get_mut(index).and_then(|web| web.stream.take()) else { return };
        self.streams.remove(&(carrying.session, carrying.key));
        self.core.touch(carrying.session.index);
    }

    /// Ends the stream of a connection that has no use for it any more.
    pub(super) fn end_stream(&mut self, index: usize) {
        let Some(Carrying { session, key, .. }) = self.webs.get_mut(index).and_then(|web| web.stream.take()) else {
            return;
        };
        self.streams.remove(&(session, key));
        if let Some(entry) = self.core.session(session)
            && let Some(mut stream) = entry.session.mux().stream(key)
        {
            if stream.is_at_end() {
                stream.finish();
            } else {
                stream.abort(AbortReason::Reset, "");
            }
        }
        self.core.touch(session.index);
    }

    /// Ends the stream that has been kept for a next request for longest; false says that none is.
    pub(super) fn end_kept_stream(&mut self, session: SessionKey) -> bool {
        let is_kept = |web: &Web| !web.is_busy() && web.stream.as_ref().is_some_and(|stream| stream.session == session);
        let kept = self.webs.iter().filter(|(_, web)| is_kept(web));
        let longest = kept.min_by_key(|(_, web)| web.stage_at).map(|(index, _)| index);
        longest.inspect(|&longest| self.end_stream(longest)).is_some()
    }

    /// Ends what is dialled for tokens that do not have it any more.
    pub(super) fn drop_undialled(&mut self, may_dial: impl Fn(&[u8; 32], &HostId) -> bool) {
        let is_over = |web: &Web| {
            web.place.as_ref().is_some_and(|place| place.token.is_some_and(|token| !may_dial(&token, &place.id)))
        };
        let over = self.webs.iter().filter(|(_, web)| is_over(web));
        let over: Vec<usize> = over.map(|(index, _)| index).collect();
        over.into_iter().for_each(|index| self.drop_web(index));
    }

    /// Opens a stream that carries the requests of a connection to a place.
    pub(super) fn open_stream(&mut self, index: usize, place: Place) -> Result<(), OpenError> {
        self.end_stream(index);
        self.core.next_serial += 1;
        let flow = self.core.next_serial.to_string();
        let session = place.session;
        let entry = self.core.session(session).ok_or(OpenError::GoingAway)?;
        let hash = stream_hash(&entry.salt, &flow);
        let key = entry.session.mux().open(hash, &place.target)?;
        self.core.touch(session.index);
        self.streams.insert((session, key), index);
        if let Some(web) = self.webs.get_mut(index) {
            web.place = Some(place);
            web.stream = Some(Carrying { session, key, end_told: false, is_half_closed: false });
        }
        Ok(())
    }
}

/// What a visitor is told of a stream that the host ended.
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
        | AbortReason::Other(_) => Refusal::ServiceDown,
    }
}
