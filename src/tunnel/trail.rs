//! The connections that led to a stream, so that a forward that leads back to itself is noticed.

/// The most connections a trail names; those that are furthest away are left out.
pub const MAX_TRAIL: usize = 8;

/// Length of one connection's name on the wire, in bytes.
pub const HOP_LEN: usize = 8;

/// One connection, by a hash that the machine which has both its ends can make, and nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop(pub [u8; HOP_LEN]);

/// Connections that led to a stream, each to the next one, the nearest first. At most [`MAX_TRAIL`], each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail(Vec<Hop>);

impl Trail {
    /// Adds a connection that is further away than those there are.
    pub fn push(&mut self, hop: Hop) {
        if self.0.len() < MAX_TRAIL && !self.0.contains(&hop) {
            self.0.push(hop);
        }
    }

    /// Returns the connections, the nearest first.
    pub fn hops(&self) -> &[Hop] {
        &self.0
    }

    /// Appends what stands between the kind of a CONNECT's target and the target: nothing if the trail is empty.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if !self.0.is_empty() {
            out.push(self.0.len() as u8);
            self.0.iter().for_each(|hop| out.extend_from_slice(&hop.0));
        }
    }

    /// Reads a trail that is not empty off the front of `payload`.
    pub(super) fn decode(payload: &[u8]) -> Option<(Trail, &[u8])> {
        let (&count, rest) = payload.split_first()?;
        let count = usize::from(count);
        if count == 0 || count > MAX_TRAIL || rest.len() < count * HOP_LEN {
            return None;
        }
        let (hops, rest) = rest.split_at(count * HOP_LEN);
        let mut trail = Trail::default();
        for hop in hops.chunks_exact(HOP_LEN) {
            trail.push(Hop(hop.try_into().ok()?));
        }
        // One that names a connection twice is none.
        (trail.0.len() == count).then_some((trail, rest))
    }
}

impl FromIterator<Hop> for Trail {
    fn from_iter<T: IntoIterator<Item = Hop>>(hops: T) -> Trail {
        let mut trail = Trail::default();
        hops.into_iter().for_each(|hop| trail.push(hop));
        trail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trail_is_short_and_has_everything_once() {
        let trail: Trail = (0..20).flat_map(|n| [Hop([n; 8]), Hop([n; 8])]).collect();
        assert_eq!(trail.hops(), (0..8).map(|n| Hop([n; 8])).collect::<Vec<_>>());
        let mut out = Vec::new();
        trail.encode(&mut out);
        out.extend_from_slice(b"rest");
        assert_eq!(Trail::decode(&out), Some((trail, &b"rest"[..])));
    }

    #[test]
    fn what_is_no_trail_is_refused() {
        let twice = [&[2][..], &[1; 16]].concat();
        for payload in [&b""[..], b"\0", b"\x01short", &[9; 80], &twice] {
            assert_eq!(Trail::decode(payload), None, "{payload:?}");
        }
    }
}
