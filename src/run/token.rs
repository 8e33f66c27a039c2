//! What a mio token stands for: a kind in the low bits, the place in its table above them.

use super::table::Place;
use crate::net::system::Token;

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The waker: the resolver answered, or somebody asks us to stop.
    Waker,
    /// A signal of the operating system.
    Signals,
    /// The watch on this machine's addresses.
    Interfaces,
    /// A host's listener for signaling.
    Signaling,
    /// A listener: of a server, for programs of a client, for those that clients have a host listen for.
    Listener(Place),
    /// A signaling WebSocket.
    Link(Place),
    /// A UDP socket.
    Udp(Place),
    /// A program that talks to our proxy.
    Negotiation(Place),
    /// A UDP socket that local programs send to.
    Programs(Place),
    /// The UDP socket of a flow's target.
    Flow(Place),
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
        let (kind, place) = match self {
            Source::Waker => (0, 0),
            Source::Signals => (1, 0),
            Source::Listener(place) => (2, place.to_bits()),
            Source::Link(place) => (3, place.to_bits()),
            Source::Udp(place) => (4, place.to_bits()),
            Source::Connection(place) => (5, place.to_bits()),
            Source::Interfaces => (6, 0),
            Source::Negotiation(place) => (7, place.to_bits()),
            Source::Programs(place) => (8, place.to_bits()),
            Source::Flow(place) => (9, place.to_bits()),
            Source::Web(place) => (10, place.to_bits()),
            Source::Leaving(place) => (11, place.to_bits()),
            Source::Signaling => (12, 0),
        };
        Token(place << KIND_BITS | kind)
    }

    pub(super) fn from_token(token: Token) -> Option<Source> {
        let place = Place::from_bits(token.0 >> KIND_BITS);
        Some(match token.0 & KIND_MASK {
            0 => Source::Waker,
            1 => Source::Signals,
            2 => Source::Listener(place),
            3 => Source::Link(place),
            4 => Source::Udp(place),
            5 => Source::Connection(place),
            6 => Source::Interfaces,
            7 => Source::Negotiation(place),
            8 => Source::Programs(place),
            9 => Source::Flow(place),
            10 => Source::Web(place),
            11 => Source::Leaving(place),
            12 => Source::Signaling,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip() {
        let at = Place::from_bits;
        for source in [
            Source::Waker,
            Source::Signaling,
            Source::Web(at(5)),
            Source::Signals,
            Source::Interfaces,
            Source::Listener(at(3)),
            Source::Link(at(0)),
            Source::Udp(at(7)),
            Source::Connection(at(123_456)),
            Source::Negotiation(at(1)),
            Source::Programs(at(2)),
            Source::Flow(at(0)),
            Source::Leaving(at(9)),
        ] {
            assert_eq!(Source::from_token(source.token()), Some(source));
        }
    }
}
