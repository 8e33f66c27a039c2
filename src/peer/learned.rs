//! What ICE may learn from a peer's checks.
//!
//! str0m keeps every address from which a valid request came, and every address that an answer reports as ours, as a
//! further candidate for as long as the connection lives. A hostile peer can name as many as it likes. An honest one
//! has a few, and a new one whenever its NAT changes the mapping.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::ice::StunMessage;

/// Initial limit on source addresses that the peer did not announce as candidates.
const MAX_SOURCES: usize = 64;

/// Initial limit on addresses that answers report as ours: some NATs have one for each pair of addresses.
const MAX_MAPPED: usize = 256;

/// Each time the connection has lived for this long, both limits grow by one: enough for a NAT that restarts.
const INTERVAL: Duration = Duration::from_secs(60);

/// The addresses that a connection's ICE has learned.
#[derive(Debug)]
pub(super) struct Learned {
    since: Instant,
    sources: HashSet<SocketAddr>,
    mapped: HashSet<SocketAddr>,
}

impl Learned {
    pub(super) fn new(now: Instant) -> Learned {
        Learned { since: now, sources: HashSet::new(), mapped: HashSet::new() }
    }

    /// Tells whether a valid STUN message may be fed to ICE: it teaches nothing new, or the limits allow it. `is_told`
    /// means that the peer announced the source as a candidate.
    pub(super) fn admits(&mut self, now: Instant, source: SocketAddr, is_told: bool, datagram: &[u8]) -> bool {
        let Ok(message) = StunMessage::parse(datagram) else { return false };
        let (known, most, address) = if message.is_binding_request() {
            if is_told {
                return true;
            }
            (&mut self.sources, MAX_SOURCES, source)
        } else if let Some(mapped) = message.mapped_address() {
            (&mut self.mapped, MAX_MAPPED, mapped)
        } else {
            return true;
        };
        if known.contains(&address) {
            return true;
        }
        let age = now.saturating_duration_since(self.since);
        let may_learn = known.len() < most + (age.as_secs() / INTERVAL.as_secs()) as usize;
        may_learn && known.insert(address)
    }
}

#[cfg(test)]
mod tests {
    use str0m::ice::TransId;

    use super::*;

    #[test]
    fn addresses_that_answers_call_ours_are_bounded() {
        let now = Instant::now();
        let mut learned = Learned::new(now);
        let mut admitted = |age: u64, third: u8| {
            let now = now + Duration::from_secs(age);
            let addresses = (0..=255).map(|last| SocketAddr::from(([192, 0, third, last], 1)));
            let answers = addresses.map(|mapped| {
                let mut answer = [0; 128];
                let reply = StunMessage::binding_reply(TransId::new(), mapped);
                let len = reply.to_bytes(Some(b"password"), &mut answer, |_, _| [0; 20]).unwrap();
                answer[..len].to_vec()
            });
            let source = SocketAddr::from(([203, 0, 113, 1], 1));
            answers.filter(|answer| learned.admits(now, source, true, answer)).count()
        };
        assert_eq!(admitted(0, 1), MAX_MAPPED);
        assert_eq!(admitted(0, 1), MAX_MAPPED, "known addresses");
        assert_eq!(admitted(59, 2), 0);
        assert_eq!(admitted(125, 2), 2);
    }
}
