//! What a mio token stands for: a kind in the low bits, the place in its table above them.

use mio::Token;

use super::table::Place;

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The waker: the resolver answered, or somebody asks us to stop.
    Waker,
    /// A signal of the operating system.
    Signals,
    /// The watch on this machine's addresses.
    Interfaces,
    /// A listener: of signaling on a host, of local programs on a client.
    Listener(usize),
    /// A signaling WebSocket.
    Link(Place),
    /// A UDP socket.
    Udp(Place),
    /// A program that talks to our proxy.
    Negotiation(usize),
    /// A UDP socket that local programs send to.
    Programs(Place),
    /// The UDP socket of a flow's target.
    Flow(Place),
    /// A host's WebSocket to its server.
    Uplink,
    /// The connection of a browser.
    Web(Place),
    /// A forwarded connection.
    Connection(Place),
    /// A forwarded connection that waits for its reset.
    Leaving(Place),
}

const KIND_BITS: u32 = 4;
const KIND_MASK: usize = (1 << KIND_BITS) - 1;

impl Source {
    pub(super) fn token(self) -> Token {
        let (kind, index) = match self {
            Source::Waker => (0, 0),
            Source::Signals => (1, 0),
            Source::Listener(index) => (2, index),
            Source::Link(place) => (3, place.to_bits()),
            Source::Udp(place) => (4, place.to_bits()),
            Source::Connection(place) => (5, place.to_bits()),
            Source::Interfaces => (6, 0),
            Source::Negotiation(index) => (7, index),
            Source::Programs(place) => (8, place.to_bits()),
            Source::Flow(place) => (9, place.to_bits()),
            Source::Uplink => (10, 0),
            Source::Web(place) => (11, place.to_bits()),
            Source::Leaving(place) => (12, place.to_bits()),
        };
        Token(index << KIND_BITS | kind)
    }

    pub(super) fn from_token(token: Token) -> Option<Source> {
        let index = token.0 >> KIND_BITS;
        Some(match token.0 & KIND_MASK {
            0 => Source::Waker,
            1 => Source::Signals,
            2 => Source::Listener(index),
            3 => Source::Link(Place::from_bits(index)),
            4 => Source::Udp(Place::from_bits(index)),
            5 => Source::Connection(Place::from_bits(index)),
            6 => Source::Interfaces,
            7 => Source::Negotiation(index),
            8 => Source::Programs(Place::from_bits(index)),
            9 => Source::Flow(Place::from_bits(index)),
            10 => Source::Uplink,
            11 => Source::Web(Place::from_bits(index)),
            12 => Source::Leaving(Place::from_bits(index)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        for source in [
            Source::Waker,
            Source::Signals,
            Source::Interfaces,
            Source::Listener(3),
            Source::Link(Place::from_bits(0)),
            Source::Udp(Place::from_bits(7)),
            Source::Connection(Place::from_bits(123_456)),
            Source::Negotiation(1),
            Source::Programs(Place::from_bits(2)),
            Source::Flow(Place::from_bits(0)),
            Source::Leaving(Place::from_bits(9)),
        ] {
            assert_eq!(Source::from_token(source.token()), Some(source));
        }
    }
}
