//! Streams that no visitor needs: their services see an end in order, as behind other proxies. A reset would be an
//! error, and stops services that do not expect one.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Server;
use crate::run::deadlines::{Due, ServerDue};
use crate::run::keys::SessionKey;
use crate::tunnel::{AbortReason, StreamKey};

/// Time for a service to end its side.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of bytes a service may send meanwhile; they are dropped.
const MAX_DROPPED: usize = 64 * 1024;

/// Maximum number of leaving streams of one host; beyond it the oldest is reset.
const MAX_LEAVING: usize = 1024;

/// Streams whose sending half is finished, and whose receiving half is read to its end and dropped.
#[derive(Default)]
pub(super) struct Leaving {
    /// Bytes dropped of each stream.
    hosts: HashMap<SessionKey, HashMap<StreamKey, usize>>,
    /// The deadline of each stream, the nearest first; some streams are gone already.
    order: VecDeque<(Instant, SessionKey, StreamKey)>,
}

impl Leaving {
    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Returns how many streams of a host are leaving.
    pub(super) fn count(&self, session: SessionKey) -> usize {
        self.hosts.get(&session).map_or(0, HashMap::len)
    }

    /// Forgets all streams of a host that is gone.
    pub(super) fn forget_host(&mut self, session: SessionKey) {
        self.hosts.remove(&session);
    }

    pub(super) fn forget(&mut self, session: SessionKey, key: StreamKey) {
        if let Some(streams) = self.hosts.get_mut(&session) {
            streams.remove(&key);
            if streams.is_empty() {
                self.hosts.remove(&session);
            }
        }
    }

    fn has(&self, session: SessionKey, key: StreamKey) -> bool {
        self.hosts.get(&session).is_some_and(|streams| streams.contains_key(&key))
    }

    fn oldest(&self, session: SessionKey) -> Option<StreamKey> {
        let mut of_host = self.order.iter().filter(|(_, other, key)| *other == session && self.has(session, *key));
        of_host.next().map(|(_, _, key)| *key)
    }
}

impl Server {
    /// Ends our half of a stream, and reads and drops the rest for a moment.
    pub(super) fn leave_stream(&mut self, session: SessionKey, key: StreamKey) {
        let now = self.core.turn.now;
        let Some(mut stream) = self.core.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key))
        else {
            return;
        };
        stream.finish();
        if stream.poll_end() {
            return self.core.sessions.touch(session);
        }
        if self.leaving.count(session) >= MAX_LEAVING
            && let Some(oldest) = self.leaving.oldest(session)
        {
            self.give_up(session, oldest);
        }
        if self.leaving.order.is_empty() {
            self.core.turn.deadlines.add(now + TIMEOUT, Due::Server(ServerDue::Leaving));
        }
        self.leaving.order.push_back((now + TIMEOUT, session, key));
        self.leaving.hosts.entry(session).or_default().insert(key, 0);
        self.drop_rest(session, key);
    }

    /// Drops what a service still sends. Returns whether the stream is a leaving one.
    pub(super) fn drop_rest(&mut self, session: SessionKey, key: StreamKey) -> bool {
        let dropped = self.leaving.hosts.get_mut(&session).and_then(|streams| streams.get_mut(&key));
        let Some(dropped) = dropped else { return false };
        let Some(mut stream) = self.core.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key))
        else {
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
        self.core.sessions.touch(session);
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
        if let Some(stream) = self.core.sessions.get_mut(session).and_then(|entry| entry.session.mux().stream(key)) {
            stream.abort(AbortReason::Reset, "");
            self.core.sessions.touch(session);
        }
    }

    /// Resets streams whose time is over.
    pub(super) fn give_up_late(&mut self) {
        while let Some(&(at, session, key)) = self.leaving.order.front() {
            if at > self.core.turn.now {
                return self.core.turn.deadlines.add(at, Due::Server(ServerDue::Leaving));
            }
            self.leaving.order.pop_front();
            if self.leaving.has(session, key) {
                self.give_up(session, key);
            }
        }
    }
}
