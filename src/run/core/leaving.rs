//! Streams of requests that nobody needs any more: their services see an end in order, as behind other proxies. A reset
//! would be an error, and stops services that do not expect one.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Core;
use crate::run::deadlines::Due;
use crate::run::keys::SessionKey;
use crate::tunnel::{AbortReason, StreamKey};

/// Time for a service to end its side.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of bytes a service may send meanwhile; they are dropped.
const MAX_DROPPED: usize = 64 * 1024;

/// Maximum number of leaving streams of one session; beyond it the oldest is reset.
const MAX_LEAVING: usize = 1024;

/// Streams whose sending half is finished, and whose receiving half is read to its end and dropped.
#[derive(Default)]
pub(in crate::run) struct Leaving {
    /// Bytes dropped of each stream.
    sessions: HashMap<SessionKey, HashMap<StreamKey, usize>>,
    /// The deadline of each stream, the nearest first; some streams are gone already.
    order: VecDeque<(Instant, SessionKey, StreamKey)>,
}

impl Leaving {
    /// Tells whether there are none.
    #[cfg(feature = "server")]
    pub(in crate::run) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Returns how many streams of a session are leaving.
    pub(in crate::run) fn count(&self, session: SessionKey) -> usize {
        self.sessions.get(&session).map_or(0, HashMap::len)
    }

    /// Returns the sessions that have any.
    #[cfg(feature = "server")]
    pub(in crate::run) fn sessions(&self) -> impl Iterator<Item = SessionKey> {
        self.sessions.keys().copied()
    }

    /// Forgets all streams of a session that is gone.
    pub(super) fn forget_session(&mut self, session: SessionKey) {
        self.sessions.remove(&session);
    }

    fn forget(&mut self, session: SessionKey, key: StreamKey) {
        if let Some(streams) = self.sessions.get_mut(&session) {
            streams.remove(&key);
            if streams.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }

    fn has(&self, session: SessionKey, key: StreamKey) -> bool {
        self.sessions.get(&session).is_some_and(|streams| streams.contains_key(&key))
    }

    fn oldest(&self, session: SessionKey) -> Option<StreamKey> {
        let mut of_session = self.order.iter().filter(|(_, other, key)| *other == session && self.has(session, *key));
        of_session.next().map(|(_, _, key)| *key)
    }
}

impl Core {
    /// Ends our half of a stream, and reads and drops the rest for a moment.
    pub(in crate::run) fn leave_stream(&mut self, session: SessionKey, key: StreamKey) {
        let now = self.turn.now;
        let Some(mut stream) = self.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key)) else {
            return;
        };
        stream.finish();
        if stream.poll_end() {
            return self.sessions.touch(session);
        }
        if self.leaving.count(session) >= MAX_LEAVING
            && let Some(oldest) = self.leaving.oldest(session)
        {
            self.give_up(session, oldest);
        }
        if self.leaving.order.is_empty() {
            self.turn.deadlines.add(now + TIMEOUT, Due::LeavingStreams);
        }
        self.leaving.order.push_back((now + TIMEOUT, session, key));
        self.leaving.sessions.entry(session).or_default().insert(key, 0);
        self.drop_rest(session, key);
    }

    /// Drops what a service still sends. Returns whether the stream is a leaving one.
    pub(super) fn drop_rest(&mut self, session: SessionKey, key: StreamKey) -> bool {
        let dropped = self.leaving.sessions.get_mut(&session).and_then(|streams| streams.get_mut(&key));
        let Some(dropped) = dropped else { return false };
        let Some(mut stream) = self.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key)) else {
            self.leaving.forget(session, key);
            return true;
        };
        loop {
            let Some(len) = stream.readable().next().map(<[u8]>::len) else { break };
            if *dropped > MAX_DROPPED {
                break;
            }
            stream.consume(len);
            *dropped += len;
        }
        let (is_over, is_too_much) = (stream.poll_end(), *dropped > MAX_DROPPED);
        self.sessions.touch(session);
        if is_over {
            self.leaving.forget(session, key);
        } else if is_too_much {
            self.give_up(session, key);
        }
        true
    }

    /// Resets a stream whose service does not end its side. The service has seen our end by then, and its writes fail.
    fn give_up(&mut self, session: SessionKey, key: StreamKey) {
        self.leaving.forget(session, key);
        if let Some(stream) = self.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key)) {
            stream.abort(AbortReason::Reset, "");
            self.sessions.touch(session);
        }
    }

    /// Resets streams whose time is over.
    pub(super) fn give_up_late(&mut self) {
        while let Some(&(at, session, key)) = self.leaving.order.front() {
            if at > self.turn.now {
                return self.turn.deadlines.add(at, Due::LeavingStreams);
            }
            self.leaving.order.pop_front();
            if self.leaving.has(session, key) {
                self.give_up(session, key);
            }
        }
    }
}
