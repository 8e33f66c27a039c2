//! The attacked session, an honest session as its peer, and the attacker between them, who knows all of the peer's
//! keys.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pinhole::internals::session::{End, Event, Reach, Session, Signal};
use pinhole::internals::signaling::farewell::Farewell;
use pinhole::internals::signaling::handshake::Established;
use pinhole::internals::signaling::message::{ClientMessage, Inner, Outer};
use pinhole::internals::signaling::resume::{ClientResume, HostResume};
use pinhole::internals::signaling::{ResumeKey, SessionId, Ticket};
use pinhole::internals::tunnel::{self, AbortReason, ChunkPool, Config, ConnectTarget, GoAwayReason, Role, StreamKey};

use super::frames;
use super::script::{Script, change};
use crate::handshake::handshake;

/// Operations of one script.
const MAX_OPERATIONS: usize = 400;

/// Rounds in which two honest sides must become silent; more is an endless loop.
const MAX_ROUNDS: usize = 20_000;

const VICTIM: usize = 0;
const PEER: usize = 1;

struct Datagram {
    source: SocketAddr,
    destination: SocketAddr,
    contents: Vec<u8>,
}

struct Side {
    session: Session,
    /// The last byte of its address.
    place: u8,
    pool: ChunkPool,
    streams: Vec<StreamKey>,
    is_connected: bool,
    end: Option<End>,
    signals: VecDeque<Signal>,
    datagrams: VecDeque<Datagram>,
}

struct World {
    now: Instant,
    sides: [Side; 2],
    /// The attacker's keys with the victim, and with the peer.
    keys: [Established; 2],
    /// Datagrams of the peer that went out before.
    heard: Vec<Datagram>,
}

/// Runs one script. Panics if the session does, leaves something behind, or never comes to rest.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Script(bytes);
    let flags = script.byte();
    let role = if flags & 1 == 0 { Role::Host } else { Role::Client };
    let reach = match flags >> 1 & 3 {
        0 => Reach::direct_only(),
        1 => Reach::relay_only(),
        _ => Reach::default(),
    };
    let mut world = World::new(role, reach);
    if flags & 0x80 != 0 {
        world.connect();
    }
    for _ in 0..MAX_OPERATIONS {
        if script.is_empty() {
            break;
        }
        world.operate(&mut script);
        world.check();
    }
    world.finish();
}

impl World {
    fn new(role: Role, reach: Reach) -> World {
        let now = Instant::now();
        // The attacker shares keys with each.
        let ([host, client], [far_host, far_client]) = (established(), established());
        let (mine, theirs, far_mine, far_theirs) = match role {
            Role::Host => (host, client, far_client, far_host),
            Role::Client => (client, host, far_host, far_client),
        };
        let side = |established, role, place| {
            let config = Config { growth_budget: 4 << 20, send_budget: 4 << 20, ..Config::new(role) };
            let mut session = Session::new(now, established, config, reach.clone()).expect("a session starts");
            session.add_stun_servers(now, &[], true);
            let (streams, signals, datagrams) = (Vec::new(), VecDeque::new(), VecDeque::new());
            Side { session, place, pool: ChunkPool::new(), streams, is_connected: false, end: None, signals, datagrams }
        };
        let sides = [side(mine, role, 1), side(far_mine, role.peer(), 2)];
        let mut world = World { now, sides, keys: [theirs, far_theirs], heard: Vec::new() };
        world.settle();
        world
    }

    /// Lets both sides act honestly until they are connected, or fail.
    fn connect(&mut self) {
        for _ in 0..500 {
            if self.sides.iter().all(|side| side.is_connected) {
                return;
            }
            self.deliver_all();
            let next = self.sides.iter().filter_map(|side| side.session.poll_timeout()).min();
            self.advance(next.map_or(Duration::ZERO, |next| next.saturating_duration_since(self.now)));
        }
    }

    fn operate(&mut self, script: &mut Script<'_>) {
        match script.below(16) {
            0..3 => self.deliver(script),
            3 => self.deliver_all(),
            4 => {
                let next = self.sides[VICTIM].session.poll_timeout();
                self.advance(next.map_or(Duration::ZERO, |next| next.saturating_duration_since(self.now)));
            }
            5 => self.advance(Duration::from_millis(script.pick(&[0, 1, 50, 600, 2000, 11_000, 31_000, 100_000]))),
            6..10 => {
                for _ in 0..=script.below(8) {
                    self.inject_frame(script);
                }
                self.deliver_all();
            }
            10 => self.inject_signal(script),
            11 | 12 => self.inject_datagram(script),
            13 | 14 => self.use_streams(VICTIM, script),
            _ => self.use_streams(PEER, script),
        }
        self.settle();
    }

