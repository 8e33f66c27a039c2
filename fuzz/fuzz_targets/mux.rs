//! A mux whose peer sends anything at all: it never panics, and its memory stays bounded.
#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pinhole::internals::tunnel::frame::{self, Frame, ResumeEntry, header, kind};
use pinhole::internals::tunnel::hello::VERSION;
use pinhole::internals::tunnel::mux::MAX_LISTENS;
use pinhole::internals::tunnel::{
    AbortReason, ChunkPool, Config, ConnectTarget, Event, Generation, GoAwayReason, Hello, Mux, Origin, Outbound, Role,
    Room, Sequence, Service, StreamId, StreamKey,
};

/// Maximum number of units of all initial windows in these runs.
const RECEIVE_BUDGET: u64 = 12 * 4096;
const GROWTH_BUDGET: u64 = 20_000;
const SEND_BUDGET: usize = 40_000;
const MAX_STREAMS: u32 = 10;

#[derive(Arbitrary, Debug)]
enum Op {
    /// The peer: random bytes, or something close to a frame.
    Raw {
        below: bool,
        bytes: Vec<u8>,
    },
    Hello {
        initial_credit: u32,
        max_payload: u32,
        max_streams: u32,
        takes_datagrams: bool,
    },
    Stream {
        kind: u8,
        id: u8,
        ours: bool,
        generation: u8,
        sequence: u8,
        len: u16,
    },
    Credit {
        id: u8,
        ours: bool,
        generation: u8,
        limit: u32,
        received: u8,
    },
    Resume {
        part: u8,
        parts: u8,
        entries: Vec<(u8, bool, u8, u8)>,
    },
    Answer,
    Listen {
        id: u16,
        len: u16,
    },
    Listened {
        id: u8,
        is_ok: bool,
    },
    /// The carriers.
    Open {
        skip: u8,
    },
    Lose,
    Transmit {
        max_len: u16,
        /// Room on a channel for datagrams, if there is one.
        datagrams: Option<u16>,
        count: u8,
    },
    Wait {
        millis: u16,
    },
    Due,
    /// The local application.
    Begin {
        hash: u8,
        kind: u8,
    },
    SendDatagram {
        which: u8,
        len: u16,
        count: u8,
    },
    ReceiveDatagrams {
        which: u8,
        count: u8,
    },
    Accept {
        which: u8,
    },
    Send {
        which: u8,
        len: u16,
    },
    Finish {
        which: u8,
    },
    Abort {
        which: u8,
    },
    Read {
        which: u8,
        len: u16,
    },
    Ask {
        id: u8,
    },
    Tell {
        id: u16,
        is_ok: bool,
        len: u16,
    },
    GoAway,
    Close,
}

#[derive(Clone, Copy)]
struct Local {
    key: StreamKey,
    may_send: bool,
}

struct Run {
    mux: Mux,
    role: Role,
    pool: ChunkPool,
    now: Instant,
    carrier: u32,
    live: Vec<Local>,
    pings: Vec<[u8; 8]>,
    wanted: HashSet<u16>,
    told: HashSet<u16>,
}

impl Run {
    fn new(role: Role, rate: Option<u64>) -> Run {
        let config = Config {
            initial_credit: 4096,
            max_streams: MAX_STREAMS,
            receive_budget: RECEIVE_BUDGET,
            growth_budget: GROWTH_BUDGET,
            send_budget: SEND_BUDGET,
            rate,
            services: vec![Service { id: 2, name: "dns".into(), proto: "udp".into(), port: None }],
            ..Config::new(role)
        };
        Run {
            mux: Mux::new(config),
            role,
            pool: ChunkPool::new(),
            now: Instant::now(),
            carrier: 0,
            live: Vec::new(),
            pings: Vec::new(),
            wanted: HashSet::new(),
            told: HashSet::new(),
        }
    }

    fn id(&self, low: u8, ours: bool) -> u16 {
        let by_host = ours == (self.role == Role::Host);
        (u16::from(low) % 16 + 1) | if by_host { 0x8000 } else { 0 }
    }

    fn feed(&mut self, message: impl Into<Bytes>) {
        self.mux.handle_message(self.now, self.carrier, message.into());
    }

