//! The association.

use std::net::SocketAddr;
use std::time::Instant;

use pinhole_sctp::{Event as Happening, Reason, State};

use crate::{
    AssociationEvent, EndpointEvent, Error, Payload, PayloadProtocolIdentifier, Stream, StreamEvent, Transmit,
};

/// Maximum number of packets returned at a time; the rest follows.
const BURST: usize = 64;

/// An event of an association.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Messages can be sent.
    Connected,
    /// The association is over.
    AssociationLost {
        /// Why.
        reason: Lost,
    },
    /// An event of a stream.
    Stream(StreamEvent),
}

/// Why an association is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost(String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Reason> for Lost {
    fn from(reason: Reason) -> Lost {
        Lost(reason.to_string())
    }
}

/// One end of an association.
#[derive(Debug)]
pub struct Association {
    pub(crate) inner: pinhole_sctp::Association,
    remote: SocketAddr,
}

impl Association {
    pub(crate) fn new(inner: pinhole_sctp::Association, remote: SocketAddr) -> Association {
        Association { inner, remote }
    }

    /// Tells whether the association is ending or over.
    pub fn is_closing(&self) -> bool {
        self.inner.state().is_closing()
    }

    /// Tells whether the association is over.
    pub fn is_closed(&self) -> bool {
        self.inner.state() == State::Closed
    }

    /// Sets the longest message that may be sent.
    pub fn set_max_send_message_size(&mut self, value: u32) {
        self.inner.set_max_send_message_size(value as usize);
    }

    /// Returns a stream.
    ///
    /// # Errors
    /// There is no stream with this number.
    pub fn stream(&mut self, id: u16) -> Result<Stream<'_>, Error> {
        Ok(Stream { inner: self.inner.stream(id)? })
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// There is a stream with this number, or an earlier one is not yet reset.
    pub fn open_stream(&mut self, id: u16, _protocol: PayloadProtocolIdentifier) -> Result<Stream<'_>, Error> {
        Ok(Stream { inner: self.inner.open(id)? })
    }

    /// Ends the association once everything sent is delivered.
    ///
    /// # Errors
    /// The association is not up.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        if self.inner.shutdown() { Ok(()) } else { Err(Error::ErrShutdownNonEstablished) }
    }

    /// Handles a datagram.
    pub fn handle_event(&mut self, event: AssociationEvent) {
        self.inner.handle_datagram(event.now, event.datagram);
    }

    /// Handles all deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
    }

    /// Returns events for the endpoint: there are none.
    pub fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        None
    }

    /// Returns the next event.
    pub fn poll(&mut self) -> Option<Event> {
        Some(match self.inner.poll_event()? {
            Happening::Connected => Event::Connected,
            Happening::Closed(reason) => Event::AssociationLost { reason: reason.into() },
            // Channels do not outlive a restart: their negotiation is lost.
            Happening::Restarted => {
                self.inner.abort();
                Event::AssociationLost { reason: Lost("the peer restarted".to_owned()) }
            }
            Happening::Opened(id) => Event::Stream(StreamEvent::Opened { id }),
            Happening::Readable(id) => Event::Stream(StreamEvent::Readable { id }),
            Happening::BufferedAmountLow(id) => Event::Stream(StreamEvent::BufferedAmountLow { id }),
            Happening::Finished(id) => Event::Stream(StreamEvent::Finished { id }),
            Happening::ResetComplete(id) => Event::Stream(StreamEvent::ResetComplete { id }),
            Happening::ResetFailed(id) => Event::Stream(StreamEvent::ResetFailed { id }),
        })
    }

    /// Returns when [`Association::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    /// Returns the next packets to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if let Some(progress) = self.inner.progress() {
            pinhole_sctp::progress::note(progress);
        }
        let mut packets = Vec::new();
        while packets.len() < BURST
            && let Some(packet) = self.inner.poll_transmit(now)
        {
            packets.push(packet);
        }
        if packets.is_empty() {
            return None;
        }
        let payload = Payload::RawEncode(packets);
        Some(Transmit { now, remote: self.remote, ecn: None, local_ip: None, payload })
    }
}
