//! Streams.

use std::time::Duration;

use pinhole_sctp::{Delivery, Message, Reliability};

use crate::Error;

/// What happened on a stream.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// The peer opened it.
    Opened {
        /// Which.
        id: u16,
    },
    /// There is something to read.
    Readable {
        /// Which.
        id: u16,
    },
    /// It can be written to again: it always can.
    Writable {
        /// Which.
        id: u16,
    },
    /// The peer reset it.
    Finished {
        /// Which.
        id: u16,
    },
    /// The peer wants no more of it: it resets it instead.
    Stopped {
        /// Which.
        id: u16,
    },
    /// Both directions are reset.
    ResetComplete {
        /// Which.
        id: u16,
    },
    /// The peer did not reset it.
    ResetFailed {
        /// Which.
        id: u16,
    },
    /// What it holds fell to its threshold.
    BufferedAmountLow {
        /// Which.
        id: u16,
    },
}

/// What a message is (RFC 8831, section 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PayloadProtocolIdentifier {
    /// Opens a channel (RFC 8832).
    Dcep = 50,
    /// Text.
    String = 51,
    /// Bytes.
    Binary = 53,
    /// Text of no length; one byte stands for it.
    StringEmpty = 56,
    /// No bytes; one byte stands for it.
    BinaryEmpty = 57,
    /// Something else.
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

/// How hard a message is tried to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReliabilityType {
    /// Until it arrives.
    #[default]
    Reliable = 0,
    /// Sent again so often.
    Rexmit = 1,
    /// For so many milliseconds.
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
    /// What it is.
    pub ppi: PayloadProtocolIdentifier,
    message: Message,
}

impl Chunks {
    /// Returns its bytes' number.
    pub fn len(&self) -> usize {
        self.message.len()
    }

    /// Tells whether it has none.
    pub fn is_empty(&self) -> bool {
        self.message.is_empty()
    }

    /// Copies it into `target`, and returns how many bytes that are.
    ///
    /// # Errors
    /// There is not enough room.
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
    /// None occur.
    pub fn set_reliability_params(&mut self, unordered: bool, kind: ReliabilityType, value: u32) -> Result<(), Error> {
        let reliability = match kind {
            ReliabilityType::Reliable => Reliability::Reliable,
            ReliabilityType::Rexmit => Reliability::Retransmits(value),
            ReliabilityType::Timed => Reliability::Lifetime(Duration::from_millis(value.into())),
        };
        self.inner.set_delivery(Delivery { is_ordered: !unordered, reliability });
        Ok(())
    }

    /// Sends a message, and returns its bytes' number.
    ///
    /// # Errors
    /// The stream is closed, or the message is too long.
    pub fn write_with_ppi(&mut self, message: &[u8], ppi: PayloadProtocolIdentifier) -> Result<usize, Error> {
        // SCTP has no messages without bytes: one byte stands for none (RFC 8831, section 6.6).
        let payload = if message.is_empty() { &[0] } else { message };
        let protocol = ppi as u32;
        match ppi {
            // Opening a channel is ordered and reliable, whatever the channel is (RFC 8832, section 6).
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

    /// Returns the bytes that have not left, and one more as long as anything is unacknowledged. (The published crate counts all that
    /// is unacknowledged. An application that keeps this number small should not keep what is in flight small with it; and 0
    /// means the same there and here.)
    ///
    /// # Errors
    /// None occur.
    pub fn buffered_amount(&self) -> Result<usize, Error> {
        Ok(self.inner.unsent() + usize::from(self.inner.buffered_amount() > 0))
    }

    /// Sets when [`StreamEvent::BufferedAmountLow`] is told.
    ///
    /// # Errors
    /// None occur.
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
