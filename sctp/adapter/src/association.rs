//! The association.

use std::net::SocketAddr;
use std::time::Instant;

use pinhole_sctp::{Event as Happening, Reason, State};

use crate::{
    AssociationEvent, EndpointEvent, Error, Payload, PayloadProtocolIdentifier, Stream, StreamEvent, Transmit,
};

/// Packets handed over at a time; the next follow when these are gone.
const BURST: usize = 64;

/// What happened.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Messages can be sent.
    Connected,
    /// It is over.
    AssociationLost {
        /// Why.
        reason: Lost,
    },
    /// Something of a stream.
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

    /// Tells whether the end has begun.
    pub fn is_closing(&self) -> bool {
        self.inner.state().is_closing()
    }

    /// Tells whether it is over.
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
    /// There is none with this number.
    pub fn stream(&mut self, id: u16) -> Result<Stream<'_>, Error> {
        Ok(Stream { inner: self.inner.stream(id)? })
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// There is one with this number, or an earlier one is not yet reset.
    pub fn open_stream(&mut self, id: u16, _protocol: PayloadProtocolIdentifier) -> Result<Stream<'_>, Error> {
        Ok(Stream { inner: self.inner.open(id)? })
    }

    /// Ends it, once what was sent is delivered.
    ///
    /// # Errors
    /// It is not up.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        if self.inner.shutdown() { Ok(()) } else { Err(Error::ErrShutdownNonEstablished) }
    }

    /// Takes a datagram.
    pub fn handle_event(&mut self, event: AssociationEvent) {
        self.inner.handle_datagram(event.now, event.datagram);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.inner.handle_timeout(now);
    }

    /// Returns what there is for the endpoint: nothing.
    pub fn poll_endpoint_event(&mut self) -> Option<EndpointEvent> {
        None
    }

    /// Returns the next event.
    pub fn poll(&mut self) -> Option<Event> {
        Some(match self.inner.poll_event()? {
            Happening::Connected => Event::Connected,
            Happening::Closed(reason) => Event::AssociationLost { reason: reason.into() },
            // Channels do not outlive it: what was agreed on them is forgotten.
            Happening::Restarted => {
                self.inner.abort();
                Event::AssociationLost { reason: Lost("the peer began anew".to_owned()) }
            }
            Happening::Opened(id) => Event::Stream(StreamEvent::Opened { id }),
            Happening::Readable(id) => Event::Stream(StreamEvent::Readable { id }),
            Happening::BufferedAmountLow(id) => Event::Stream(StreamEvent::BufferedAmountLow { id }),
            Happening::Finished(id) => Event::Stream(StreamEvent::Finished { id }),
            Happening::ResetComplete(id) => Event::Stream(StreamEvent::ResetComplete { id }),
            Happening::ResetFailed(id) => Event::Stream(StreamEvent::ResetFailed { id }),
        })
    }

    /// Returns when [`Association::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    /// Returns packets to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
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
