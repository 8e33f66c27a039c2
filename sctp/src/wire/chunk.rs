//! The chunks of an established association: DATA, SACK, FORWARD-TSN.

use super::{DATA_HEADER, take_u16, take_u32};

/// Flags of a DATA chunk (RFC 9260, section 3.3.1; the I bit is that of RFC 7053).
const END: u8 = 1;
const BEGIN: u8 = 2;
const UNORDERED: u8 = 4;
const IMMEDIATE: u8 = 8;

/// The header of a DATA chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataHeader {
    pub(crate) tsn: u32,
    pub(crate) stream: u16,
    pub(crate) ssn: u16,
    pub(crate) protocol: u32,
    pub(crate) is_begin: bool,
    pub(crate) is_end: bool,
    pub(crate) is_unordered: bool,
    pub(crate) is_immediate: bool,
}

impl DataHeader {
    /// Parses the header from the flags and the value of a chunk, and returns it with the payload.
    pub(crate) fn parse(flags: u8, value: &[u8]) -> Option<(DataHeader, &[u8])> {
        let (tsn, rest) = take_u32(value)?;
        let (stream, rest) = take_u16(rest)?;
        let (ssn, rest) = take_u16(rest)?;
        let (protocol, payload) = take_u32(rest)?;
        let has = |flag| flags & flag != 0;
        let header = DataHeader {
            tsn,
            stream,
            ssn,
            protocol,
            is_begin: has(BEGIN),
            is_end: has(END),
            is_unordered: has(UNORDERED),
            is_immediate: has(IMMEDIATE),
        };
        Some((header, payload))
    }

    /// Returns the bytes of a chunk of `length` bytes up to its payload.
    pub(crate) fn encode(&self, length: usize) -> [u8; DATA_HEADER] {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let mut bytes = [0; DATA_HEADER];
        bytes[1] = flag(self.is_begin, BEGIN)
            | flag(self.is_end, END)
            | flag(self.is_unordered, UNORDERED)
            | flag(self.is_immediate, IMMEDIATE);
        bytes[2..4].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        bytes[4..8].copy_from_slice(&self.tsn.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.stream.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.ssn.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.protocol.to_be_bytes());
        bytes
    }
}

/// A selective acknowledgement (RFC 9260, section 3.3.4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative: u32,
    pub(crate) window: u32,
    gaps: &'a [u8],
    duplicates: &'a [u8],
}

impl<'a> Sack<'a> {
    /// Parses the value of a chunk.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Sack<'a>> {
        let (cumulative, rest) = take_u32(value)?;
        let (window, rest) = take_u32(rest)?;
        let (gaps, rest) = take_u16(rest)?;
        let (duplicates, rest) = take_u16(rest)?;
        let (gaps, rest) = rest.split_at_checked(usize::from(gaps) * 4)?;
        let duplicates = rest.get(..usize::from(duplicates) * 4)?;
        Some(Sack { cumulative, window, gaps, duplicates })
    }

    /// Iterates over the blocks beyond the cumulative number, as distances of their first and last number from it.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (u16, u16)> + 'a {
        self.gaps
            .chunks_exact(4)
            .map(|gap| (u16::from_be_bytes([gap[0], gap[1]]), u16::from_be_bytes([gap[2], gap[3]])))
    }

    /// Iterates over the numbers that arrived more than once.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = u32> + 'a {
        self.duplicates.chunks_exact(4).filter_map(|bytes| Some(take_u32(bytes)?.0))
    }
}

/// Tells the receiver to skip everything up to a number (RFC 3758, section 3.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForwardTsn<'a> {
    pub(crate) cumulative: u32,
    skipped: &'a [u8],
}

impl<'a> ForwardTsn<'a> {
    /// Parses the value of a chunk.
    pub(crate) fn parse(value: &'a [u8]) -> Option<ForwardTsn<'a>> {
        let (cumulative, skipped) = take_u32(value)?;
        Some(ForwardTsn { cumulative, skipped })
    }

    /// Iterates over the streams with skipped ordered messages, and the number of the last one.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (u16, u16)> + 'a {
        self.skipped
            .chunks_exact(4)
            .map(|skip| (u16::from_be_bytes([skip[0], skip[1]]), u16::from_be_bytes([skip[2], skip[3]])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_header_survives_the_wire() {
        for flags in 0..16u8 {
            let header = DataHeader {
                tsn: 0xdead_beef,
                stream: 7,
                ssn: 65535,
                protocol: 53,
                is_begin: flags & 1 != 0,
                is_end: flags & 2 != 0,
                is_unordered: flags & 4 != 0,
                is_immediate: flags & 8 != 0,
            };
            let mut bytes = header.encode(19).to_vec();
            bytes.extend_from_slice(b"abc");
            assert_eq!(bytes[..4], [0, bytes[1], 0, 19]);
            assert_eq!(DataHeader::parse(bytes[1], &bytes[4..]), Some((header, &b"abc"[..])));
        }
        assert!(DataHeader::parse(0, &[0; 11]).is_none());
    }

    #[test]
    fn a_sack_with_false_counts_is_refused() {
        let mut value = vec![0, 0, 0, 9, 0, 0, 1, 0, 0, 1, 0, 1, 0, 2, 0, 3, 0, 0, 0, 7];
        let sack = Sack::parse(&value).expect("whole");
        assert_eq!((sack.cumulative, sack.window), (9, 256));
        assert_eq!(sack.gaps().collect::<Vec<_>>(), [(2, 3)]);
        assert_eq!(sack.duplicates().collect::<Vec<_>>(), [7]);
        value[9] = 2;
        assert!(Sack::parse(&value).is_none());
        value[9] = 255;
        value[8] = 255;
        assert!(Sack::parse(&value).is_none());
    }
}
