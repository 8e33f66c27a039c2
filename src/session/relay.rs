//! The relay carrier: the tunnel's messages on the signaling WebSocket.
//!
//! Nothing on the way tells how much waits there, so unanswered data is bounded here. A PING travels in the same order
//! as the data, and its PONG proves that everything before it arrived.

use std::time::{Duration, Instant};

use crate::peer::backlog::Best;
use crate::tunnel::Room;
use crate::tunnel::frame::kind;

/// Minimum limit on unanswered data, in bytes.
const MIN_UNANSWERED: u64 = 64 * 1024;

/// Maximum limit on unanswered data, in bytes.
const MAX_UNANSWERED: u64 = 4 * 1024 * 1024;

/// Maximum number of bytes that may wait in our own WebSocket and socket, so that a PING leaves soon.
const MAX_WAITING: usize = 64 * 1024;

/// Limit on unanswered data, as a multiple of bandwidth × round trip. A PONG comes once per round trip and reports data
/// sent a round trip ago, so twice is what the path holds; the rest lets a faster path show itself.
const FACTOR: f64 = 3.0;

/// Shortest round trip that counts for that limit. Loops on the way take turns of about that time when they are busy,
/// so an idle path may answer much sooner than a busy one, and would never be filled.
const TURN: Duration = Duration::from_millis(1);

/// How long a measured rate and a measured round trip count.
const RATE_WINDOW: Duration = Duration::from_secs(2);
const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(60);

/// The relay is suspect after this much silence, or four round trips if those are longer.
const SILENCE: Duration = Duration::from_secs(5);

/// After this much silence the peer is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(2);

/// The relay carrier of a session.
pub(super) struct Relay {
    /// Number of the carrier.
    pub(super) carrier: u32,
    /// Silence makes the relay suspect.
    is_watched: bool,
    heard_at: Instant,
    asked_at: Instant,
    written: u64,
    answered: u64,
    /// Bytes written before the PING in progress, and when it went out.
    ping: Option<(u64, Instant)>,
    rate: Best<f64>,
    round_trip: Best<Duration>,
    target: u64,
}

impl Relay {
    pub(super) fn new(now: Instant, carrier: u32) -> Relay {
        Relay {
            carrier,
            is_watched: true,
            heard_at: now,
            asked_at: now,
            written: 0,
            answered: 0,
            ping: None,
            rate: Best::new(RATE_WINDOW, |a, b| a > b),
            round_trip: Best::new(ROUND_TRIP_WINDOW, |a, b| a < b),
            target: MIN_UNANSWERED,
        }
    }

    /// Creates a relay on a WebSocket that its owner watches.
    pub(super) fn unwatched(now: Instant, carrier: u32) -> Relay {
        Relay { is_watched: false, ..Relay::new(now, carrier) }
    }

    /// Handles a sign of life from the peer.
    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Returns how many bytes may be written, given how many wait in the WebSocket. A datagram may go while there is
    /// any room, and has a quarter more of it, so that it does not wait for the answers to other data.
    pub(super) fn room(&self, waiting: usize) -> Room {
        let unanswered = self.written - self.answered;
        let room = usize::try_from(self.target.saturating_sub(unanswered)).unwrap_or(usize::MAX);
        let messages = room.min(MAX_WAITING.saturating_sub(waiting));
        let has_share = unanswered < self.target + self.target / 4 && waiting < MAX_WAITING + MAX_WAITING / 4;
        Room { messages, datagrams: if has_share { usize::MAX } else { 0 } }
    }

    /// Counts a message that goes out.
    pub(super) fn handle_sent(&mut self, now: Instant, message: &[u8]) {
        if message.first() == Some(&kind::PING) {
            self.ping = Some((self.written, now));
        }
        self.written += message.len() as u64;
    }

    /// Handles the answer to the PING in progress.
    pub(super) fn handle_round_trip(&mut self, now: Instant, round_trip: Duration) {
        let Some((before, sent_at)) = self.ping.take() else { return };
        let flight = now.saturating_duration_since(sent_at).max(Duration::from_micros(10));
        self.round_trip.add(now, round_trip);
        self.rate.add(now, (before - self.answered) as f64 / flight.as_secs_f64());
        self.answered = before;
        if let (Some(rate), Some(least)) = (self.rate.get(), self.round_trip.get()) {
            let product = FACTOR * rate * least.max(TURN).as_secs_f64();
            self.target = (product as u64).clamp(MIN_UNANSWERED, MAX_UNANSWERED);
        }
    }

    /// Tells whether a PING should go out now, to learn what arrived or whether the peer is alive.
    pub(super) fn poll_ping(&mut self, now: Instant) -> bool {
        let is_quiet = self.asks_at().is_some_and(|at| at <= now);
        if is_quiet {
            self.asked_at = now;
        }
        is_quiet || (self.ping.is_none() && self.written - self.answered >= self.target / 4)
    }

