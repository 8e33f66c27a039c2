//! A mux on a test bench: the test is its peer, its application and its clock.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole::internals::tunnel::frame::{self, Frame, ResumeEntry, Sequenced, SessionFrame, StreamFrame, header, kind};
use pinhole::internals::tunnel::hello::VERSION;
use pinhole::internals::tunnel::{
    AbortReason, ChunkPool, Config, ConnectTarget, Event, Generation, Hello, Mux, Role, Sequence, StreamId, StreamKey,
    Trail,
};

/// Room for any message.
pub(crate) const ROOM: usize = 65536;

/// The id of the peer's streams in most tests (the mux under test is the host's).
pub(crate) const ID: u16 = 7;

pub(crate) struct Rig {
    pub(crate) mux: Mux,
    pub(crate) pool: ChunkPool,
    pub(crate) now: Instant,
    pub(crate) carrier: u32,
}

impl Rig {
    /// A host whose first carrier is open and whose peer said HELLO.
    pub(crate) fn host() -> Rig {
        Rig::host_with(|_| {})
    }

    pub(crate) fn host_with(change: impl FnOnce(&mut Config)) -> Rig {
        let mut rig = Rig::silent_host(change);
        rig.open(1);
        rig.feed(hello(|_| {}));
        rig.sent();
        assert!(matches!(rig.events()[..], [Event::Hello(_)]));
        rig
    }

    /// A client whose first carrier is open and whose peer said HELLO.
    pub(crate) fn client() -> Rig {
        let mut rig = Rig::silent(Config::new(Role::Client));
        rig.open(1);
        rig.feed(hello(|hello| hello.role = "host".into()));
        rig.sent();
        assert!(matches!(rig.events()[..], [Event::Hello(_)]));
        rig
    }

    /// A host that has no carrier yet.
    pub(crate) fn silent_host(change: impl FnOnce(&mut Config)) -> Rig {
        let mut config = Config::new(Role::Host);
        change(&mut config);
        Rig::silent(config)
    }

    pub(crate) fn silent(config: Config) -> Rig {
        Rig { mux: Mux::new(config), pool: ChunkPool::new(), now: Instant::now(), carrier: 0 }
    }

    pub(crate) fn open(&mut self, carrier: u32) {
        assert!(self.mux.open_carrier(self.now, carrier));
        self.carrier = carrier;
    }

    /// Opens the next carrier and completes the change to it: the peer lists `entries`. Returns what the mux listed.
    pub(crate) fn resume(&mut self, entries: &[ResumeEntry]) -> Vec<ResumeEntry> {
        self.open(self.carrier + 1);
        self.feed(hello(|_| {}));
        let listed = listed(&self.sent());
        self.feed(resume(self.carrier, 0, 1, entries));
        listed
    }

    /// Hands the mux a message on the newest carrier.
    pub(crate) fn feed(&mut self, message: Bytes) {
        self.feed_on(self.carrier, message);
    }

    pub(crate) fn feed_on(&mut self, carrier: u32, message: Bytes) {
        self.mux.handle_message(self.now, carrier, message);
    }

