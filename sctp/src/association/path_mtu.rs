//! Finds the longest packets for the path, with padded HEARTBEATs (RFC 8899 and RFC 9260, section 7.3; padding by RFC
//! 4820).
//!
//! Packets begin with a size that passes everywhere. While data is acknowledged, longer and longer probes leave, one at
//! a time; a probe that is answered raises the size. A longer packet bundles more DATA chunks, which stay short enough
//! for the first size: a chunk cannot be cut again once it has its number, and must pass whatever becomes of the path.
//! If packets of the larger size are lost while shorter ones are not, or the retransmission timeout passes, the first
//! size is used again, and the search begins anew.

use std::time::{Duration, Instant};

use crate::wire::{PACKET_HEADER, padded};

/// Sizes to try, in this order. The last one is what Ethernet carries, minus the headers of IPv6, UDP and DTLS 1.2 with
/// AES-GCM (85 bytes); the others leave room for tunnels and PPPoE.
const STEPS: [usize; 4] = [1240, 1340, 1388, 1412];

/// How often a size is tried before it counts as too large (RFC 8899, section 5.1.2: MAX_PROBES).
const TRIES: u32 = 3;

/// Time until a larger size is tried again (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER).
const PAUSE: Duration = Duration::from_secs(600);

/// Length of a probe without its padding, in bytes: the headers of packet, chunk, parameter and padding, and a nonce.
const LEAST: usize = PACKET_HEADER + 4 + 4 + 8 + 4;

/// A size that is being tried.
#[derive(Debug, Clone, Copy)]
struct Trial {
    size: usize,
    tries: u32,
    /// The same for all probes of the size, so that a late answer counts, too.
    nonce: u64,
    /// When the last probe left. Until something that was sent later is acknowledged, its loss proves nothing.
    sent_at: Option<Instant>,
    /// When the next probe may leave.
    due: Instant,
}

/// ```text
/// Resting ── its time has come, and data flows ──> Trying ── answered ──> Trying (the next size), or Resting for ever
///    ^                                               │  ^
///    └──────────── not answered, three times ────────┘  └── the size is doubted (from whichever it is)
/// ```
#[derive(Debug, Clone, Copy)]
enum Search {
    Resting(Option<Instant>),
    Trying(Trial),
}

/// The search for the size of packets.
#[derive(Debug)]
pub(super) struct PathMtu {
    first: usize,
    size: usize,
    largest: usize,
    search: Search,
}

/// A probe to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) nonce: u64,
    /// The length of the packet, in bytes.
    pub(super) size: usize,
    /// The length of its PAD chunk, in bytes.
    pub(super) padding: usize,
}

impl PathMtu {
    pub(super) fn new(now: Instant, first: usize, largest: usize) -> PathMtu {
        PathMtu { first, size: first, largest, search: Search::Resting(Some(now)) }
    }

    /// Returns when the next probe is due. `heard_at` is when data was last acknowledged.
    pub(super) fn deadline(&self, heard_at: Option<Instant>) -> Option<Instant> {
        let heard_at = heard_at?;
        match self.search {
            Search::Resting(at) => at,
            Search::Trying(trial) => trial.sent_at.is_none_or(|at| at < heard_at).then_some(trial.due),
        }
    }

