//! Several servers as one: how two servers prove that they belong together, and which of them has a host.
//!
//! Nothing here does I/O. [`greeting`] is the handshake of a link, [`message`] what is said on it, [`names`] the table
//! of who holds which name, and [`framing`] how a client's messages cross a link in a stream. The time comes in as a
//! value. `docs/protocol.md` section 9 is the specification.

pub mod directory;
pub mod framing;
pub mod greeting;
pub mod message;
pub mod names;
mod secrets;

pub use secrets::{Secrets, SecretsError, Tag};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::signaling::binary::Binary;

/// The versions of links that this release speaks.
pub const VERSIONS: &[u32] = &[1];

/// Bytes of a [`ServerId`].
const ID_LEN: usize = 16;

/// Names a server: random at each start. Ids are ordered, for ties.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerId(Binary<ID_LEN>);

impl ServerId {
    /// Creates the id of a server that starts.
    pub fn random() -> ServerId {
        ServerId(Binary(rand::random()))
    }

    /// Returns the id as text.
    pub fn hex(&self) -> String {
        self.0.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Parses what [`ServerId::hex`] returned.
    pub fn parse(text: &str) -> Option<ServerId> {
        unhex(text).map(|bytes| ServerId(Binary(bytes)))
    }

    /// Creates an id of these bytes.
    #[cfg(test)]
    pub fn of(bytes: [u8; ID_LEN]) -> ServerId {
        ServerId(Binary(bytes))
    }
}

impl PartialOrd for ServerId {
    fn partial_cmp(&self, other: &ServerId) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServerId {
    fn cmp(&self, other: &ServerId) -> std::cmp::Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first eight digits, for people.
impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads bytes that are written as small hexadecimal digits.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(is_digit) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Says which of two links between the same servers stays: the one that the smaller id dialled. But a server that has a
/// link does not prove itself on another. If the present one `is_old`, the other side has lost it, and the newer stays.
///
/// `dialled` tells of the present and of the newer link whether we dialled it.
pub fn newer_stays(own: ServerId, other: ServerId, dialled: (bool, bool), is_old: bool) -> bool {
    let (present, newer) = dialled;
    is_old || present == newer || newer == (own < other)
}

#[cfg(test)]
mod simulation_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_keep_the_same_one_of_two_links() {
        let (small, large) = (ServerId::of([1; 16]), ServerId::of([2; 16]));
        // Link 1 was dialled by the smaller, link 2 by the larger; each end may see either first.
        for first_at_small in [1, 2] {
            for first_at_large in [1, 2] {
                let kept = |own: ServerId, other, first: u8| {
                    let is_ours = |link: u8| (link == 1) == (own == small);
                    let second = 3 - first;
                    if newer_stays(own, other, (is_ours(first), is_ours(second)), false) { second } else { first }
                };
                assert_eq!((kept(small, large, first_at_small), kept(large, small, first_at_large)), (1, 1));
            }
        }
        for dialled in [(true, true), (false, false)] {
            assert!(newer_stays(small, large, dialled, false), "whoever dials again has lost the first");
        }
        assert!(newer_stays(small, large, (true, false), true));
    }

    #[test]
    fn ids_are_ordered_and_shown_in_short() {
        let id = ServerId::of([0xab; 16]);
        assert_eq!((id.to_string(), format!("{id:?}")), ("abababab".to_owned(), "abababab".to_owned()));
        assert!(ServerId::of([1; 16]) < id && ServerId::random() != ServerId::random());
    }
}