    /// Takes all messages out of the mux but PINGs.
    pub(crate) fn sent(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(message) = self.mux.poll_transmit(self.now, ROOM, &mut self.pool) {
            frames.push(Frame::decode(Bytes::copy_from_slice(message)).expect("a mux sends frames"));
        }
        frames.retain(|frame| !matches!(frame, Frame::Session(SessionFrame::Ping(_))));
        frames
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.mux.poll_event()).collect()
    }

    /// Lets time pass, with every timer handled when it is due.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.mux.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.mux.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Makes the peer open a stream.
    pub(crate) fn opened(&mut self, generation: u8) -> StreamKey {
        self.feed(connect(ID, generation));
        match &self.events()[..] {
            [Event::Opened(key, ConnectTarget::Service(0))] => *key,
            other => panic!("a CONNECT opens a stream, not {other:?}"),
        }
    }

    /// Makes the peer open a stream, and accepts it.
    pub(crate) fn accepted(&mut self, generation: u8) -> StreamKey {
        let key = self.opened(generation);
        self.mux.stream(key).unwrap().accept();
        assert_eq!(self.sent(), [bare(ID, generation, 0, Sequenced::Accept)]);
        key
    }

    /// Makes the peer open a UDP flow, and accepts it.
    pub(crate) fn accepted_udp(&mut self, id: u16, generation: u8) -> StreamKey {
        self.feed(connect_udp(id, generation));
        let events = self.events();
        let [Event::Opened(key, ConnectTarget::Udp(_))] = events[..] else { panic!("{events:?}") };
        self.mux.stream(key).unwrap().accept();
        assert_eq!(self.sent(), [bare(id, generation, 0, Sequenced::Accept)]);
        key
    }

    pub(crate) fn send_datagram(&mut self, key: StreamKey, payload: &[u8]) {
        self.mux.stream(key).unwrap().send_datagram(self.now, payload, &mut self.pool);
    }

    /// Takes the datagrams that arrived.
    pub(crate) fn datagrams(&mut self, key: StreamKey) -> Vec<Bytes> {
        let mut stream = self.mux.stream(key).unwrap();
        std::iter::from_fn(|| stream.receive_datagram()).collect()
    }

    /// Opens a stream of ours and sends its CONNECT. Returns its id, too.
    pub(crate) fn own(&mut self) -> (StreamKey, u16) {
        let key = self.mux.open(1, &ConnectTarget::Service(3)).unwrap();
        let id = self.mux.stream(key).unwrap().id().value();
        assert_eq!(self.sent(), [bare(id, 0, 0, Sequenced::Connect(ConnectTarget::Service(3), Trail::default()))]);
        (key, id)
    }

    pub(crate) fn write(&mut self, key: StreamKey, bytes: &[u8]) {
        let mut chunk = self.pool.take();
        chunk.room_mut()[..bytes.len()].copy_from_slice(bytes);
        chunk.set_len(bytes.len());
        let mut stream = self.mux.stream(key).unwrap();
        assert!(stream.poll_send_capacity() >= bytes.len());
        stream.send(self.pool.fit(chunk)).expect("there is capacity");
    }

    pub(crate) fn finish(&mut self, key: StreamKey) {
        self.mux.stream(key).unwrap().finish();
    }

    /// Takes everything readable, and looks whether that was the end.
    pub(crate) fn read(&mut self, key: StreamKey) -> Vec<u8> {
        let mut stream = self.mux.stream(key).unwrap();
        let bytes: Vec<u8> = stream.readable().flatten().copied().collect();
        stream.consume(bytes.len());
        stream.poll_end();
        bytes
    }
}

// Frames the peer sends

fn raw(kind: u8, id: u16, generation: u8, sequence: u32, payload: &[u8]) -> Bytes {
    let mut message = header(kind, Generation(generation), id, Sequence(sequence)).to_vec();
    message.extend_from_slice(payload);
    message.into()
}

pub(crate) fn connect(id: u16, generation: u8) -> Bytes {
    raw(kind::CONNECT, id, generation, 0, &[0, 0, 0])
}

pub(crate) fn accept(id: u16, generation: u8) -> Bytes {
    raw(kind::ACCEPT, id, generation, 0, &[])
}

pub(crate) fn data(id: u16, generation: u8, sequence: u32, payload: &[u8]) -> Bytes {
    raw(kind::DATA, id, generation, sequence, payload)
}

pub(crate) fn close(id: u16, generation: u8, sequence: u32) -> Bytes {
    raw(kind::CLOSE, id, generation, sequence, &[])
}

/// A CONNECT to a UDP address.
pub(crate) fn connect_udp(id: u16, generation: u8) -> Bytes {
    raw(kind::CONNECT, id, generation, 0, b"\x03db.local:53")
}

pub(crate) fn datagram(id: u16, generation: u8, payload: &[u8]) -> Bytes {
    raw(kind::DATAGRAM, id, generation, 0, payload)
}

pub(crate) fn abort(id: u16, generation: u8, reason: AbortReason) -> Bytes {
    raw(kind::ABORT, id, generation, 0, &[reason.code()])
}

