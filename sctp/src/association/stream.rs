//! Streams for the application.

use bytes::Bytes;

use super::{Association, State};
use crate::event::StreamError;
use crate::send::{self, Outbound};
use crate::stream::{Delivery, Message, Receiving, Sending, State as StreamState};

/// A stream of an association, borrowed from [`Association::stream`].
#[derive(Debug)]
pub struct Stream<'a> {
    association: &'a mut Association,
    id: u16,
}

impl Association {
    /// Opens a stream; nothing is sent for that.
    ///
    /// # Errors
    /// There is a stream with this number, an earlier one is not yet reset, or the peer does not allow it.
    pub fn open(&mut self, id: u16) -> Result<Stream<'_>, StreamError> {
        if self.state == State::Closed {
            return Err(StreamError::Closed);
        }
        let outbound = self.connection.as_ref().map_or(self.config.outbound_streams, |c| c.outbound);
        if id >= outbound {
            return Err(StreamError::TooMany);
        }
        match self.streams.get(id) {
            Some(state) if state.is_usable() => return Err(StreamError::Exists),
            Some(_) => return Err(StreamError::ResetPending),
            None if self.connection.as_ref().is_some_and(|connection| connection.resets.is_pending(id)) => {
                return Err(StreamError::ResetPending);
            }
            None => {}
        }
        self.streams.entry(id);
        Ok(Stream { association: self, id })
    }

    /// Returns a stream that either side opened.
    ///
    /// # Errors
    /// There is no stream with this number, or the peer has reset it.
    pub fn stream(&mut self, id: u16) -> Result<Stream<'_>, StreamError> {
        match self.streams.get(id) {
            Some(state) if state.is_usable() => Ok(Stream { association: self, id }),
            _ => Err(StreamError::Unknown),
        }
    }

    /// Returns the numbers of all streams.
    pub fn streams(&self) -> Vec<u16> {
        self.streams.ids()
    }
}

impl Stream<'_> {
    /// Returns the stream's number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Sets how messages sent from now on are delivered.
    pub fn set_delivery(&mut self, delivery: Delivery) {
        if let Some(state) = self.state_mut() {
            state.outgoing.delivery = delivery;
        }
    }

    /// Sends a message. `protocol` is its type (RFC 8831, section 8). The message is copied, and kept until the peer
    /// has it; the application limits the memory by [`Stream::buffered_amount`].
    ///
    /// # Errors
    /// The stream or the association is closed, or the message is empty or too long.
    pub fn send(&mut self, protocol: u32, message: &[u8]) -> Result<(), StreamError> {
        let delivery = self.state().map(|state| state.outgoing.delivery).unwrap_or_default();
        self.send_with(delivery, protocol, message)
    }

    /// Sends a message with its own kind of delivery.
    ///
    /// # Errors
    /// Those of [`Stream::send`].
    pub fn send_with(&mut self, delivery: Delivery, protocol: u32, message: &[u8]) -> Result<(), StreamError> {
        if !self.is_writable() || self.association.state.is_closing() || self.association.state == State::Closed {
            return Err(StreamError::Closed);
        }
        if message.is_empty() {
            return Err(StreamError::Empty);
        }
        if message.len() > self.association.config.max_send_message_size {
            return Err(StreamError::TooLong);
        }
        let outbound = Outbound { stream: self.id, protocol, delivery, payload: Bytes::copy_from_slice(message) };
        let association = &mut *self.association;
        let is_first = send::enqueue(&mut association.streams, association.now, outbound);
        if is_first
            && !matches!(association.state, State::CookieEchoed)
            && let Some(connection) = &mut association.connection
        {
            connection.sender.add(self.id);
        }
        Ok(())
    }

    /// Returns the next message, if there is one.
    ///
    /// # Errors
    /// The stream is closed for reading.
    pub fn receive(&mut self) -> Result<Option<Message>, StreamError> {
        let Some(state) = self.association.streams.get_mut(self.id) else { return Err(StreamError::Closed) };
        if state.incoming.state != Receiving::Open {
            return Err(StreamError::Closed);
        }
        let Some(message) = state.incoming.read() else { return Ok(None) };
        let is_drained = !state.incoming.has_ready();
        if is_drained {
            state.is_announced = false;
        }
        if let Some(connection) = &mut self.association.connection {
            connection.receiver.handle_read(message.cost, is_drained);
        }
        if is_drained {
            self.association.perform_resets();
        }
        Ok(Some(message))
    }

    /// Closes the stream in both directions: everything sent is delivered, arriving messages are dropped, and the peer
    /// is asked to do the same (RFC 6525; RFC 8831, section 6.7).
    ///
    /// # Errors
    /// The association is not up, or the peer does not support resets.
    pub fn close(&mut self) -> Result<(), StreamError> {
        let association = &mut *self.association;
        let connection = association.connection.as_mut().filter(|connection| connection.features.reset);
        let Some(connection) = connection.filter(|_| association.state == State::Established) else {
            return Err(StreamError::NotConnected);
        };
        let Some(state) = association.streams.get_mut(self.id) else { return Err(StreamError::Closed) };
        if state.incoming.state == Receiving::Open {
            let was_readable = std::mem::take(&mut state.is_announced);
            state.incoming.state = Receiving::Stopped;
            connection.receiver.handle_read(state.incoming.clear(), was_readable);
        }
        if state.outgoing.state == Sending::Open {
            state.outgoing.state = Sending::Closing;
            connection.resets.add(self.id);
        }
        association.perform_resets();
        Ok(())
    }

    /// Tells whether messages of the peer can be read, now or later.
    pub fn is_readable(&self) -> bool {
        self.state().is_some_and(|state| state.incoming.state == Receiving::Open)
    }

    /// Tells whether messages may be sent.
    pub fn is_writable(&self) -> bool {
        self.state().is_some_and(|state| state.outgoing.state == Sending::Open)
    }

    /// Returns the bytes that were sent and are neither acknowledged nor abandoned, whether they left or not.
    pub fn buffered_amount(&self) -> usize {
        self.state().map_or(0, |state| state.outgoing.buffered)
    }

    /// Returns the bytes that were sent and have not left, which delay a further message.
    pub fn unsent(&self) -> usize {
        self.state().map_or(0, |state| state.outgoing.unsent)
    }

    /// Sets the threshold of [`Stream::buffered_amount`]: falling to it causes [`crate::Event::BufferedAmountLow`].
    pub fn set_low_threshold(&mut self, bytes: usize) {
        if let Some(state) = self.state_mut() {
            state.outgoing.low_threshold = bytes;
        }
    }

    fn state(&self) -> Option<&StreamState> {
        self.association.streams.get(self.id)
    }

    fn state_mut(&mut self) -> Option<&mut StreamState> {
        self.association.streams.get_mut(self.id)
    }
}
