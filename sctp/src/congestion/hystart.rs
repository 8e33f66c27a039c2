//! Leaves slow start when the round trip grows, before the queue overflows (RFC 9406).

use std::time::Duration;

/// Smallest and largest growth of the round trip that shows a growing queue.
const MIN_THRESHOLD: Duration = Duration::from_millis(4);
const MAX_THRESHOLD: Duration = Duration::from_millis(16);
/// Samples a round needs before it counts.
const SAMPLES: u32 = 8;
/// Growth is this many times slower while the signal is being confirmed.
const CONSERVATIVE_DIVISOR: u64 = 4;
/// Rounds to confirm the signal.
const CONSERVATIVE_ROUNDS: u32 = 5;

/// The phase of slow start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The window doubles each round.
    Fast,
    /// The round trip grew, from `baseline`; the window grows slowly for some rounds.
    Conservative { baseline: Duration, rounds: u32 },
    /// The signal was confirmed: slow start is over.
    Done,
}

/// Watches round trips during slow start.
#[derive(Debug)]
pub(super) struct Hystart {
    phase: Phase,
    ends_at: u64,
    last_min: Duration,
    min: Duration,
    samples: u32,
}

impl Hystart {
    pub(super) fn new() -> Hystart {
        Hystart { phase: Phase::Fast, ends_at: 0, last_min: Duration::MAX, min: Duration::MAX, samples: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Returns by how many bytes the window grows for `acked` bytes.
    pub(super) fn growth(&self, acked: u64) -> u64 {
        match self.phase {
            Phase::Fast => acked,
            Phase::Conservative { .. } => acked / CONSERVATIVE_DIVISOR,
            Phase::Done => 0,
        }
    }

    /// Handles an acknowledgement: `prior_delivered` bytes were delivered when the acknowledged chunk left, `delivered`
    /// are by now.
    pub(super) fn handle_ack(&mut self, prior_delivered: u64, delivered: u64, round_trip: Option<Duration>) {
        if let Some(sample) = round_trip {
            self.min = self.min.min(sample);
            self.samples += 1;
        }
        if self.samples >= SAMPLES && self.min != Duration::MAX {
            match self.phase {
                Phase::Fast if self.last_min != Duration::MAX => {
                    let threshold = (self.last_min / 8).clamp(MIN_THRESHOLD, MAX_THRESHOLD);
                    if self.min >= self.last_min + threshold {
                        self.phase = Phase::Conservative { baseline: self.min, rounds: 0 };
                    }
                }
                Phase::Conservative { baseline, .. } if self.min < baseline => self.phase = Phase::Fast,
                _ => {}
            }
        }
        if prior_delivered >= self.ends_at {
            self.ends_at = delivered;
            self.last_min = self.min;
            self.min = Duration::MAX;
            self.samples = 0;
            if let Phase::Conservative { baseline, rounds } = self.phase {
                let rounds = rounds + 1;
                self.phase =
                    if rounds > CONSERVATIVE_ROUNDS { Phase::Done } else { Phase::Conservative { baseline, rounds } };
            }
        }
    }
}
