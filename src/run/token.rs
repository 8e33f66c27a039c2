//! The meaning of a mio token: a kind in the low bits, the slot in its table above them.

use super::table::Slot;
use crate::net::system::Token;

/// The source of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The waker: the resolver answered, or another thread asks to stop.
    Waker,
    /// A signal of the operating system.
    Signals,
    /// The watch for changes of this machine's addresses.
    Interfaces,
    /// A host's listener for signaling.
    Signaling,
    /// A listener of a server, of a client for programs, or of a host for clients.
    Listener(Slot),
    /// A signaling WebSocket.
    Link(Slot),
    /// A UDP socket.
    Udp(Slot),
    /// A program that negotiates with our proxy.
    Negotiation(Slot),
    /// A program that sends plain requests to our proxy.
    Requests(Slot),
    /// A UDP socket for local programs.
    Programs(Slot),
    /// The UDP socket of a flow's target.
    Flow(Slot),
    /// The connection of a browser.
    Web(Slot),
    /// A forwarded connection.
    Connection(Slot),
    /// A forwarded connection that waits for its reset.
    Leaving(Slot),
    /// A server's connection to the directory of its cluster.
    Directory,
    /// A listener of the control interface.
    Door(Slot),
    /// A connection of the control interface.
    Control(Slot),
}

const KIND_BITS: u32 = 5;
const KIND_MASK: usize = (1 << KIND_BITS) - 1;

impl Source {
    pub(super) fn token(self) -> Token {
        let (kind, slot) = match self {
            Source::Waker => (0, 0),
            Source::Signals => (1, 0),
            Source::Listener(slot) => (2, slot.to_bits()),
            Source::Link(slot) => (3, slot.to_bits()),
            Source::Udp(slot) => (4, slot.to_bits()),
            Source::Connection(slot) => (5, slot.to_bits()),
            Source::Interfaces => (6, 0),
            Source::Negotiation(slot) => (7, slot.to_bits()),
            Source::Programs(slot) => (8, slot.to_bits()),
            Source::Flow(slot) => (9, slot.to_bits()),
            Source::Web(slot) => (10, slot.to_bits()),
            Source::Leaving(slot) => (11, slot.to_bits()),
            Source::Signaling => (12, 0),
            Source::Requests(slot) => (13, slot.to_bits()),
            Source::Directory => (14, 0),
            Source::Door(slot) => (15, slot.to_bits()),
            Source::Control(slot) => (16, slot.to_bits()),
        };
        Token(slot << KIND_BITS | kind)
    }

    pub(super) fn from_token(token: Token) -> Option<Source> {
        let slot = Slot::from_bits(token.0 >> KIND_BITS);
        Some(match token.0 & KIND_MASK {
            0 => Source::Waker,
            1 => Source::Signals,
            2 => Source::Listener(slot),
            3 => Source::Link(slot),
            4 => Source::Udp(slot),
            5 => Source::Connection(slot),
            6 => Source::Interfaces,
            7 => Source::Negotiation(slot),
            8 => Source::Programs(slot),
            9 => Source::Flow(slot),
            10 => Source::Web(slot),
            11 => Source::Leaving(slot),
            12 => Source::Signaling,
            13 => Source::Requests(slot),
            14 => Source::Directory,
            15 => Source::Door(slot),
            16 => Source::Control(slot),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let at = Slot::from_bits;
        for source in [
            Source::Waker,
            Source::Signaling,
            Source::Directory,
            Source::Web(at(5)),
            Source::Signals,
            Source::Interfaces,
            Source::Listener(at(3)),
            Source::Link(at(0)),
            Source::Udp(at(7)),
            Source::Connection(at(123_456)),
            Source::Negotiation(at(1)),
            Source::Programs(at(2)),
            Source::Requests(at(4)),
            Source::Flow(at(0)),
            Source::Leaving(at(9)),
            Source::Door(at(1)),
            Source::Control(at(63)),
        ] {
            assert_eq!(Source::from_token(source.token()), Some(source));
        }
    }
}