    fn pick(&self, which: u8) -> Option<Local> {
        self.live.get(usize::from(which) % self.live.len().max(1)).copied()
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Raw { below, bytes } => {
                let carrier = self.carrier - u32::from(below).min(self.carrier);
                self.mux.handle_message(self.now, carrier, bytes.into());
            }
            Op::Hello { initial_credit, max_payload, max_streams, takes_datagrams } => {
                let hello = Hello {
                    versions: vec![VERSION],
                    agent: String::new(),
                    role: self.role.peer().as_str().into(),
                    initial_credit,
                    max_payload,
                    max_streams,
                    services: Vec::new(),
                    features: takes_datagrams.then(|| "datagrams".to_owned()).into_iter().collect(),
                };
                let mut message = Vec::new();
                frame::encode_session(&mut message, kind::HELLO, &hello.encode());
                self.feed(message);
            }
            Op::Stream { kind, id: low, ours, generation, sequence, len } => {
                let kind = kind % 7 + 1;
                let sequence = Sequence(u32::from(sequence % 32));
                let mut message = header(kind, Generation(generation % 8), self.id(low, ours), sequence).to_vec();
                match kind {
                    // To a TCP service, a UDP service, a UDP address, a reverse forward.
                    kind::CONNECT => message
                        .extend_from_slice([&[0, 0, 1][..], &[0, 0, 2], b"\x03a:1", &[4, 0, 0]][usize::from(len) % 4]),
                    kind::DATA | kind::DATAGRAM => message.resize(message.len() + usize::from(len), 7),
                    // A reset in its place in the order, or another reason, at once.
                    kind::ABORT => message.push(if len % 4 == 0 { 4 } else { 5 }),
                    _ => {}
                }
                if kind != kind::CREDIT {
                    self.feed(message);
                }
            }
            Op::Credit { id: low, ours, generation, limit, received } => {
                let mut message = Vec::new();
                let id = StreamId::new(self.id(low, ours)).expect("never 0");
                let received = Sequence(u32::from(received));
                frame::encode_credit(&mut message, id, Generation(generation % 8), u64::from(limit), received);
                self.feed(message);
            }
            Op::Resume { part, parts, entries } => {
                let mut message = Vec::new();
                frame::encode_resume_head(&mut message, self.carrier, part.into(), parts.into());
                for (low, ours, generation, received) in entries {
                    let id = StreamId::new(self.id(low, ours)).expect("never 0");
                    let (generation, received) = (Generation(generation % 8), Sequence(received.into()));
                    ResumeEntry { id, generation, received, limit: 1 << 20 }.encode(&mut message);
                }
                self.feed(message);
            }
            Op::Answer => {
                if let Some(ping) = self.pings.pop() {
                    let mut message = Vec::new();
                    frame::encode_session(&mut message, kind::PONG, &ping);
                    self.feed(message);
                }
            }
            Op::Listen { id, len } => {
                let mut message = Vec::new();
                frame::encode_listen(&mut message, id, &"x".repeat(len.into()));
                self.feed(message);
            }
            Op::Listened { id, is_ok } => {
                let mut message = Vec::new();
                frame::encode_listened(&mut message, id.into(), if is_ok { Ok("there") } else { Err("no") });
                self.feed(message);
            }
            Op::Open { skip } => {
                self.carrier += 1 + u32::from(skip % 3);
                assert!(self.mux.open_carrier(self.now, self.carrier));
            }
            Op::Lose => self.mux.lose_carrier(self.now, self.carrier),
            Op::Transmit { max_len, datagrams, count } => {
                let datagrams = datagrams.unwrap_or(max_len).into();
                self.transmit(Room { messages: max_len.into(), datagrams }, count);
            }
            Op::SendDatagram { which, len, count } => {
                let Some(local) = self.pick(which) else { return };
                for _ in 0..count {
                    if let Some(mut stream) = self.mux.stream(local.key) {
                        stream.send_datagram(self.now, &vec![7; len.into()], &mut self.pool);
                    }
                }
            }
            Op::ReceiveDatagrams { which, count } => {
                if let Some(mut stream) = self.pick(which).and_then(|local| self.mux.stream(local.key)) {
                    for _ in 0..count {
                        stream.receive_datagram();
                    }
                }
            }
            Op::Wait { millis } => self.now += Duration::from_millis(millis.into()),
            Op::Due => {
                if let Some(due) = self.mux.poll_timeout() {
                    self.now = self.now.max(due);
                    self.mux.handle_timeout(self.now);
                    assert!(self.mux.poll_timeout().is_none_or(|next| next > self.now), "a timer spins");
                }
            }
            Op::Begin { hash, kind } => {
                let target = match kind % 3 {
                    0 => ConnectTarget::Service(9),
                    1 => ConnectTarget::Udp("a:1".into()),
                    _ => ConnectTarget::Reverse(1),
                };
                if let Ok(key) = self.mux.open(hash.into(), &target) {
                    self.live.push(Local { key, may_send: true });
                }
            }
            Op::Ask { id } => self.mux.listen(id.into(), "127.0.0.1:0"),
            Op::Tell { id, is_ok, len } => {
                let text = "y".repeat(len.into());
                self.mux.listened(id, if is_ok { Ok(&text) } else { Err(&text) });
            }
            Op::GoAway => self.mux.go_away(self.now, GoAwayReason::Restart, "fuzz"),
            Op::Close => self.mux.close(GoAwayReason::Shutdown, "fuzz", Origin::Peer),
            Op::Accept { .. } | Op::Send { .. } | Op::Finish { .. } | Op::Abort { .. } | Op::Read { .. } => {
                self.local(&op);
            }
        }
    }

    fn local(&mut self, op: &Op) {
        let (Op::Accept { which }
        | Op::Send { which, .. }
        | Op::Finish { which }
        | Op::Abort { which }
        | Op::Read { which, .. }) = op
        else {
            return;
        };
        let Some(local) = self.pick(*which) else { return };
        let Some(mut stream) = self.mux.stream(local.key) else { return };
        match op {
            Op::Accept { .. } if !local.may_send => {
                stream.accept();
                let entry = self.live.iter_mut().find(|other| other.key == local.key);
                entry.expect("picked from the list").may_send = true;
            }
            Op::Send { len, .. } if local.may_send => {
                let len = stream.poll_send_capacity().min(usize::from(*len));
                if len > 0 {
                    let mut chunk = self.pool.take();
                    chunk.set_len(len);
                    stream.send(self.pool.fit(chunk)).expect("there is capacity");
                }
            }
            Op::Finish { .. } if local.may_send => stream.finish(),
            Op::Abort { .. } => stream.abort(AbortReason::Reset, "fuzz"),
            Op::Read { len, .. } => {
                let ready: usize = stream.readable().map(<[u8]>::len).sum();
                stream.consume(ready.min(usize::from(*len)));
                stream.poll_end();
            }
            _ => {}
        }
    }

    fn transmit(&mut self, room: Room, count: u8) {
        for _ in 0..count {
            let message = match self.mux.poll_channels(self.now, room, &mut self.pool) {
                Some(Outbound::Message(message)) => {
                    assert!(message.len() <= room.messages && message[0] != kind::DATAGRAM);
                    message
                }
                Some(Outbound::Datagram(message)) => {
                    assert!(message.len() <= room.datagrams && message[0] == kind::DATAGRAM);
                    message
                }
                None => break,
            };
            assert!(Frame::decode(Bytes::copy_from_slice(message)).is_ok());
            if message[0] == kind::PING {
                self.pings.push(message[8..].try_into().expect("8 bytes"));
            }
        }
    }

    fn check(&mut self) {
        let [outgoing, incoming, early] = self.mux.datagram_memory();
        assert!(outgoing <= 4 << 20 && incoming <= 4 << 20 && early <= 64 << 10);
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Opened(key, _) => self.live.push(Local { key, may_send: false }),
                Event::Listen { id, .. } => assert!(self.role == Role::Host && self.wanted.insert(id)),
                Event::Listened { id, .. } => assert!(self.role == Role::Client && self.told.insert(id)),
                _ => {}
            }
        }
        assert!(self.wanted.len() <= MAX_LISTENS);
        self.live.retain(|local| self.mux.stream(local.key).is_some());
        let (grown, retained) = self.mux.memory();
        assert!(grown <= GROWTH_BUDGET);
        let one_each = self.mux.stream_count() * 2 * (16 * 1024 + 8);
        assert!(retained <= SEND_BUDGET + one_each, "{retained} bytes retained");
        let mut held = 0;
        for local in self.live.clone() {
            held += self.mux.stream(local.key).map_or(0, |stream| stream.readable().map(<[u8]>::len).sum());
        }
        let ours = self.live.len() as u64 * 4096;
        assert!(held as u64 <= RECEIVE_BUDGET + GROWTH_BUDGET + ours, "{held} bytes held");
    }
}

fuzz_target!(|input: (bool, Option<u32>, Vec<Op>)| {
    let (is_client, rate, ops) = input;
    let mut run = Run::new(if is_client { Role::Client } else { Role::Host }, rate.map(u64::from));
    run.step(Op::Open { skip: 0 });
    for op in ops {
        run.step(op);
        run.check();
    }
    run.mux.close(GoAwayReason::Shutdown, "", Origin::Local);
    run.check();
    run.transmit(Room { messages: usize::MAX, datagrams: usize::MAX }, 1);
    assert_eq!(run.mux.stream_count(), 0);
    assert_eq!((run.mux.memory(), run.pool.outstanding()), ((0, 0), 0));
    assert_eq!(run.mux.datagram_memory(), [0; 3]);
});
