//! Identifiers on the wire and the arithmetic that belongs to them.

use std::fmt;

/// Which of the two peers we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Uses a service; opens streams 1 to 32767.
    Client,
    /// Offers a service; opens streams 32768 to 65535.
    Host,
}

impl Role {
    /// Returns the other peer's role.
    pub fn peer(self) -> Role {
        match self {
            Role::Client => Role::Host,
            Role::Host => Role::Client,
        }
    }

    /// Returns the role's name in HELLO.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Host => "host",
        }
    }
}

/// Identifies a stream among the live ones of a session; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u16);

/// Number of ids a client has: 1 to 32767.
const CLIENT_IDS: u16 = 0x7fff;

impl StreamId {
    /// Wraps a number from the wire; 0 means the session itself and is no stream.
    pub fn new(value: u16) -> Option<StreamId> {
        (value != 0).then_some(StreamId(value))
    }

    /// Returns the number on the wire.
    pub fn value(self) -> u16 {
        self.0
    }

    /// Returns who opened the stream. Each role has half of the ids, so that both can open streams at the same moment.
    pub fn opener(self) -> Role {
        if self.0 <= CLIENT_IDS { Role::Client } else { Role::Host }
    }

    /// Maps 15 bits of a hash into the half of the id space that belongs to `opener`.
    pub fn from_hash(opener: Role, hash: u16) -> StreamId {
        match opener {
            Role::Client => StreamId((hash & CLIENT_IDS).max(1)),
            Role::Host => StreamId(hash | 0x8000),
        }
    }

    /// Returns the id after this one in the same half of the ids.
    #[must_use]
    pub fn next(self) -> StreamId {
        match (self.opener(), self.0) {
            (Role::Client, CLIENT_IDS) => StreamId(1),
            (Role::Host, u16::MAX) => StreamId(CLIENT_IDS + 1),
            (_, value) => StreamId(value + 1),
        }
    }

    /// Returns how many ids `opener` has.
    pub fn count(opener: Role) -> usize {
        match opener {
            Role::Client => usize::from(CLIENT_IDS),
            Role::Host => usize::from(CLIENT_IDS) + 1,
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the uses of a stream id, modulo 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Generation(pub u8);

impl Generation {
    /// Returns the generation after this one.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.wrapping_add(1))
    }

    /// Returns the generation before this one.
    #[must_use]
    pub fn previous(self) -> Generation {
        Generation(self.0.wrapping_sub(1))
    }

    /// Tells whether `self` came after `other`, in serial arithmetic (RFC 1982).
    pub fn is_newer_than(self, other: Generation) -> bool {
        (1..0x80).contains(&self.0.wrapping_sub(other.0))
    }
}

/// Numbers the sequenced frames of one direction of a stream, modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sequence(pub u32);

impl Sequence {
    /// Returns the sequence number after this one.
    #[must_use]
    pub fn next(self) -> Sequence {
        self.plus(1)
    }

    /// Returns the sequence number `count` frames later.
    #[must_use]
    pub fn plus(self, count: u32) -> Sequence {
        Sequence(self.0.wrapping_add(count))
    }

    /// Tells whether `self` comes before `other`, in serial arithmetic (RFC 1982).
    pub fn is_before(self, other: Sequence) -> bool {
        (other.0.wrapping_sub(self.0) as i32) > 0
    }

    /// Returns how many frames `self` is ahead of `earlier`.
    pub fn since(self, earlier: Sequence) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

/// Key of a stream in the mux. A key that outlives its stream finds nothing, never another stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamKey {
    pub(super) index: u32,
    pub(super) serial: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_in_their_half() {
        let last_client = StreamId::new(0x7fff).unwrap();
        assert_eq!(last_client.next().value(), 1);
        assert_eq!(StreamId::new(0xffff).unwrap().next().value(), 0x8000);
        assert_eq!(StreamId::from_hash(Role::Client, 0x8000).value(), 1);
        assert_eq!(StreamId::from_hash(Role::Client, 0xffff).value(), 0x7fff);
        assert_eq!(StreamId::from_hash(Role::Host, 0).value(), 0x8000);
        assert_eq!(StreamId::new(0), None);
        for value in [1, 2, 0x7ffe, 0x7fff, 0x8000, 0xfffe, 0xffff] {
            let id = StreamId::new(value).unwrap();
            assert_eq!(id.next().opener(), id.opener());
        }
    }

    #[test]
    fn serial_arithmetic_wraps() {
        assert!(Generation(0).is_newer_than(Generation(255)));
        assert!(Generation(127).is_newer_than(Generation(0)));
        assert!(!Generation(128).is_newer_than(Generation(0)));
        assert!(!Generation(3).is_newer_than(Generation(3)));
        assert!(Sequence(u32::MAX).is_before(Sequence(0)));
        assert!(!Sequence(0).is_before(Sequence(0)));
        assert!(!Sequence(5).is_before(Sequence(u32::MAX)));
        assert_eq!(Sequence(2).since(Sequence(u32::MAX)), 3);
    }
}
