//! The mux's clockwork. Delays are constant, so each kind of deadline is a plain queue.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Life, Mux};
use crate::tunnel::StreamKey;
use crate::tunnel::frame::AbortReason;
use crate::tunnel::stream::ReceiveState;

/// What arrived is acknowledged at the latest after this time.
const ACK_DELAY: Duration = Duration::from_secs(1);

/// How long frames wait for the CONNECT they overtook.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Time between PINGs while streams carry something.
const PING_ACTIVE: Duration = Duration::from_secs(1);

/// Time between PINGs while nothing happens.
const PING_IDLE: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Timers {
    acks: VecDeque<(Instant, StreamKey)>,
    connects: VecDeque<(Instant, StreamKey)>,
    ping_base: Option<Instant>,
    is_active: bool,
    ping_count: u64,
    outstanding: Option<(u64, Instant)>,
    paused_at: Option<Instant>,
}

impl Timers {
    /// Takes note that streams carry something.
    pub(super) fn activity(&mut self) {
        self.is_active = true;
    }

    /// Makes the payload of a PING that goes out now.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 8] {
        self.ping_count += 1;
        self.outstanding = Some((self.ping_count, now));
        self.ping_count.to_be_bytes()
    }

    /// Returns the round trip, if the PONG answers the PING sent last.
    pub(super) fn pong(&mut self, now: Instant, bytes: [u8; 8]) -> Option<Duration> {
        let (count, sent) = self.outstanding?;
        if count != u64::from_be_bytes(bytes) {
            return None;
        }
        self.outstanding = None;
        Some(now.saturating_duration_since(sent))
    }

    /// Gives a stream's CONNECT some time to come.
    pub(super) fn await_connect(&mut self, now: Instant, key: StreamKey) {
        self.connects.push_back((now + CONNECT_WAIT, key));
    }

    /// Stops the clock while there is no carrier.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
        self.outstanding = None;
    }

    /// Starts the clock again; nothing that waited is nearer to its end than before.
    pub(super) fn unpause(&mut self, now: Instant) {
        if let Some(paused_at) = self.paused_at.take() {
            let outage = now.saturating_duration_since(paused_at);
            for (deadline, _) in self.connects.iter_mut().chain(&mut self.acks) {
                *deadline += outage;
            }
        }
    }

    fn next_ping(&self) -> Option<Instant> {
        Some(self.ping_base? + if self.is_active { PING_ACTIVE } else { PING_IDLE })
    }
}

impl Mux {
    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Life::Draining { reason, origin, deadline, .. } = self.life
            && deadline <= now
        {
            return self.end(reason, origin);
        }
        if let Life::Failed { reason, deadline, .. } = self.life
            && deadline <= now
        {
            return self.end(reason, crate::tunnel::Origin::Local);
        }
        if self.timers.paused_at.is_some() {
            return;
        }
        while let Some(&(deadline, key)) = self.timers.acks.front()
            && deadline <= now
        {
            self.timers.acks.pop_front();
            if let Some(stream) = self.get_mut(key) {
                stream.receive.ack_pending = false;
                if stream.owes_ack() {
                    self.queue_credit(key);
                }
            }
        }
        while let Some(&(deadline, key)) = self.timers.connects.front()
            && deadline <= now
        {
            self.timers.connects.pop_front();
            if self.get(key).is_some_and(|stream| stream.receive.state == ReceiveState::Head) {
                self.abort(key, AbortReason::Timeout, "the CONNECT never came");
            }
        }
        if self.timers.next_ping().is_some_and(|due| due <= now) {
            self.ping_now(now);
        }
    }

    /// Sends a PING, and the next ones in their time from here.
    pub(super) fn ping_now(&mut self, now: Instant) {
        self.timers.ping_base = Some(now);
        self.timers.is_active = false;
        self.pending.ping = true;
    }

    /// Returns when [`Mux::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let end = match self.life {
            Life::Draining { deadline, .. } | Life::Failed { deadline, .. } => Some(deadline),
            Life::Running => None,
            Life::Ended => return None,
        };
        if self.timers.paused_at.is_some() {
            return end;
        }
        let ack = self.timers.acks.front().map(|(deadline, _)| *deadline);
        let connect = self.timers.connects.front().map(|(deadline, _)| *deadline);
        [end, ack, connect, self.timers.next_ping()].into_iter().flatten().min()
    }

    /// Sees to it that what arrived is acknowledged, if nothing else does so earlier.
    pub(super) fn acknowledge_later(&mut self, now: Instant, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.owes_ack()
            && !std::mem::replace(&mut stream.receive.ack_pending, true)
        {
            self.timers.acks.push_back((now + ACK_DELAY, key));
        }
    }
}
