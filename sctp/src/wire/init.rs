//! INIT and INIT ACK, which have the same form (RFC 9260, sections 3.3.2 and 3.3.3).

use bytes::Bytes;

use super::parameter::{self, parameters};
use super::{kind, take_u16, take_u32};

const STATE_COOKIE: u16 = 7;
const UNRECOGNIZED: u16 = 8;
/// RFC 9653, section 4.
const ZERO_CHECKSUM: u16 = 0x8001;
/// RFC 5061, section 4.2.7.
const SUPPORTED_EXTENSIONS: u16 = 0x8008;
/// RFC 3758, section 3.1.
const FORWARD_TSN: u16 = 0xc000;
/// Marks a sender of this crate, and the extensions it understands. The upper bits make others skip the parameter
/// without a report (RFC 9260, section 3.2.1).
const OURS: u16 = 0x9f70;

/// Parameters that others know but have no meaning here: addresses, ECN and authentication. They are not reported.
const KNOWN: &[u16] = &[5, 6, 9, 11, 12, 0x8000, 0x8002, 0x8003, 0x8004, 0x8005, 0xc006];

/// Error detection by DTLS instead of the checksum (RFC 9653, section 3).
const BY_DTLS: u32 = 1;

/// The high bits of an unknown type (RFC 9260, section 3.2.1).
const GOES_ON: u16 = 0x8000;
const IS_REPORTED: u16 = 0x4000;

/// Maximum number of bytes of unrecognized parameters that are reported.
const MAX_REPORTED: usize = 256;

/// Minimum window that may be announced (RFC 9260, section 3.3.2).
pub(crate) const MIN_WINDOW: u32 = 1500;

/// Optional features of an end beyond RFC 9260.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Features {
    /// FORWARD-TSN (RFC 3758).
    pub(crate) partial: bool,
    /// RE-CONFIG (RFC 6525).
    pub(crate) reset: bool,
    /// Accepts packets without checksum (RFC 9653).
    pub(crate) zero_checksum: bool,
    /// Is of this crate: skips PAD, and needs only one acknowledgement per batch.
    pub(crate) ours: bool,
}

impl Features {
    /// Returns the features as the bits of a byte.
    pub(crate) fn bits(self) -> u8 {
        let Features { partial, reset, zero_checksum, ours } = self;
        [partial, reset, zero_checksum, ours].iter().rev().fold(0, |bits, is_set| bits << 1 | u8::from(*is_set))
    }

    /// Returns the features of [`Features::bits`].
    pub(crate) fn from_bits(bits: u8) -> Features {
        let has = |bit: u8| bits & bit != 0;
        Features { partial: has(1), reset: has(2), zero_checksum: has(4), ours: has(8) }
    }
}

/// An INIT or an INIT ACK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Init {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outbound: u16,
    pub(crate) inbound: u16,
    pub(crate) tsn: u32,
    pub(crate) features: Features,
    /// Only in an INIT ACK.
    pub(crate) cookie: Option<Bytes>,
    /// Parameters that must be reported: read from an INIT, for the INIT ACK.
    pub(crate) unrecognized: Vec<u8>,
}

impl Init {
    /// Parses the value of a chunk; `None` if it is too short.
    pub(crate) fn parse(value: &[u8]) -> Option<Init> {
        let (tag, rest) = take_u32(value)?;
        let (window, rest) = take_u32(rest)?;
        let (outbound, rest) = take_u16(rest)?;
        let (inbound, rest) = take_u16(rest)?;
        let (tsn, rest) = take_u32(rest)?;
        let mut init = Init { tag, window, outbound, inbound, tsn, ..Init::default() };
        for parameter in parameters(rest) {
            match parameter.kind {
                STATE_COOKIE => init.cookie = Some(Bytes::copy_from_slice(parameter.value)),
                ZERO_CHECKSUM => init.features.zero_checksum = parameter.value == BY_DTLS.to_be_bytes(),
                SUPPORTED_EXTENSIONS => {
                    init.features.partial |= parameter.value.contains(&kind::FORWARD_TSN);
                    init.features.reset |= parameter.value.contains(&kind::RE_CONFIG);
                }
                FORWARD_TSN => init.features.partial = true,
                OURS => init.features.ours = true,
                UNRECOGNIZED => {}
                known if KNOWN.contains(&known) => {}
                unknown => {
                    if unknown & IS_REPORTED != 0 && init.unrecognized.len() + parameter.whole.len() <= MAX_REPORTED {
                        parameter::put(&mut init.unrecognized, UNRECOGNIZED, parameter.whole);
                    }
                    if unknown & GOES_ON == 0 {
                        break;
                    }
                }
            }
        }
        Some(init)
    }

