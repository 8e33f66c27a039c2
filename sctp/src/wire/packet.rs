//! Packets: a header, and chunks (RFC 9260, sections 3 and 3.1).

use bytes::Bytes;

use super::{PACKET_HEADER, kind, padded, take_u16};

/// Position of the checksum in the header.
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// A packet that arrived with a right checksum.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tag: u32,
    bytes: Bytes,
}

/// One chunk of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawChunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) value: &'a [u8],
    /// The whole chunk, with its header and without padding.
    pub(crate) whole: &'a [u8],
}

impl Packet {
    /// Parses a packet. `takes_zero` means that the peer was told it may omit the checksum; then zero passes (RFC 9653,
    /// section 5.3), except if the first chunk is an INIT or a COOKIE ECHO.
    pub(crate) fn parse(bytes: Bytes, takes_zero: bool) -> Option<Packet> {
        let (header, chunks) = bytes.split_at_checked(PACKET_HEADER)?;
        let (source_port, rest) = take_u16(header)?;
        let (destination_port, rest) = take_u16(rest)?;
        let tag = u32::from_be_bytes(*rest.first_chunk()?);
        let first = *chunks.first()?;
        let sum = header.get(CHECKSUM)?;
        let is_zero = sum == [0; 4] && takes_zero && !matches!(first, kind::INIT | kind::COOKIE_ECHO);
        if !is_zero && sum != checksum(&bytes) {
            return None;
        }
        Some(Packet { source_port, destination_port, tag, bytes })
    }

    /// Iterates over the chunks; ends at the first that is malformed.
    pub(crate) fn chunks(&self) -> Chunks<'_> {
        Chunks { rest: self.bytes.get(PACKET_HEADER..).unwrap_or_default() }
    }

    /// Returns a part of this packet, as returned by [`Packet::chunks`], for keeping.
    pub(crate) fn keep(&self, part: &[u8]) -> Bytes {
        // A small part of a large packet is copied, so that the kept memory is what is counted.
        if part.len() * 2 < self.bytes.len() { Bytes::copy_from_slice(part) } else { self.bytes.slice_ref(part) }
    }
}

/// See [`Packet::chunks`].
#[derive(Debug)]
pub(crate) struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Chunks<'a> {
    type Item = RawChunk<'a>;

    fn next(&mut self) -> Option<RawChunk<'a>> {
        let [kind, flags, high, low, ..] = *self.rest else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let whole = self.rest.get(..length)?;
        let value = whole.get(4..)?;
        self.rest = self.rest.get(padded(length)..).unwrap_or_default();
        Some(RawChunk { kind, flags, value, whole })
    }
}

/// Returns the checksum of a packet as in the header: CRC32c with the field taken as zero (RFC 9260, appendix A).
pub(crate) fn checksum(packet: &[u8]) -> [u8; 4] {
    let (head, rest) = packet.split_at_checked(CHECKSUM.start).unwrap_or((packet, &[]));
    let sum = crc32c::crc32c_append(crc32c::crc32c(head), &[0; 4]);
    crc32c::crc32c_append(sum, rest.get(4..).unwrap_or_default()).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c_in_little_endian() {
        // The check value of CRC32c is that of "123456789"; RFC 3720, appendix B.4, has that of 32 zeros.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn a_zero_checksum_passes_only_where_it_was_agreed() {
        let packet = |kind| Bytes::from(vec![0, 1, 0, 2, 9, 9, 9, 9, 0, 0, 0, 0, kind, 0, 0, 4]);
        assert!(Packet::parse(packet(kind::COOKIE_ACK), true).is_some());
        assert!(Packet::parse(packet(kind::COOKIE_ACK), false).is_none());
        assert!(Packet::parse(packet(kind::INIT), true).is_none());
        assert!(Packet::parse(packet(kind::COOKIE_ECHO), true).is_none());
        let mut wrong = packet(kind::COOKIE_ACK).to_vec();
        wrong[9] = 1;
        assert!(Packet::parse(wrong.into(), true).is_none());
    }

    #[test]
    fn a_length_that_lies_ends_the_chunks() {
        let chunks = |bytes: &[u8]| Chunks { rest: bytes }.count();
        assert_eq!(chunks(&[3, 0, 0, 4, 3, 0, 0, 4]), 2);
        assert_eq!(chunks(&[3, 0, 0, 5, 1, 0, 0, 0, 3, 0, 0, 4]), 2);
        assert_eq!(chunks(&[3, 0, 0, 5, 1]), 1, "padding that is not there is not missed");
        for lie in [&[3, 0, 0, 3][..], &[3, 0, 0, 0], &[3, 0, 0, 5], &[3, 0, 255, 255], &[3, 0]] {
            assert_eq!(chunks(lie), 0, "{lie:?}");
        }
    }
}
