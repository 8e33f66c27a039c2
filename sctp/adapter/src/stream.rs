//! Streams.

use std::time::Duration;

use pinhole_sctp::{Delivery, Message, Reliability};

use crate::Error;

/// An event of a stream.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The peer opened it.
    Opened {
        /// The stream.
        id: u16,
    },
    /// There is something to read.
    Readable {
        /// The stream.
        id: u16,
    },
    /// It can be written to again. Not used: it always can.
    Writable {
        /// The stream.
        id: u16,
    },
    /// The peer reset it.
    Finished {
        /// The stream.
        id: u16,
    },
    /// The peer no longer reads it. Not used: the peer resets it instead.
    Stopped {
        /// The stream.
        id: u16,
    },
    /// Both directions are reset.
    ResetComplete {
        /// The stream.
        id: u16,
    },
    /// The peer did not reset it.
    ResetFailed {
        /// The stream.
        id: u16,
    },
    /// Its buffered amount fell to its threshold.
    BufferedAmountLow {
        /// The stream.
        id: u16,
    },
}

/// The type of a message (RFC 8831, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadProtocolIdentifier {
    /// Opens a channel (RFC 8832).
    Dcep = 50,
    /// Text.
    String = 51,
    /// Bytes.
    Binary = 53,
    /// Empty text; one byte stands for it.
    StringEmpty = 56,
    /// Empty bytes; one byte stands for it.
    BinaryEmpty = 57,
    /// An unknown type.
    #[default]
    Unknown,
}

impl From<u32> for PayloadProtocolIdentifier {
    fn from(number: u32) -> Self {
        match number {
            50 => PayloadProtocolIdentifier::Dcep,
            51 => PayloadProtocolIdentifier::String,
            53 => PayloadProtocolIdentifier::Binary,
            56 => PayloadProtocolIdentifier::StringEmpty,
            57 => PayloadProtocolIdentifier::BinaryEmpty,
            _ => PayloadProtocolIdentifier::Unknown,
        }
    }
}

/// How reliably a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReliabilityType {
    /// Until it arrives.
    #[default]
    Reliable = 0,
    /// With this many retransmissions.
    Rexmit = 1,
    /// For this many milliseconds.
    Timed = 2,
}

impl From<u8> for ReliabilityType {
    fn from(number: u8) -> Self {
        match number {
            1 => ReliabilityType::Rexmit,
            2 => ReliabilityType::Timed,
            _ => ReliabilityType::Reliable,
        }
    }
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Chunks {
    /// Its type.
    pub ppi: PayloadProtocolIdentifier,
    message: Message,
}

impl Chunks {
    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.message.len()
    }

    /// Tells whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    /// Copies the message into `target`, and returns its length.
    ///
    /// # Errors
    /// `target` is too short.
    pub fn read(&self, target: &mut [u8]) -> Result<usize, Error> {
        let copied = self.message.copy_to(target);
        if copied == self.len() { Ok(copied) } else { Err(Error::ErrShortBuffer) }
    }
}

/// A stream.
#[derive(Debug)]
pub struct Stream<'a> {
    pub(crate) inner: pinhole_sctp::Stream<'a>,
}

impl Stream<'_> {
    /// Sets how messages are delivered.
    ///
    /// # Errors
    /// None.
    pub fn set_reliability_params(&mut self, unordered: bool, kind: ReliabilityType, value: u32) -> Result<(), Error> {
        let reliability = match kind {
            ReliabilityType::Reliable => Reliability::Reliable,
            ReliabilityType::Rexmit => Reliability::Retransmits(value),
            ReliabilityType::Timed => Reliability::Lifetime(Duration::from_millis(value.into())),
        };
        self.inner.set_delivery(Delivery { is_ordered: !unordered, reliability });
        Ok(())
    }

    /// Sends a message, and returns its length.
    ///
    /// # Errors
    /// The stream is closed, or the message is too long.
    pub fn write_with_ppi(&mut self, message: &[u8], ppi: PayloadProtocolIdentifier) -> Result<usize, Error> {
        // SCTP has no empty messages: one byte stands for one (RFC 8831, section 6.6).
        let payload = if message.is_empty() { &[0] } else { message };
        let protocol = ppi as u32;
        match ppi {
            // The message that opens a channel is ordered and reliable, whatever the channel is (RFC 8832, section 6).
            PayloadProtocolIdentifier::Dcep => self.inner.send_with(Delivery::default(), protocol, payload)?,
            _ => self.inner.send(protocol, payload)?,
        }
        Ok(message.len())
    }

    /// Returns the next message.
    ///
    /// # Errors
    /// The stream is closed.
    pub fn read(&mut self) -> Result<Option<Chunks>, Error> {
        let message = self.inner.receive()?;
        Ok(message.map(|message| Chunks { ppi: message.protocol.into(), message }))
    }

    /// Returns the bytes that have not left, plus one while anything is unacknowledged. (The published crate counts all
    /// unacknowledged bytes. But an application that limits this number should not limit the bytes in flight by that; 0
    /// has the same meaning in both.)
    ///
    /// # Errors
    /// None.
    pub fn buffered_amount(&self) -> Result<usize, Error> {
        Ok(self.inner.unsent() + usize::from(self.inner.buffered_amount() > 0))
    }

    /// Sets the threshold of [`StreamEvent::BufferedAmountLow`].
    ///
    /// # Errors
    /// None.
    pub fn set_buffered_amount_low_threshold(&mut self, threshold: usize) -> Result<(), Error> {
        self.inner.set_low_threshold(threshold);
        Ok(())
    }

    /// Closes the stream in both directions.
    ///
    /// # Errors
    /// The association is not up.
    pub fn close(&mut self) -> Result<(), Error> {
        Ok(self.inner.close()?)
    }

    /// Tells whether messages can be read.
    pub fn is_readable(&self) -> bool {
        self.inner.is_readable()
    }

    /// Tells whether messages can be sent.
    pub fn is_writable(&self) -> bool {
        self.inner.is_writable()
    }
}
