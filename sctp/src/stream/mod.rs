//! Streams: two halves with one number (RFC 8831, section 6.4).

mod incoming;
mod message;
mod outgoing;
mod table;

pub(crate) use incoming::{Incoming, Receiving};
pub use message::Message;
pub(crate) use message::Parts;
pub use outgoing::{Delivery, Reliability};
pub(crate) use outgoing::{Limit, Outgoing, Queued, Sending};
pub(crate) use table::Streams;

/// Both halves of a stream.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// The application knows that there is something to read.
    pub(crate) is_announced: bool,
}

impl State {
    /// Tells whether the application may use the stream: the peer has not reset it.
    pub(crate) fn is_usable(&self) -> bool {
        self.incoming.state != Receiving::Finished
    }
}
