//! The model: the actions of both applications on a stream, and every byte it carries.

use std::sync::OnceLock;

use pinhole::internals::tunnel::StreamKey;

use super::world::datagrams::Datagram;

/// A prime, so that no power of two in the code under test lines up with it.
const PERIOD: usize = 65521;

/// How a stream ended for one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    Aborted,
}

/// One side's end of a stream: what its application knows and wants.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) key: Option<StreamKey>,
    /// Bytes the application wants to send.
    pub(crate) total: u64,
    pub(crate) sent: u64,
    pub(crate) is_finished: bool,
    pub(crate) read: u64,
    pub(crate) saw_end: bool,
    /// Latched readiness: set by events, cleared when there is nothing more.
    pub(crate) is_writable: bool,
    pub(crate) is_readable: bool,
    pub(crate) is_stalled: bool,
    /// The application may send: it opened the stream, or accepted it.
    pub(crate) is_accepted: bool,
    /// The application has reset the stream.
    pub(crate) has_reset: bool,
    pub(crate) outcome: Option<Outcome>,
}

impl End {
    pub(crate) fn is_live(&self) -> bool {
        self.key.is_some() && self.outcome.is_none()
    }
}

/// A stream, both ends; its number is the uid in its target.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) opener: usize,
    pub(crate) is_udp: bool,
    /// Of a UDP flow: what each side sent.
    pub(crate) datagrams: [Vec<Datagram>; 2],
    pub(crate) ends: [End; 2],
    /// Somebody aborted it, or a rule of the specification did.
    pub(crate) may_abort: bool,
    /// It was aborted for another reason than a reset, so that bytes may be missing.
    pub(crate) is_cut: bool,
}

/// Returns the bytes at `offset` of one direction of a stream, as a run of at most `len`.
pub(crate) fn bytes(uid: usize, sender: usize, offset: u64, len: usize) -> &'static [u8] {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        let mut state = 0x9e37_79b9_u32;
        (0..PERIOD)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    });
    let start = (uid as u64 * 7919 + sender as u64 * 31_337 + offset) as usize % PERIOD;
    &pattern[start..PERIOD.min(start + len)]
}

/// Writes the bytes at `offset` of one direction.
pub(crate) fn fill(uid: usize, sender: usize, mut offset: u64, mut out: &mut [u8]) {
    while !out.is_empty() {
        let run = bytes(uid, sender, offset, out.len());
        out[..run.len()].copy_from_slice(run);
        offset += run.len() as u64;
        out = &mut out[run.len()..];
    }
}

/// Tells whether these are the bytes at `offset` of one direction.
pub(crate) fn matches(uid: usize, sender: usize, mut offset: u64, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let run = bytes(uid, sender, offset, data.len());
        if data[..run.len()] != *run {
            return false;
        }
        offset += run.len() as u64;
        data = &data[run.len()..];
    }
    true
}

/// What happened over all seeds: a simulation that exercises nothing proves nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) streams: u64,
    pub(crate) finished: u64,
    pub(crate) aborted: u64,
    /// Resets by an application; such as the other one was told of, and of these those that something was read before.
    pub(crate) resets: u64,
    pub(crate) resets_told: u64,
    pub(crate) resets_behind_bytes: u64,
    pub(crate) bytes: u64,
    pub(crate) carriers: u64,
    pub(crate) lost_messages: u64,
    pub(crate) discarded: u64,
    pub(crate) duplicates: u64,
    pub(crate) stale: u64,
    pub(crate) go_aways: u64,
    pub(crate) listens: u64,
    /// Datagrams that applications sent; that applications got; that came before their CONNECT; that a mux did not
    /// send, and that it dropped when they came.
    pub(crate) datagrams: u64,
    pub(crate) datagrams_received: u64,
    pub(crate) datagrams_early: u64,
    pub(crate) datagrams_unsent: u64,
    pub(crate) datagrams_dropped: u64,
    pub(crate) steps: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Totals) {
        self.streams += other.streams;
        self.finished += other.finished;
        self.aborted += other.aborted;
        self.resets += other.resets;
        self.resets_told += other.resets_told;
        self.resets_behind_bytes += other.resets_behind_bytes;
        self.bytes += other.bytes;
        self.carriers += other.carriers;
        self.lost_messages += other.lost_messages;
        self.discarded += other.discarded;
        self.duplicates += other.duplicates;
        self.stale += other.stale;
        self.go_aways += other.go_aways;
        self.listens += other.listens;
        self.datagrams += other.datagrams;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_early += other.datagrams_early;
        self.datagrams_unsent += other.datagrams_unsent;
        self.datagrams_dropped += other.datagrams_dropped;
        self.steps += other.steps;
    }

    pub(crate) fn assert_that_it_tests_something(&self) {
        assert!(self.finished > 1000 && self.aborted > 100, "hardly any stream lived");
        assert!(
            self.resets > 1000 && self.resets_told > 500 && self.resets_behind_bytes > 200,
            "hardly any reset arrived"
        );
        assert!(self.carriers > 500 && self.lost_messages > 1000, "hardly any carrier died");
        assert!(self.listens > 500, "hardly any reverse forward was answered");
        assert!(self.discarded > 50 && self.duplicates > 50 && self.stale > 50, "hardly anything arrived too late");
        assert!(self.datagrams_received > 10_000 && self.datagrams_early > 500, "hardly a datagram arrived");
        assert!(self.datagrams_unsent > 500 && self.datagrams_dropped > 500, "hardly a datagram was dropped");
    }
}
