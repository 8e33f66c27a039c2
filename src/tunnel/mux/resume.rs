//! Change of carriers: on each carrier after the first, both sides list what arrived, and the rest is sent again
//! (`docs/protocol.md`, "Resuming on a further carrier").

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;

use super::Mux;
use crate::tunnel::StreamKey;
use crate::tunnel::chunk::MAX_PAYLOAD;
use crate::tunnel::event::Event;
use crate::tunnel::frame::{self, RESUME_ENTRY_LEN, ResumeEntry};
use crate::tunnel::id::StreamId;
use crate::tunnel::reason::{AbortReason, GoAwayReason};
use crate::tunnel::stream::Application;

/// Maximum number of parts of a RESUME list: enough for every stream that can exist.
const MAX_PARTS: u16 = 128;

/// Entries in one part.
const ENTRIES_PER_PART: usize = (MAX_PAYLOAD - 8) / RESUME_ENTRY_LEN;

/// Progress of the change to the newest carrier.
#[derive(Debug)]
pub(super) enum Resumption {
    /// The first carrier: there is nothing to resume.
    NotNeeded,
    /// The carrier is open, but HELLOs were never exchanged, so no list can be made yet.
    AwaitsHello,
    /// Our list is made; the peer's is incomplete.
    AwaitsList { carrier: u32, parts: BTreeMap<u16, Bytes> },
    /// Both lists are complete.
    Complete { carrier: u32 },
}

impl Resumption {
    /// Returns the lowest carrier whose messages still count.
    pub(super) fn floor(&self) -> u32 {
        match self {
            Resumption::NotNeeded | Resumption::AwaitsHello => 0,
            Resumption::AwaitsList { carrier, .. } | Resumption::Complete { carrier } => *carrier,
        }
    }

    /// Tells whether streams may send.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Resumption::NotNeeded | Resumption::Complete { .. })
    }
}

impl Mux {
    /// Moves the session to a carrier that opened. Returns false, and changes nothing, unless its number is the highest
    /// yet.
    pub fn open_carrier(&mut self, now: Instant, number: u32) -> bool {
        if number <= self.carrier {
            return false;
        }
        self.carrier = number;
        self.carrier_is_up = true;
        self.timers.unpause(now);
        self.timers.forget_ping();
        self.answered = None;
        self.pending.hello = true;
        self.pending.pong = None;
        self.repeat_go_away();
        self.listens.ask_again();
        self.resumption = if number == 1 { Resumption::NotNeeded } else { Resumption::AwaitsHello };
        if self.peer.is_some() {
            self.ping_now(now);
            self.begin_resumption();
        }
        true
    }

    /// Handles the loss of a carrier with everything in transit on it. Streams wait for the next one.
    pub fn lose_carrier(&mut self, now: Instant, number: u32) {
        if number == self.carrier && self.carrier_is_up {
            self.carrier_is_up = false;
            self.timers.pause(now);
        }
    }

    /// Returns the number of the session's carrier while it is up.
    pub fn carrier(&self) -> Option<u32> {
        self.carrier_is_up.then_some(self.carrier)
    }

    /// Tells whether streams can move data now.
    pub fn is_ready(&self) -> bool {
        self.carrier_is_up && self.peer.is_some() && self.resumption.is_complete()
    }

    /// Lists what arrived of each stream, and queues the list.
    pub(super) fn begin_resumption(&mut self) {
        if !matches!(self.resumption, Resumption::AwaitsHello) {
            return;
        }
        self.resumption = Resumption::AwaitsList { carrier: self.carrier, parts: BTreeMap::new() };
        let mut entries = Vec::new();
        for (_, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.attached) {
            let (id, generation) = (stream.id, stream.generation);
            let (received, limit) = (stream.receive.acknowledge(), stream.receive.limit());
            entries.push(ResumeEntry { id, generation, received, limit });
        }
        let parts: Vec<&[ResumeEntry]> = match entries.len() {
            0 => vec![&[]],
            _ => entries.chunks(ENTRIES_PER_PART).collect(),
        };
        self.pending.resume.clear();
        for (index, part) in parts.iter().enumerate() {
            let mut message = Vec::new();
            frame::encode_resume_head(&mut message, self.carrier, index as u16, parts.len() as u16);
            for entry in *part {
                entry.encode(&mut message);
            }
            self.pending.resume.push_back(message);
        }
    }

    /// Handles a part of the peer's list.
    pub(super) fn handle_resume(&mut self, now: Instant, part: u16, parts: u16, entries: Bytes) {
        let Resumption::AwaitsList { parts: arrived, carrier } = &mut self.resumption else {
            self.counters.duplicate += 1;
            return;
        };
        if parts > MAX_PARTS {
            return self.fail(now, GoAwayReason::Limit, "a RESUME list longer than any could be".to_owned());
        }
        arrived.insert(part, entries);
        if arrived.len() < usize::from(parts) {
            return;
        }
        let (carrier, arrived) = (*carrier, std::mem::take(arrived));
        self.resumption = Resumption::Complete { carrier };
        let mut list = HashMap::new();
        for mut entries in arrived.into_values() {
            while !entries.is_empty() {
                let Some(entry) = ResumeEntry::decode(&mut entries) else {
                    return self.fail(now, GoAwayReason::Protocol, "a malformed entry in a RESUME list".to_owned());
                };
                list.insert(entry.id, entry);
            }
        }
        let keys: Vec<StreamKey> = self.keys().collect();
        for key in keys {
            self.resume_stream(key, &list);
        }
        self.events.push_back(Event::Resumed);
    }

    fn resume_stream(&mut self, key: StreamKey, list: &HashMap<StreamId, ResumeEntry>) {
        let carrier = self.carrier;
        let Some(stream) = self.get_mut(key) else { return };
        if !stream.attached {
            return;
        }
        let (id, generation) = (stream.id, stream.generation);
        let entry = list.get(&stream.id).filter(|entry| entry.generation == stream.generation);
        let was_known = stream.known_on.is_some_and(|known_on| known_on < carrier);
        if let Some(entry) = entry {
            let (limit, received) = (entry.limit, entry.received);
            stream.send.rewind();
            self.credited(key, limit, received);
        } else if !was_known {
            // The peer does not know the stream, or we lack its CONNECT: send everything.
            stream.send.rewind();
        } else if stream.application == Application::Gone {
            // The peer has our reset, or ended the stream itself.
            self.end_id(id, generation, super::IdStatus::Aborted { told_on: carrier });
            return self.remove(key);
        } else if stream.send.has_said_all() && stream.receive.state().has_ended() {
            let everything = stream.send.never_sent();
            self.credited(key, 0, everything);
        } else {
            // The peer dropped the stream on an earlier carrier, and its ABORT was lost there.
            self.end_id(id, generation, super::IdStatus::Aborted { told_on: carrier });
            self.abort_with_event(key, AbortReason::Reset, "the peer ended the stream while the path was down");
            return;
        }
        self.activate(key);
        self.activate_flow(key);
    }
}