    /// Returns when the peer is asked for a sign of life.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        self.is_watched.then(|| self.heard_at.max(self.asked_at) + QUIET)
    }

    /// Returns when the relay becomes suspect if nothing arrives.
    pub(super) fn trouble_at(&self, round_trip: Option<Duration>) -> Option<Instant> {
        self.is_watched.then(|| self.heard_at + SILENCE.max(round_trip.unwrap_or_default() * 4))
    }

    /// Tells whether something arrived after `since`.
    pub(super) fn is_back(&self, since: Instant) -> bool {
        self.heard_at > since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Keeps a path of this rate (bytes per second) and round trip busy for five seconds. Returns the bytes that
    /// arrived in the last one.
    fn throughput(rate: f64, round_trip: Duration) -> f64 {
        let start = Instant::now();
        let mut now = start;
        let mut relay = Relay::new(now, 1);
        let mut busy_until = now;
        let mut pongs: VecDeque<(Instant, Instant)> = VecDeque::new();
        let mut arrivals: Vec<(Instant, usize)> = Vec::new();
        let mut message = vec![0; 16392];
        while now < start + Duration::from_secs(5) {
            while let Some(&(at, sent_at)) = pongs.front()
                && at <= now
            {
                pongs.pop_front();
                relay.handle_heard(now);
                relay.handle_round_trip(now, now - sent_at);
            }
            while relay.room(0).messages >= message.len() {
                let is_ping = relay.poll_ping(now);
                message[0] = if is_ping { kind::PING } else { kind::DATA };
                relay.handle_sent(now, &message);
                busy_until = busy_until.max(now) + Duration::from_secs_f64(message.len() as f64 / rate);
                arrivals.push((busy_until, message.len()));
                if is_ping {
                    pongs.push_back((busy_until + round_trip, now));
                }
            }
            now += Duration::from_micros(500);
        }
        let last = arrivals.iter().filter(|(at, _)| *at > now - Duration::from_secs(1) && *at <= now);
        last.map(|(_, len)| *len as f64).sum()
    }

    #[test]
    fn the_path_is_used_and_not_flooded() {
        for (rate, millis) in [(12.5e6, 20), (2.5e6, 100), (1.25e6, 50), (50e6, 10)] {
            let round_trip = Duration::from_millis(millis);
            let reached = throughput(rate, round_trip);
            assert!(reached > 0.9 * rate, "{rate} B/s × {millis} ms: {reached}");
        }
    }

    #[test]
    fn a_path_that_is_quick_while_idle_is_used_when_busy() {
        let (start, mut message) = (Instant::now(), vec![0; 16392]);
        let mut relay = Relay::new(start, 1);
        relay.handle_sent(start, &[kind::PING; 16]);
        relay.handle_round_trip(start + Duration::from_micros(100), Duration::from_micros(100));
        let mut sent = 0;
        // Busy loops on the way answer once in a millisecond, whatever came.
        for turn in 1..=1000 {
            let (now, before) = (start + Duration::from_millis(turn), relay.written);
            while relay.room(0).messages >= message.len() {
                message[0] = if relay.poll_ping(now) { kind::PING } else { kind::DATA };
                relay.handle_sent(now, &message);
            }
            sent = relay.written - before;
            relay.handle_heard(now);
            relay.handle_round_trip(now + Duration::from_millis(1), Duration::from_millis(1));
        }
        assert!(sent > 1_000_000, "{sent} bytes in a turn");
    }

    #[test]
    fn what_waits_here_counts() {
        let relay = Relay::new(Instant::now(), 1);
        assert_eq!(relay.room(0).messages, MIN_UNANSWERED as usize);
        assert_eq!(relay.room(MAX_WAITING - 1).messages, 1);
        assert_eq!(relay.room(MAX_WAITING + 1), Room { messages: 0, datagrams: usize::MAX });
        assert_eq!(relay.room(MAX_WAITING * 2), Room { messages: 0, datagrams: 0 });
    }

    #[test]
    fn without_answers_the_target_bounds_what_is_sent() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 1);
        let mut sent = 0;
        while relay.room(0).messages > 0 {
            relay.handle_sent(now, &[kind::DATA; 1024]);
            sent += 1024;
        }
        assert_eq!(sent, MIN_UNANSWERED);
    }

    #[test]
    fn silence_is_asked_about_before_it_is_trouble() {
        let now = Instant::now();
        let mut relay = Relay::new(now, 1);
        assert!(!relay.poll_ping(now + QUIET - Duration::from_millis(1)));
        assert!(relay.poll_ping(now + QUIET));
        assert!(!relay.poll_ping(now + QUIET), "once");
        assert!(relay.trouble_at(None) > relay.asks_at());
        assert_eq!(relay.trouble_at(Some(Duration::from_secs(2))), Some(now + Duration::from_secs(8)));
    }
}
