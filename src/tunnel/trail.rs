//! The connections that led to a stream, for noticing a forward that leads back to itself.

/// Maximum number of connections in a trail; the furthest are left out.
pub const MAX_TRAIL: usize = 8;

/// Length of one connection's name on the wire, in bytes.
pub const HOP_LEN: usize = 8;

/// Hash that names one connection. Only the machine that has both its ends can compute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hop(pub [u8; HOP_LEN]);

/// The connections that led to a stream, each to the next one; the nearest comes first. At most [`MAX_TRAIL`], each
/// once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trail(Vec<Hop>);

impl Trail {
    /// Adds a connection that is further away than the others.
    pub fn push(&mut self, hop: Hop) {
        if self.0.len() < MAX_TRAIL && !self.0.contains(&hop) {
            self.0.push(hop);
        }
    }

    /// Returns the connections, the nearest first.
    pub fn hops(&self) -> &[Hop] {
        &self.0
    }

    /// Appends the bytes between the kind of a CONNECT's target and the target: none if the trail is empty.
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
        // A trail that names a connection twice is malformed.
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