    /// Delivers what is in transit, and changes some of it.
    fn deliver(&mut self, script: &mut Script<'_>) {
        for _ in 0..=script.below(8) {
            if let Some(signal) = self.sides[PEER].signals.pop_front() {
                self.change_signal(script, signal);
            }
            if let Some(datagram) = self.sides[PEER].datagrams.pop_front() {
                match script.below(8) {
                    0 => {}
                    1 => self.corrupt(script, datagram),
                    2 => self.sides[PEER].datagrams.push_back(datagram),
                    _ => self.give(datagram),
                }
            }
            self.tell_peer();
        }
    }

    fn deliver_all(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let peer = &mut self.sides[PEER];
            let (signal, datagram) = (peer.signals.pop_front(), peer.datagrams.pop_front());
            let victim = &self.sides[VICTIM];
            if signal.is_none() && datagram.is_none() && victim.signals.is_empty() && victim.datagrams.is_empty() {
                return;
            }
            match signal {
                Some(Signal::Text(text)) => {
                    if let Ok(inner) = self.keys[PEER].opener.open(&text) {
                        self.say(&inner);
                    }
                }
                Some(Signal::Binary(bytes)) => {
                    if let Ok(message) = self.keys[PEER].opener.open_binary(bytes.into()) {
                        self.say_binary(&message);
                    }
                }
                None => {}
            }
            if let Some(datagram) = datagram {
                self.give(datagram);
            }
            self.tell_peer();
            self.settle();
        }
        panic!("two sides that are at rest go on talking");
    }

    /// Passes the victim's output to the peer unchanged.
    fn tell_peer(&mut self) {
        while let Some(signal) = self.sides[VICTIM].signals.pop_front() {
            let (now, peer) = (self.now, &mut self.sides[PEER].session);
            match signal {
                Signal::Text(text) => {
                    let inner = self.keys[VICTIM].opener.open(&text).expect("the victim seals");
                    let _ = peer.handle_signal(now, &self.keys[PEER].sealer.seal(&inner));
                }
                Signal::Binary(bytes) => {
                    let message = self.keys[VICTIM].opener.open_binary(bytes.into()).expect("the victim seals");
                    let _ = peer.handle_binary(now, self.keys[PEER].sealer.seal_binary(&message).into());
                }
            }
        }
        while let Some(datagram) = self.sides[VICTIM].datagrams.pop_front() {
            let Datagram { source, destination, contents } = datagram;
            self.sides[PEER].session.handle_datagram(self.now, destination, source, &contents);
        }
    }

    fn say(&mut self, inner: &Inner) {
        let text = self.keys[VICTIM].sealer.seal(inner);
        let _ = self.sides[VICTIM].session.handle_signal(self.now, &text);
    }

    fn say_binary(&mut self, message: &[u8]) {
        let bytes = self.keys[VICTIM].sealer.seal_binary(message);
        let _ = self.sides[VICTIM].session.handle_binary(self.now, bytes.into());
    }

    fn give(&mut self, datagram: Datagram) {
        let Datagram { source, destination, contents } = &datagram;
        self.sides[VICTIM].session.handle_datagram(self.now, *destination, *source, contents);
        if self.heard.len() < 32 {
            self.heard.push(datagram);
        }
    }

    fn change_signal(&mut self, script: &mut Script<'_>, signal: Signal) {
        match signal {
            Signal::Binary(bytes) => {
                let Ok(message) = self.keys[PEER].opener.open_binary(bytes.into()) else { return };
                let mut message = message.to_vec();
                if script.once_in(4) && !message.is_empty() {
                    let index = script.below(message.len());
                    message[index] = script.byte();
                }
                self.say_binary(&message);
            }
            Signal::Text(text) => {
                let Ok(inner) = self.keys[PEER].opener.open(&text) else { return };
                let changed = match inner {
                    Inner::Offer { carrier, sdp } if script.once_in(2) => {
                        Inner::Offer { carrier, sdp: change(script, &sdp) }
                    }
                    Inner::Answer { carrier, sdp } if script.once_in(2) => {
                        Inner::Answer { carrier, sdp: change(script, &sdp) }
                    }
                    Inner::Candidate { carrier, candidate } if script.once_in(2) => {
                        Inner::Candidate { carrier, candidate: change(script, &candidate) }
                    }
                    Inner::Relay { .. } if script.once_in(4) => Inner::Relay { carrier: script.u32() },
                    Inner::Connect { .. } if script.once_in(4) => Inner::Connect { carrier: script.u32() },
                    inner => inner,
                };
                if !script.once_in(16) {
                    self.say(&changed);
                }
                if script.once_in(8) {
                    self.say(&changed);
                }
            }
        }
    }

    /// Sends a message of the attacker's own.
    fn inject_signal(&mut self, script: &mut Script<'_>) {
        let other = script.u32();
        let carrier = script.pick(&[1, 2, 3, other]);
        match script.below(8) {
            0 => self.say(&Inner::Relay { carrier }),
            1 => self.say(&Inner::Connect { carrier }),
            2 => self.say(&Inner::EndOfCandidates { carrier }),
            3 => {
                let candidate = format!(
                    "candidate:1 1 udp {} 10.0.{}.{} {} typ host",
                    script.u32(),
                    script.byte(),
                    script.byte(),
                    script.u32() as u16
                );
                self.say(&Inner::Candidate { carrier, candidate });
            }
            4 => self.say(&Inner::Bye { reason: Farewell::Check }),
            5 => {
                let sdp = change(script, "v=0\r\na=ice-ufrag:abcd\r\n");
                self.say(&if script.once_in(2) {
                    Inner::Answer { carrier, sdp }
                } else {
                    Inner::Offer { carrier, sdp }
                });
            }
            6 if script.once_in(8) => self.sides[VICTIM].session.handle_signaling_closed(self.now),
            _ => self.say_binary(script.bytes(40)),
        }
    }

    /// Sends a frame on the present carrier.
    fn inject_frame(&mut self, script: &mut Script<'_>) {
        let frame = frames::frame(script);
        let Some(connection) = self.sides[PEER].session.connection() else { return self.say_binary(&frame) };
        if connection.room(self.now) < frame.len() {
            self.say_binary(&frame);
        } else if frame.first() == Some(&tunnel::frame::kind::DATAGRAM) && script.once_in(2) {
            connection.send_datagram(self.now, &frame);
        } else {
            connection.send(self.now, &frame);
        }
    }

    fn inject_datagram(&mut self, script: &mut Script<'_>) {
        let index = script.below(self.heard.len());
        let Some(Datagram { source, destination, contents }) = self.heard.get(index) else { return };
        let datagram = Datagram { source: *source, destination: *destination, contents: contents.clone() };
        self.corrupt(script, datagram);
    }

    /// Delivers a changed datagram.
    fn corrupt(&mut self, script: &mut Script<'_>, mut datagram: Datagram) {
        match script.below(6) {
            0 => datagram.source.set_port(script.u32() as u16),
            1 => datagram.destination.set_port(script.u32() as u16),
            2 => datagram.contents.truncate(script.below(datagram.contents.len() + 1)),
            3 => datagram.contents = [&[script.pick(&[0, 1, 20, 22, 23, 63, 64, 255])][..], script.bytes(60)].concat(),
            _ => {
                for _ in 0..=script.below(4) {
                    let index = script.below(datagram.contents.len());
                    if let Some(byte) = datagram.contents.get_mut(index) {
                        *byte = script.byte();
                    }
                }
            }
        }
        self.give(datagram);
    }

    /// The applications of a side open, read, write and end streams.
    fn use_streams(&mut self, side: usize, script: &mut Script<'_>) {
        let (now, side) = (self.now, &mut self.sides[side]);
        let mux = side.session.mux();
        if side.streams.is_empty() || script.once_in(6) {
            let target = match script.below(4) {
                0 => ConnectTarget::Udp("127.0.0.1:53".to_owned()),
                1 => ConnectTarget::Tcp("127.0.0.1:80".to_owned()),
                _ => ConnectTarget::Service(0),
            };
            if side.is_connected {
                side.streams.extend(mux.open(script.pick(&[0, 1, 2]), &target));
            }
        }
        let index = script.below(side.streams.len());
        let Some(mut stream) = side.streams.get(index).and_then(|key| mux.stream(*key)) else { return };
        match script.below(8) {
            0 => stream.finish(),
            1 if script.once_in(4) => stream.abort(AbortReason::Reset, "as the script says"),
            2 => stream.send_datagram(now, &[7; 1200], &mut side.pool),
            3 => drop(stream.receive_datagram()),
            4 | 5 => {
                let readable: usize = stream.readable().map(<[u8]>::len).sum();
                stream.consume(script.below(readable + 1));
                stream.poll_end();
            }
            _ => {
                let mut chunk = side.pool.take();
                let len = stream.poll_send_capacity().min(script.pick(&[1, 100, 16_384])).min(chunk.room_mut().len());
                // What does not fit is given back.
                chunk.set_len(if script.once_in(8) { 16_384 } else { len });
                if let Err(chunk) = stream.send(chunk) {
                    side.pool.recycle(chunk);
                }
            }
        }
    }

    fn advance(&mut self, time: Duration) {
        self.now += time;
        for side in &mut self.sides {
            if side.session.poll_timeout().is_some_and(|at| at <= self.now) {
                side.session.handle_timeout(self.now);
            }
        }
        self.settle();
    }

    /// Collects the output of both sides, until there is none.
    fn settle(&mut self) {
        for side in &mut self.sides {
            side.settle(self.now);
        }
    }

    /// Checks the invariants that hold at any time.
    fn check(&mut self) {
        let Side { session, end, .. } = &mut self.sides[VICTIM];
        assert!(!matches!(end, Some(End::Fault(_))), "a library panicked");
        let mux = session.mux();
        let (grown, retained) = mux.memory();
        assert!(grown <= 4 << 20 && retained <= (4 << 20) + 6000 * 17 * 1024, "{grown} {retained}");
        assert!(mux.datagram_memory().iter().all(|held| *held <= 4 << 20) && mux.stream_count() < 12_000);
    }

    /// Ends the session, and checks that nothing is left of it.
    fn finish(&mut self) {
        self.sides[VICTIM].session.go_away(self.now, GoAwayReason::Shutdown, "the script is over");
        self.settle();
        self.deliver_all();
        for _ in 0..MAX_ROUNDS {
            let Some(at) = self.sides[VICTIM].session.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.sides[VICTIM].session.handle_timeout(self.now);
            self.settle();
        }
        let victim = &mut self.sides[VICTIM];
        assert!(victim.session.is_closed() && victim.end.is_some(), "it does not end");
        victim.session.mux().reclaim(&mut victim.pool);
        assert_eq!((victim.session.mux().stream_count(), victim.session.mux().memory()), (0, (0, 0)));
        assert_eq!(victim.pool.outstanding(), 0);
    }
}

