//! The state cookie: everything needed to create an association, sealed and kept by the peer (RFC 9260, section 5.1.3).

use std::time::Duration;

use bytes::Bytes;

use crate::random::Random;
use crate::wire::init::{Features, Init};
use crate::wire::{take_u16, take_u32};

/// How long a cookie is valid (RFC 9260, section 16: Valid.Cookie.Life).
const LIFE: Duration = Duration::from_secs(60);

const SEAL: usize = 16;

/// The content of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// When it was made, as time since the first packet.
    pub(crate) made: Duration,
    pub(crate) local_tag: u32,
    pub(crate) local_tsn: u32,
    /// The peer's INIT.
    pub(crate) peer: Init,
    /// The tags, ours and the peer's, of the association that existed then (RFC 9260, section 5.2.2: tie tags); 0 if
    /// none did.
    pub(crate) ties: (u32, u32),
}

/// The result of opening a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Opened {
    Good(Cookie),
    /// It is ours, but expired by this time.
    Stale(Cookie, Duration),
    Forged,
}

impl Cookie {
    /// Seals the cookie for the peer.
    pub(crate) fn seal(&self, random: &Random) -> Bytes {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&(self.made.as_millis() as u64).to_be_bytes());
        for number in [self.local_tag, self.local_tsn, self.ties.0, self.ties.1, self.peer.tag, self.peer.window] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.peer.tsn.to_be_bytes());
        bytes.extend_from_slice(&self.peer.outbound.to_be_bytes());
        bytes.extend_from_slice(&self.peer.inbound.to_be_bytes());
        bytes.push(self.peer.features.bits());
        let seal = random.seal(&bytes);
        bytes.extend_from_slice(&seal);
        bytes.into()
    }

    /// Opens a cookie; `now` is the time since the first packet.
    pub(crate) fn open(bytes: &[u8], random: &Random, now: Duration) -> Opened {
        let Some((body, seal)) = bytes.len().checked_sub(SEAL).and_then(|at| bytes.split_at_checked(at)) else {
            return Opened::Forged;
        };
        // Compare every byte, so that the time reveals nothing.
        let difference = random.seal(body).iter().zip(seal).fold(0, |all, (ours, theirs)| all | (ours ^ theirs));
        let Some(cookie) = (difference == 0).then(|| Cookie::parse(body)).flatten() else { return Opened::Forged };
        match now.saturating_sub(cookie.made).checked_sub(LIFE) {
            Some(late) if !late.is_zero() => Opened::Stale(cookie, late),
            _ => Opened::Good(cookie),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Cookie> {
        let (made, rest) = bytes.split_first_chunk()?;
        let (local_tag, rest) = take_u32(rest)?;
        let (local_tsn, rest) = take_u32(rest)?;
        let (local_tie, rest) = take_u32(rest)?;
        let (peer_tie, rest) = take_u32(rest)?;
        let (tag, rest) = take_u32(rest)?;
        let (window, rest) = take_u32(rest)?;
        let (tsn, rest) = take_u32(rest)?;
        let (outbound, rest) = take_u16(rest)?;
        let (inbound, rest) = take_u16(rest)?;
        let features = Features::from_bits(*rest.first()?);
        let peer = Init { tag, window, outbound, inbound, tsn, features, ..Init::default() };
        let made = Duration::from_millis(u64::from_be_bytes(*made));
        Some(Cookie { made, local_tag, local_tsn, peer, ties: (local_tie, peer_tie) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn cookie() -> Cookie {
        let features = Features { partial: true, ours: true, ..Features::default() };
        let peer = Init { tag: 3, window: 4, outbound: 5, inbound: 6, tsn: 7, features, ..Init::default() };
        Cookie { made: Duration::from_secs(9), local_tag: 1, local_tsn: 2, peer, ties: (8, 9) }
    }

    #[test]
    fn a_cookie_comes_back_as_it_went() {
        let random = Random::new(Seed([1, 2]));
        let bytes = cookie().seal(&random);
        assert_eq!(Cookie::open(&bytes, &random, Duration::from_secs(69)), Opened::Good(cookie()));
        assert_eq!(
            Cookie::open(&bytes, &random, Duration::from_secs(71)),
            Opened::Stale(cookie(), Duration::from_secs(2))
        );
    }

    #[test]
    fn a_changed_cookie_is_forged() {
        let random = Random::new(Seed([1, 2]));
        let bytes = cookie().seal(&random);
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert_eq!(Cookie::open(&changed, &random, Duration::ZERO), Opened::Forged, "byte {at}");
            assert_eq!(Cookie::open(&bytes[..at], &random, Duration::ZERO), Opened::Forged, "{at} bytes");
        }
        assert_eq!(Cookie::open(&bytes, &Random::new(Seed([1, 3])), Duration::ZERO), Opened::Forged);
    }
}