    /// Returns a probe, if one is due. `number` makes nonces.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        heard_at: Option<Instant>,
        timeout: Duration,
        number: impl FnOnce() -> u64,
    ) -> Option<Probe> {
        if self.deadline(heard_at)? > now {
            return None;
        }
        let mut trial = match self.search {
            Search::Resting(_) => self.next_trial(now, number())?,
            Search::Trying(trial) if trial.tries >= TRIES => {
                self.search = Search::Resting(Some(now + PAUSE));
                return None;
            }
            Search::Trying(trial) => trial,
        };
        trial.tries += 1;
        trial.sent_at = Some(now);
        trial.due = now + timeout;
        self.search = Search::Trying(trial);
        Some(Probe { nonce: trial.nonce, size: trial.size, padding: trial.size - LEAST + 4 })
    }

    /// Handles the answer to a probe. Returns the new packet size if it matches.
    pub(super) fn handle_answer(&mut self, now: Instant, nonce: u64, number: impl FnOnce() -> u64) -> Option<usize> {
        let Search::Trying(trial) = self.search else { return None };
        if trial.nonce != nonce || trial.tries == 0 {
            return None;
        }
        self.size = trial.size;
        if let Some(next) = self.next_trial(now, number()) {
            self.search = Search::Trying(next);
        }
        Some(self.size)
    }

    /// Returns to the first size, because packets of this size no longer seem to pass. Returns the size that is valid
    /// now.
    pub(super) fn handle_doubt(&mut self, now: Instant) -> usize {
        if self.size > self.first {
            self.size = self.first;
            self.search = Search::Resting(Some(now));
        }
        self.size
    }

    /// Returns the trial of the next size; `None` if the search is over.
    fn next_trial(&mut self, now: Instant, nonce: u64) -> Option<Trial> {
        let next = STEPS.into_iter().map(|step| step.min(self.largest)).find(|step| *step > self.size.max(LEAST));
        if next.is_none() {
            self.search = Search::Resting(None);
        }
        next.map(|size| Trial { size: padded(size) & !3, tries: 0, nonce, sent_at: None, due: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTO: Duration = Duration::from_millis(200);

    /// Answers every probe up to `passes`, and returns the sizes that were tried.
    fn search(mtu: &mut PathMtu, mut now: Instant, passes: usize) -> Vec<usize> {
        let mut tried = Vec::new();
        for turn in 0..40 {
            now += RTO;
            if let Some(probe) = mtu.poll(now, Some(now), RTO, || turn) {
                tried.push(probe.size);
                if probe.size <= passes {
                    assert_eq!(mtu.handle_answer(now, probe.nonce, || turn + 100), Some(probe.size));
                }
            }
        }
        tried
    }

    #[test]
    fn sizes_are_tried_in_turn_and_three_times() {
        let now = Instant::now();
        let mut mtu = PathMtu::new(now, 1112, 1412);
        assert_eq!(search(&mut mtu, now, 1350), [1240, 1340, 1388, 1388, 1388]);
        assert_eq!(mtu.size, 1340);
        assert_eq!(search(&mut mtu, now + PAUSE + 40 * RTO, usize::MAX), [1388, 1412]);
        assert_eq!(mtu.deadline(Some(now)), None);
        assert_eq!(mtu.handle_doubt(now), 1112);
        assert_eq!(search(&mut mtu, now, 0), [1240; 3]);
    }

    #[test]
    fn a_probe_that_is_lost_while_nothing_passes_is_not_counted() {
        let now = Instant::now();
        let mut mtu = PathMtu::new(now, 1112, 1412);
        assert!(mtu.poll(now, None, RTO, || 1).is_none(), "no data has flowed");
        assert!(mtu.poll(now, Some(now), RTO, || 1).is_some());
        assert!(mtu.poll(now + 100 * RTO, Some(now), RTO, || 1).is_none());
        assert_eq!(mtu.deadline(Some(now)), None);
        assert!(mtu.poll(now + 100 * RTO, Some(now + RTO), RTO, || 1).is_some());
    }

    #[test]
    fn an_answer_to_another_probe_is_none() {
        let now = Instant::now();
        let mut mtu = PathMtu::new(now, 1112, 1412);
        assert_eq!(mtu.handle_answer(now, 0, || 1), None);
        let probe = mtu.poll(now, Some(now), RTO, || 7).expect("due");
        assert_eq!(probe.size, LEAST - 4 + probe.padding);
        assert_eq!(mtu.handle_answer(now, 8, || 9), None);
        assert_eq!(mtu.handle_answer(now, 7, || 9), Some(1240));
    }
}