    /// Tells whether the mandatory values are valid (RFC 9260, section 3.3.2).
    pub(crate) fn is_valid(&self) -> bool {
        self.tag != 0 && self.outbound != 0 && self.inbound != 0 && self.window >= MIN_WINDOW
    }

    /// Returns the value of the chunk.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&self.tag.to_be_bytes());
        bytes.extend_from_slice(&self.window.to_be_bytes());
        bytes.extend_from_slice(&self.outbound.to_be_bytes());
        bytes.extend_from_slice(&self.inbound.to_be_bytes());
        bytes.extend_from_slice(&self.tsn.to_be_bytes());
        if let Some(cookie) = &self.cookie {
            parameter::put(&mut bytes, STATE_COOKIE, cookie);
        }
        let mut extensions = Vec::new();
        if self.features.partial {
            parameter::put(&mut bytes, FORWARD_TSN, &[]);
            extensions.push(kind::FORWARD_TSN);
        }
        if self.features.reset {
            extensions.push(kind::RE_CONFIG);
        }
        if self.features.ours {
            extensions.push(kind::PAD);
        }
        parameter::put(&mut bytes, SUPPORTED_EXTENSIONS, &extensions);
        if self.features.zero_checksum {
            parameter::put(&mut bytes, ZERO_CHECKSUM, &BY_DTLS.to_be_bytes());
        }
        if self.features.ours {
            parameter::put(&mut bytes, OURS, &[0, 1, 0, 0]);
        }
        bytes.extend_from_slice(&self.unrecognized);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_survives_the_wire() {
        for bits in 0..16 {
            let init = Init {
                tag: 1,
                window: 2000,
                outbound: 3,
                inbound: 4,
                tsn: 5,
                features: Features::from_bits(bits),
                cookie: Some(Bytes::from_static(b"state")),
                unrecognized: Vec::new(),
            };
            assert_eq!(init.features.bits(), bits);
            assert_eq!(Init::parse(&init.value()), Some(init));
        }
        assert_eq!(Init::parse(&[0; 15]), None);
    }

    #[test]
    fn what_is_unknown_is_skipped_or_reported_as_it_asks() {
        let mut value = Init { tag: 1, window: 1500, outbound: 1, inbound: 1, ..Init::default() }.value();
        parameter::put(&mut value, 0x9f71, b"skip");
        parameter::put(&mut value, 0xdf71, b"report");
        parameter::put(&mut value, 0x1f71, b"stop");
        parameter::put(&mut value, FORWARD_TSN, &[]);
        let init = Init::parse(&value).expect("long enough");
        assert!(!init.features.partial, "what follows one that stops is not read");
        let mut reported = Vec::new();
        parameter::put(&mut reported, 0xdf71, b"report");
        assert_eq!(parameters(&init.unrecognized).map(|p| p.whole.len()).collect::<Vec<_>>(), [4 + 10]);
        assert!(init.unrecognized.windows(6).any(|bytes| bytes == b"report"));
    }

    #[test]
    fn reports_do_not_grow_without_bound() {
        let mut value = Init { tag: 1, window: 1500, outbound: 1, inbound: 1, ..Init::default() }.value();
        (0..200).for_each(|_| parameter::put(&mut value, 0xdf71, b"more"));
        assert!(Init::parse(&value).expect("long enough").unrecognized.len() <= 2 * MAX_REPORTED);
    }
}
