//! Watches what both muxes send, and checks it against the specification.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use pinhole::internals::tunnel::credit::cost;
use pinhole::internals::tunnel::frame::{Frame, ResumeEntry, Sequenced, SessionFrame, StreamFrame};
use pinhole::internals::tunnel::{AbortReason, ConnectTarget, Generation, Sequence, StreamId};

type Name = (StreamId, Generation);

/// What one side has sent on a stream.
#[derive(Debug, Default)]
struct Sent {
    next: u32,
    units: u64,
    closed: bool,
    reset: bool,
}

/// The frames from and to one side.
#[derive(Debug, Default)]
struct SideWire {
    sent: HashMap<Name, Sent>,
    limits: HashMap<Name, u64>,
    initial_limit: u64,
    got_hello: bool,
    /// Carriers on which its HELLO, its whole RESUME list, the peer's first RESUME part went by.
    said_hello: HashSet<u32>,
    said_resume: HashMap<u32, u16>,
    got_resume: HashSet<u32>,
    /// Reverse forwards asked for or answered, by carrier.
    said_listens: HashSet<(u32, u16)>,
}

/// The observer between the muxes.
#[derive(Debug)]
pub(crate) struct Wire {
    sides: [SideWire; 2],
    uids: HashMap<Name, usize>,
}

impl Wire {
    pub(crate) fn new(initial_credits: [u32; 2]) -> Wire {
        let side = |peer: usize| SideWire { initial_limit: u64::from(initial_credits[peer]), ..SideWire::default() };
        Wire { sides: [side(1), side(0)], uids: HashMap::new() }
    }

    /// Checks a message a mux hands out. Returns the stream the mux aborts by a rule of its own, and why.
    pub(crate) fn sent(&mut self, from: usize, carrier: u32, message: &Bytes) -> Option<(usize, AbortReason)> {
        let frame = Frame::decode(message.clone()).expect("a mux sends frames");
        let side = &mut self.sides[from];
        if side.said_hello.insert(carrier) {
            assert!(matches!(frame, Frame::Session(SessionFrame::Hello(_))), "HELLO comes first, not {frame:?}");
            return None;
        }
        assert!(side.got_hello, "nothing but HELLO before the peer's HELLO came: {frame:?}");
        match frame {
            Frame::Session(SessionFrame::Hello(_)) => panic!("a second HELLO on carrier {carrier}"),
            Frame::Session(SessionFrame::Resume { carrier: list, parts, part, .. }) => {
                assert_eq!(list, carrier, "a list is sent on its carrier");
                let said = side.said_resume.entry(carrier).or_insert(0);
                assert_eq!(*said, part, "every part once");
                assert!(part < parts);
                *said += 1;
            }
            _ if carrier > 1 => assert!(side.said_resume.contains_key(&carrier), "RESUME follows HELLO, not {frame:?}"),
            _ => {}
        }
        let frame = Frame::decode(message.clone()).expect("it did above");
        if let Frame::Session(SessionFrame::Listen(id, _) | SessionFrame::Listened(id, _)) = &frame {
            assert!(side.said_listens.insert((carrier, *id)), "{frame:?} twice on carrier {carrier}");
        }
        let Frame::Stream(id, generation, frame) = frame else { return None };
        let name = (id, generation);
        match frame {
            // Nothing is before it: it is as immediate as any other abort.
            StreamFrame::Sequenced(Sequence(0), Sequenced::Reset(_)) => {
                self.uids.get(&name).map(|uid| (*uid, AbortReason::Reset))
            }
            StreamFrame::Sequenced(sequence, frame) => {
                self.sequenced(from, carrier, name, sequence.0, frame);
                None
            }
            StreamFrame::Abort(reason, _) => self.uids.get(&name).map(|uid| (*uid, reason)),
            StreamFrame::Credit { .. } => None,
            StreamFrame::Datagram(payload) => {
                let uid = u32::from_be_bytes(payload[..4].try_into().unwrap()) as usize;
                assert_eq!(self.uids.get(&name), Some(&uid), "a datagram goes behind its CONNECT, under its name");
                None
            }
        }
    }

    /// Takes note of a message that reaches a mux.
    pub(crate) fn delivered(&mut self, to: usize, carrier: u32, message: &Bytes) {
        let side = &mut self.sides[to];
        match Frame::decode(message.clone()).expect("a mux sends frames") {
            Frame::Session(SessionFrame::Hello(_)) => side.got_hello = true,
            Frame::Session(SessionFrame::Resume { mut entries, .. }) => {
                side.got_resume.insert(carrier);
                while let Some(entry) = ResumeEntry::decode(&mut entries) {
                    side.raise((entry.id, entry.generation), entry.limit);
                }
                assert!(entries.is_empty());
            }
            Frame::Stream(id, generation, StreamFrame::Credit { limit, .. }) => side.raise((id, generation), limit),
            Frame::Session(_) | Frame::Stream(..) => {}
        }
    }

    fn sequenced(&mut self, from: usize, carrier: u32, name: Name, sequence: u32, frame: Sequenced) {
        if let Sequenced::Connect(ConnectTarget::Tcp(target) | ConnectTarget::Udp(target), _) = &frame {
            let uid = target.strip_suffix(":1").and_then(|uid| uid.parse().ok()).expect("targets carry a uid");
            if self.uids.insert(name, uid) != Some(uid) {
                // Generations come round after 256 uses.
                for side in &mut self.sides {
                    side.sent.remove(&name);
                    side.limits.remove(&name);
                }
            }
        }
        let side = &mut self.sides[from];
        if carrier > 1 {
            assert!(side.got_resume.contains(&carrier), "streams wait for the peer's list on carrier {carrier}");
        }
        let sent = side.sent.entry(name).or_default();
        assert!(sequence <= sent.next, "{name:?}: frame {sequence} before {}", sent.next);
        if sequence < sent.next {
            return;
        }
        let is_reset = matches!(frame, Sequenced::Reset(_));
        assert!(!sent.reset && (!sent.closed || is_reset), "{name:?}: {frame:?} after the end");
        sent.next += 1;
        match frame {
            Sequenced::Data(payload) => sent.units += cost(payload.len()),
            Sequenced::Close => sent.closed = true,
            Sequenced::Reset(_) => sent.reset = true,
            Sequenced::Connect(..) | Sequenced::Accept => assert_eq!(sequence, 0),
        }
        let limit = side.limits.get(&name).copied().unwrap_or(side.initial_limit);
        assert!(sent.units <= limit, "{name:?}: {} units sent, {limit} granted", sent.units);
    }
}

impl SideWire {
    fn raise(&mut self, name: Name, limit: u64) {
        let known = self.limits.entry(name).or_insert(self.initial_limit);
        *known = limit.max(*known);
    }
}
