//! The deadlines of the mux. Delays are constant, so a plain queue serves each kind of deadline.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use super::{Life, Mux};
use crate::tunnel::StreamKey;
use crate::tunnel::reason::AbortReason;
use crate::tunnel::stream::{ReceiveState, Stream};

/// Longest time until an arrived frame is acknowledged.
const ACK_DELAY: Duration = Duration::from_secs(1);

/// How long frames wait for the CONNECT they overtook.
const CONNECT_WAIT: Duration = Duration::from_secs(30);

/// Time between PINGs while streams are active.
const PING_ACTIVE: Duration = Duration::from_secs(1);

/// Time between PINGs while the session is idle.
const PING_IDLE: Duration = Duration::from_secs(15);

/// Queues of streams shorter than this are not searched for dead streams.
const MIN_PRUNED: usize = 64;

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
    /// Registers activity of streams: PINGs become more frequent.
    pub(super) fn activity(&mut self) {
        self.is_active = true;
    }

    /// Returns the payload of a PING that goes out at `now`.
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

    /// Forgets a PING that went out on an earlier carrier.
    pub(super) fn forget_ping(&mut self) {
        self.outstanding = None;
    }

    /// Stops the clock while there is no carrier.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
        self.outstanding = None;
    }

    /// Starts the clock again. The time without a carrier does not count for what waits.
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
    /// Handles all deadlines up to `now`.
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
        self.handle_rate_timeout(now);
        while let Some(&(deadline, key)) = self.timers.acks.front()
            && deadline <= now
        {
            self.timers.acks.pop_front();
            if let Some(stream) = self.get_mut(key) {
                stream.receive.leave_acks();
                if stream.receive.owes_ack() {
                    self.queue_credit(key);
                }
            }
        }
        while let Some(&(deadline, key)) = self.timers.connects.front()
            && deadline <= now
        {
            self.timers.connects.pop_front();
            if self.get(key).is_some_and(|stream| stream.receive.state() == ReceiveState::Head) {
                self.abort(key, AbortReason::Timeout, "the CONNECT never came");
            }
        }
        if self.timers.next_ping().is_some_and(|due| due <= now) {
            self.ping_now(now);
        }
    }

    /// Sends a PING now; the interval to the next one begins here.
    pub fn ping_now(&mut self, now: Instant) {
        self.timers.ping_base = Some(now);
        self.timers.is_active = false;
        // Keep a PING that is still unanswered: a slow PONG must find it.
        self.pending.ping = self.timers.outstanding.is_none();
    }

    /// Returns when [`Mux::handle_timeout`] must be called next.
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
        let rate = self.rates.as_ref().and_then(super::Rates::poll_timeout);
        [end, ack, connect, rate, self.timers.next_ping()].into_iter().flatten().min()
    }

    /// Sets the deadline for acknowledging what arrived on a stream, in case nothing else does so earlier.
    pub(super) fn acknowledge_later(&mut self, now: Instant, key: StreamKey) {
        if let Some(stream) = self.get_mut(key)
            && stream.receive.enter_acks()
        {
            prune(&mut self.timers.acks, &self.streams, |(_, key)| *key);
            self.timers.acks.push_back((now + ACK_DELAY, key));
        }
    }

    /// Sets the deadline for the CONNECT of a stream.
    pub(super) fn await_connect(&mut self, now: Instant, key: StreamKey) {
        prune(&mut self.timers.connects, &self.streams, |(_, key)| *key);
        self.timers.connects.push_back((now + CONNECT_WAIT, key));
    }
}

/// Removes dead streams from a queue once they can outnumber the live ones. However fast a peer opens and aborts
/// streams, the queue stays in proportion to the table.
pub(super) fn prune<T>(queue: &mut VecDeque<T>, streams: &Slab<Stream>, key: impl Fn(&T) -> StreamKey) {
    if queue.len() >= 2 * streams.len() + MIN_PRUNED {
        queue.retain(|entry| {
            let StreamKey { index, serial } = key(entry);
            streams.get(index as usize).is_some_and(|stream| stream.serial == serial)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::frame::{encode_abort, encode_session, header, kind};
    use crate::tunnel::{ChunkPool, Config, ConnectTarget, Generation, Hello, Role, Sequence, StreamId};

    /// Returns a host's mux that can send, and the time.
    fn ready(config: Config) -> (Mux, Instant) {
        let hello = Hello {
            versions: vec![1],
            agent: String::new(),
            role: "client".to_owned(),
            initial_credit: 1 << 20,
            max_payload: 16384,
            max_streams: 100,
            services: Vec::new(),
            features: Vec::new(),
        };
        let (mut mux, now) = (Mux::new(config), Instant::now());
        let mut message = Vec::new();
        encode_session(&mut message, kind::HELLO, &hello.encode());
        mux.open_carrier(now, 1);
        mux.handle_message(now, 1, message.into());
        (mux, now)
    }

    #[test]
    fn a_peer_that_opens_and_aborts_in_a_hurry_fills_no_queue() {
        let (mut mux, now) = ready(Config::new(Role::Host));
        let mut abort = Vec::new();
        for generation in (0..=255).map(Generation) {
            for id in (1..50).filter_map(StreamId::new) {
                let mut data = header(kind::DATA, generation, id.value(), Sequence(1)).to_vec();
                data.push(0);
                mux.handle_message(now, 1, data.into());
                let connect = header(kind::CONNECT, generation, id.value(), Sequence(0));
                mux.handle_message(now, 1, [&connect[..], &[0, 0, 0]].concat().into());
                let close = header(kind::CLOSE, generation, id.value(), Sequence(2));
                mux.handle_message(now, 1, close.to_vec().into());
                encode_abort(&mut abort, id, generation, AbortReason::Reset, "");
                mux.handle_message(now, 1, abort.clone().into());
            }
        }
        assert_eq!(mux.stream_count(), 0);
        let lengths = [mux.timers.connects.len(), mux.timers.acks.len(), mux.pending.credits.len()];
        assert!(lengths.iter().all(|len| *len <= MIN_PRUNED), "{lengths:?}");
    }

    #[test]
    fn a_stream_starves_once_however_often_it_is_credited() {
        let (mut mux, now) = ready(Config { send_budget: 10_000, ..Config::new(Role::Host) });
        let mut pool = ChunkPool::new();
        let key = mux.open(1, &ConnectTarget::Service(0)).unwrap();
        let mut chunk = pool.take();
        chunk.set_len(12_000);
        assert!(mux.stream(key).unwrap().poll_send_capacity() >= 12_000);
        mux.stream(key).unwrap().send(chunk).unwrap();
        while mux.poll_transmit(now, usize::MAX, &mut pool).is_some() {}
        for _ in 0..1000 {
            assert_eq!(mux.stream(key).unwrap().poll_send_capacity(), 0);
            mux.credited(key, 0, Sequence(0));
        }
        assert_eq!(mux.starved.len(), 1);
        mux.credited(key, 0, Sequence(2));
        assert_eq!((mux.starved.len(), mux.retained), (0, 0));
        assert!(mux.stream(key).unwrap().poll_send_capacity() > 0);
    }
}
