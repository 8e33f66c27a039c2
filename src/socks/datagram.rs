//! The header of every datagram between a local program and the relay of a UDP ASSOCIATE (RFC 1928, section 7).

use thiserror::Error;

use super::address::{self, AddressError, RawAddress};
use crate::address::Target;

/// Longest header, in bytes: with a name of 255.
pub const MAX_HEADER: usize = 3 + 1 + 1 + 255 + 2;

/// Reserved bytes and the number of the fragment, before the address.
const FIXED: usize = 3;

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// It is shorter than its header.
    #[error("the datagram is shorter than its header")]
    Truncated,
    /// It is a fragment. Reassembly is optional, and hardly any program sends fragments.
    #[error("the datagram is a fragment, which is not supported")]
    Fragment,
    /// Its address cannot be sent to.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// Splits a program's datagram into destination and payload, which may be empty.
///
/// # Errors
/// [`DatagramError`]: drop the datagram without an answer.
pub fn decode(bytes: &[u8]) -> Result<(Target, &[u8]), DatagramError> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(DatagramError::Truncated)?;
    // The reserved bytes may have any value: dropping the datagram would gain nothing.
    if fixed[2] != 0 {
        return Err(DatagramError::Fragment);
    }
    let (address, length) = RawAddress::decode(rest)?.ok_or(DatagramError::Truncated)?;
    Ok((address.target()?, &rest[length..]))
}

/// Puts the header before a payload that came from `source`, which is the destination the program named. `None` if the
/// host is longer than 255 bytes, which no host of [`decode`] is.
#[must_use]
pub fn encode(source: &Target, payload: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(MAX_HEADER + payload.len());
    bytes.extend([0; FIXED]);
    if !address::encode(&source.host, source.port, &mut bytes) {
        return None;
    }
    bytes.extend(payload);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.to_owned(), port }
    }

    #[test]
    fn each_kind_of_address_is_read_and_written() {
        let mapped = [&[0, 0, 0, 4][..], &[0; 10], &[255, 255, 10, 0, 0, 1, 0, 53], b"x"].concat();
        assert_eq!(decode(&mapped), Ok((target("10.0.0.1", 53), &b"x"[..])));
        let rows: [(Vec<u8>, Target); 4] = [
            (vec![0, 0, 0, 1, 127, 0, 0, 1, 0, 53], target("127.0.0.1", 53)),
            ([&[0, 0, 0, 4][..], &[0; 15], &[1, 0xff, 0xff]].concat(), target("::1", 65535)),
            ([&[0, 0, 0, 3, 6][..], b"a.test", &[0, 53]].concat(), target("a.test", 53)),
            ([&[0, 0, 0, 3, 9][..], b"127.0.0.1", &[0, 53]].concat(), target("127.0.0.1", 53)),
        ];
        for (index, (header, expected)) in rows.into_iter().enumerate() {
            for payload in [&b""[..], b"query"] {
                let datagram = [&header, payload].concat();
                assert_eq!(decode(&datagram), Ok((expected.clone(), payload)));
                // The last one is an address written as a name.
                assert_eq!(encode(&expected, payload).unwrap() == datagram, index != 3);
            }
        }
    }

    #[test]
    fn what_cannot_be_sent_on_is_dropped() {
        let rows: [(&[u8], DatagramError); 11] = [
            (&[], DatagramError::Truncated),
            (&[0, 0], DatagramError::Truncated),
            (&[0, 0, 0], DatagramError::Truncated),
            (&[0, 0, 0, 1, 127, 0, 0, 1, 0], DatagramError::Truncated),
            (&[0, 0, 0, 3, 200, b'a', 0, 53], DatagramError::Truncated),
            (&[0, 0, 1, 1, 127, 0, 0, 1, 0, 53], DatagramError::Fragment),
            (&[0, 0, 0x80, 1, 127, 0, 0, 1, 0, 53], DatagramError::Fragment),
            (&[0, 0, 0, 2, 127, 0, 0, 1, 0, 53], DatagramError::Address(AddressError::Type(2))),
            (&[0, 0, 0, 1, 127, 0, 0, 1, 0, 0], DatagramError::Address(AddressError::Port)),
            (&[0, 0, 0, 3, 0, 0, 53], DatagramError::Address(AddressError::Host)),
            (&[0, 0, 0, 3, 2, b'a', 0, 0, 53], DatagramError::Address(AddressError::Host)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(decode(bytes), Err(expected), "{bytes:?}");
        }
        assert_eq!(encode(&target(&"a".repeat(256), 1), b""), None);
    }

    proptest! {
        #[test]
        fn any_datagram_is_survived_and_answered_from_where_it_went(
            start in prop_oneof![Just(vec![]), (0..6u8).prop_map(|kind| vec![0, 0, 0, kind])],
            rest in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok((target, payload)) = decode(&[start, rest].concat()) {
                let answer = encode(&target, payload).unwrap();
                prop_assert!(answer.len() <= MAX_HEADER + payload.len());
                prop_assert_eq!(decode(&answer), Ok((target, payload)));
            }
        }
    }
}
