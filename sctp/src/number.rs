//! Numbers that wrap around on the wire, kept at full length inside.
//!
//! A TSN has 32 bits and an SSN 16 on the wire, and both start again at zero (RFC 9260, sections 1.6 and 6.6). Inside,
//! each is a 64-bit number that only grows, so comparisons are those of integers. A number from the wire becomes the
//! candidate nearest to a known number.

/// A transmission sequence number (RFC 9260, section 3.3.1) at full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tsn(u64);

impl Tsn {
    /// Creates the first number of a sequence that starts with `wire`, with room below it for older numbers.
    pub(crate) fn first(wire: u32) -> Tsn {
        Tsn((1 << 32) + u64::from(wire))
    }

    /// Returns the number nearest to this one that is `wire` on the wire.
    pub(crate) fn near(self, wire: u32) -> Tsn {
        let distance = wire.wrapping_sub(self.wire()) as i32;
        Tsn(self.0.wrapping_add_signed(i64::from(distance)))
    }

    /// Returns the number on the wire.
    pub(crate) fn wire(self) -> u32 {
        self.0 as u32
    }

    pub(crate) fn next(self) -> Tsn {
        Tsn(self.0.wrapping_add(1))
    }

    pub(crate) fn previous(self) -> Tsn {
        Tsn(self.0.wrapping_sub(1))
    }

    pub(crate) fn plus(self, count: u64) -> Tsn {
        Tsn(self.0.wrapping_add(count))
    }

    /// Returns how many numbers this one is after `earlier`; 0 if it is not.
    pub(crate) fn since(self, earlier: Tsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A stream sequence number (RFC 9260, section 3.3.1) at full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ssn(u64);

impl Ssn {
    /// The first number of every stream.
    pub(crate) const FIRST: Ssn = Ssn(1 << 16);

    /// Returns the number nearest to this one that is `wire` on the wire.
    pub(crate) fn near(self, wire: u16) -> Ssn {
        let distance = wire.wrapping_sub(self.wire()) as i16;
        Ssn(self.0.wrapping_add_signed(i64::from(distance)))
    }

    /// Returns the number on the wire.
    pub(crate) fn wire(self) -> u16 {
        self.0 as u16
    }

    pub(crate) fn next(self) -> Ssn {
        Ssn(self.0.wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_number_becomes_the_nearest() {
        let last = Tsn::first(u32::MAX);
        assert_eq!(last.near(0), last.next());
        assert_eq!(last.next().near(u32::MAX), last);
        assert_eq!(last.near(u32::MAX - 5).plus(5), last);
        assert_eq!(Tsn::first(0).near(u32::MAX), Tsn::first(0).previous());
        assert_eq!(last.plus(3).wire(), 2);
        assert_eq!(last.plus(3).since(last), 3);
        assert_eq!(last.since(last.plus(3)), 0);
    }

    #[test]
    fn stream_numbers_wrap_too() {
        assert_eq!(Ssn::FIRST.wire(), 0);
        assert!(Ssn::FIRST.near(u16::MAX) < Ssn::FIRST);
        let last = Ssn::FIRST.near(30_000).near(60_000).near(u16::MAX);
        assert_eq!(last.near(0), last.next());
        assert_eq!(last.next().wire(), 0);
    }
}