impl Side {
    fn settle(&mut self, now: Instant) {
        for _ in 0..MAX_ROUNDS {
            self.session.flush(now, &mut self.pool);
            self.signals.extend(std::iter::from_fn(|| self.session.poll_signal()));
            while let Some(transmit) = self.session.poll_transmit() {
                let contents = transmit.contents.to_vec();
                let (source, destination) = (transmit.source, transmit.destination);
                self.datagrams.push_back(Datagram { source, destination, contents });
            }
            let mut had_event = false;
            while let Some(event) = self.session.poll_event(now) {
                had_event = true;
                self.handle(now, event);
            }
            if !had_event {
                return;
            }
        }
        panic!("a session that nobody asks anything goes on");
    }

    fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Gather { carrier } => {
                let port = 1000 + (carrier % 50_000) as u16;
                self.session.add_sockets(now, carrier, &[SocketAddr::from(([10, 0, 0, self.place], port))]);
            }
            Event::Connected { .. } => self.is_connected = true,
            Event::Ended(end) => self.end = Some(end),
            Event::Stream(tunnel::Event::Opened(key, _)) => {
                if let Some(mut stream) = self.session.mux().stream(key) {
                    stream.accept();
                    self.streams.push(key);
                }
            }
            Event::Stream(tunnel::Event::Listen { id, .. }) => {
                self.session.mux().listened(id, if id % 2 == 0 { Ok("127.0.0.1:1") } else { Err("no") });
            }
            _ => {}
        }
    }
}

/// The results of a handshake, the host's first. A key exchange costs more than most scripts, so all of them share one,
/// and rejoin its session.
fn established() -> [Established; 2] {
    static ONCE: OnceLock<(SessionId, ResumeKey, Ticket)> = OnceLock::new();
    let (session, key, ticket) = ONCE.get_or_init(|| {
        let [Established { session, resume_key, ticket, .. }, _] = handshake();
        (session, resume_key, ticket)
    });
    let (client, request) = ClientResume::start(*session, key.clone());
    let Ok(Outer::Resume(request)) = ClientMessage::parse(&request) else { panic!("no request") };
    let (host, answer) = HostResume::answer(key.clone(), &request);
    let Ok((proof, client_sealer, client_opener)) = client.handle_text(&answer) else { panic!("not proven") };
    let Ok((host_sealer, host_opener)) = host.handle_text(&proof) else { panic!("not proven") };
    [(host_sealer, host_opener), (client_sealer, client_opener)].map(|(sealer, opener)| {
        let (session, resume_key, ticket) = (*session, key.clone(), ticket.clone());
        Established { session, sealer, opener, resume_key, ticket }
    })
}