/// A reset in its place in the order.
pub(crate) fn reset(id: u16, generation: u8, sequence: u32) -> Bytes {
    raw(kind::ABORT, id, generation, sequence, &[AbortReason::Reset.code()])
}

pub(crate) fn credit(id: u16, generation: u8, limit: u64, received: u32) -> Bytes {
    let mut message = Vec::new();
    let id = StreamId::new(id).unwrap();
    frame::encode_credit(&mut message, id, Generation(generation), limit, Sequence(received));
    message.into()
}

pub(crate) fn session(kind: u8, payload: &[u8]) -> Bytes {
    let mut message = Vec::new();
    frame::encode_session(&mut message, kind, payload);
    message.into()
}

pub(crate) fn hello(change: impl FnOnce(&mut Hello)) -> Bytes {
    let mut hello = Hello {
        versions: vec![VERSION],
        agent: "rig".into(),
        role: "client".into(),
        initial_credit: 65536,
        max_payload: 16384,
        max_streams: 4096,
        services: Vec::new(),
        features: Vec::new(),
    };
    change(&mut hello);
    session(kind::HELLO, &hello.encode())
}

pub(crate) fn resume(carrier: u32, part: u16, parts: u16, entries: &[ResumeEntry]) -> Bytes {
    let mut message = Vec::new();
    frame::encode_resume_head(&mut message, carrier, part, parts);
    for entry in entries {
        entry.encode(&mut message);
    }
    message.into()
}

pub(crate) fn entry(id: u16, generation: u8, received: u32) -> ResumeEntry {
    let id = StreamId::new(id).unwrap();
    ResumeEntry { id, generation: Generation(generation), received: Sequence(received), limit: 65536 }
}

// What is expected of the mux

pub(crate) fn stream(id: u16, generation: u8, frame: StreamFrame) -> Frame {
    Frame::Stream(StreamId::new(id).unwrap(), Generation(generation), frame)
}

pub(crate) fn bare(id: u16, generation: u8, sequence: u32, frame: Sequenced) -> Frame {
    stream(id, generation, StreamFrame::Sequenced(Sequence(sequence), frame))
}

pub(crate) fn sent_data(id: u16, generation: u8, sequence: u32, payload: &'static [u8]) -> Frame {
    bare(id, generation, sequence, Sequenced::Data(Bytes::from_static(payload)))
}

pub(crate) fn acknowledged(id: u16, generation: u8, received: u32) -> Frame {
    stream(id, generation, StreamFrame::Credit { limit: 65536, received: Sequence(received) })
}

/// Returns the streams aborted by these frames, with the reasons.
pub(crate) fn aborts(frames: &[Frame]) -> Vec<(u16, u8, AbortReason)> {
    let abort = |frame: &Frame| match frame {
        Frame::Stream(id, generation, StreamFrame::Abort(reason, _)) => Some((id.value(), generation.0, *reason)),
        Frame::Stream(id, generation, StreamFrame::Sequenced(_, Sequenced::Reset(_))) => {
            Some((id.value(), generation.0, AbortReason::Reset))
        }
        Frame::Stream(..) | Frame::Session(_) => None,
    };
    frames.iter().filter_map(abort).collect()
}

/// Returns the streams that events say were aborted, with the reasons.
pub(crate) fn aborted(events: &[Event]) -> Vec<(StreamKey, AbortReason)> {
    let abort = |event: &Event| match event {
        Event::Aborted { key, reason, .. } => Some((*key, *reason)),
        _ => None,
    };
    events.iter().filter_map(abort).collect()
}

/// Returns the entries of the RESUME list among these frames.
pub(crate) fn listed(frames: &[Frame]) -> Vec<ResumeEntry> {
    let mut list = Vec::new();
    for frame in frames {
        if let Frame::Session(SessionFrame::Resume { entries, .. }) = frame {
            let mut entries = entries.clone();
            list.extend(std::iter::from_fn(|| ResumeEntry::decode(&mut entries)));
        }
    }
    list
}
