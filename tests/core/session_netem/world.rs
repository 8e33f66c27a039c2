//! Two sessions, the path between them, their applications, and the time, which passes only when nothing is left to do.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pinhole::internals::session::{self, Event, Path, Reach, Session, Signal};
use pinhole::internals::tunnel::{self, AbortReason, ChunkPool, Config, ConnectTarget, Role, StreamKey};
use str0m_netem::{LossModel, NetemConfig};

use super::link::{Datagram, Link};
use super::signaling::Signaling;
use super::traffic::{End, Traffic};
use super::udp::UdpFlow;
use super::{millis, path};
use crate::handshake::handshake;

pub(crate) const HOST: usize = 0;
pub(crate) const CLIENT: usize = 1;

/// Sessions that are to come up do so within this time.
const CONNECT_TIME: Duration = Duration::from_secs(25);

/// Steps without any passing of time after which something spins.
const MAX_BUSY_STEPS: usize = 20_000;

/// One end of a stream and what became of it.
pub(crate) struct StreamEnd {
    pub(crate) key: StreamKey,
    pub(crate) end: End,
    is_ready: bool,
    pub(crate) outcome: Option<Outcome>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Finished,
    Aborted(AbortReason),
}

/// One of the two peers.
pub(crate) struct Side {
    pub(crate) session: Session,
    pub(crate) pool: ChunkPool,
    /// Where its sockets are bound; the port tells the carrier.
    address: SocketAddr,
    sockets: Vec<(u32, SocketAddr)>,
    /// The path it was told of last, and how often it changed.
    pub(crate) path: Option<Path>,
    pub(crate) path_changes: usize,
    pub(crate) is_signaling_done: bool,
    /// By number of the stream.
    pub(crate) streams: BTreeMap<u64, StreamEnd>,
    by_key: HashMap<StreamKey, u64>,
    /// UDP flows the peer opened, by number, until their applications know.
    pub(crate) udp_opened: HashMap<usize, StreamKey>,
    pub(crate) connected_at: Option<Instant>,
    pub(crate) lost_at: Vec<Instant>,
    pub(crate) back_at: Vec<Instant>,
    pub(crate) went_away: bool,
    pub(crate) ended: Option<(Instant, session::End)>,
    /// The process is gone: it handles neither datagrams nor deadlines.
    pub(crate) is_gone: bool,
}

impl Side {
    pub(crate) fn is_relayed(&self) -> bool {
        matches!(self.path, Some(Path::Relayed { .. }))
    }

    /// Tells how the session ended, if it did.
    pub(crate) fn end(&self) -> Option<&session::End> {
        self.ended.as_ref().map(|(_, end)| end)
    }
}

/// Gives each route of a link chances of its own.
fn reseeded(routes: &[NetemConfig], seed: u64, link: u64) -> Vec<NetemConfig> {
    routes.iter().zip(0..).map(|(route, index)| route.seed(seed * 64 + link * 8 + index)).collect()
}

/// Changes, drops or repeats the signaling texts a side sends.
pub(crate) type Attacker = Box<dyn FnMut(usize, String) -> Vec<String>>;

pub(crate) struct World {
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) sides: [Side; 2],
    /// What each side sends.
    pub(crate) links: [Link; 2],
    pub(crate) signaling: Signaling,
    pub(crate) attacker: Option<Attacker>,
    /// Texts of either side that went out.
    pub(crate) texts: [usize; 2],
    traffic: Vec<Traffic>,
    pub(crate) flows: Vec<UdpFlow>,
    busy_steps: usize,
}

impl World {
    /// Two sessions whose datagrams take one of `routes` each way, without a relay.
    pub(crate) fn new(routes: &[NetemConfig], seed: u64) -> World {
        let reach = Reach::direct_only();
        World::reaching(routes, seed, [reach.clone(), reach])
    }

    /// Two sessions, the host's reach first.
    pub(crate) fn reaching(routes: &[NetemConfig], seed: u64, reaches: [Reach; 2]) -> World {
        let [host_reach, client_reach] = reaches;
        let _ = env_logger::builder().is_test(true).try_init();
        let start = Instant::now();
        let addresses: [SocketAddr; 2] = [([10, 0, 0, 1], 1000).into(), ([10, 0, 0, 2], 2000).into()];
        let [at_host, at_client] = handshake();
        let session = |established, role, reach| {
            let mut session = Session::new(start, established, Config::new(role), reach).expect("a session starts");
            session.add_stun_servers(start, &[], true);
            session
        };
        let side = |session, address| Side {
            session,
            pool: ChunkPool::new(),
            address,
            sockets: Vec::new(),
            path: None,
            path_changes: 0,
            is_signaling_done: false,
            streams: BTreeMap::new(),
            by_key: HashMap::new(),
            udp_opened: HashMap::new(),
            connected_at: None,
            lost_at: Vec::new(),
            back_at: Vec::new(),
            went_away: false,
            ended: None,
            is_gone: false,
        };
        let link = |add| Link::new(&reseeded(routes, seed, add), seed * 2 + add);
        World {
            start,
            now: start,
            sides: [
                side(session(at_host, Role::Host, host_reach), addresses[HOST]),
                side(session(at_client, Role::Client, client_reach), addresses[CLIENT]),
            ],
            links: [link(0), link(1)],
            signaling: Signaling::new(),
            attacker: None,
            texts: [0; 2],
            traffic: Vec::new(),
            flows: Vec::new(),
            busy_steps: 0,
        }
    }

    /// Two sessions that met before datagrams began to be lost; with loss, a session may fail to come up in its time.
    pub(crate) fn connected(routes: &[NetemConfig], seed: u64) -> World {
        let lossless: Vec<_> = routes.iter().map(|route| route.loss(LossModel::None)).collect();
        let mut world = World::new(&lossless, seed);
        world.connect();
        for (link, add) in world.links.iter_mut().zip(0..) {
            link.set_routes(&reseeded(routes, seed, add));
        }
        world
    }

    /// Makes a world that met lose that share of datagrams from now on.
    pub(crate) fn lose(&mut self, loss: f32) {
        for (index, link) in self.links.iter_mut().enumerate() {
            link.set_routes(&reseeded(&[path(millis(40), loss)], 1, index as u64));
        }
    }

    pub(crate) fn connect(&mut self) {
        let is_connected =
            self.run_until(CONNECT_TIME, |world| world.sides.iter().all(|side| side.connected_at.is_some()));
        assert!(is_connected, "no connection: {:?}", self.sides.each_ref().map(Side::end));
    }

    /// Opens a stream from a side; its number.
    pub(crate) fn open(&mut self, side: usize, traffic: Traffic) -> u64 {
        let number = self.traffic.len() as u64;
        self.traffic.push(traffic);
        let target = ConnectTarget::Tcp(number.to_string());
        let opener = &mut self.sides[side];
        let key = opener.session.mux().open((number as u16).wrapping_mul(7), &target).expect("a stream opens");
        opener.add(number, key, End::opener(number, traffic));
        self.service(side);
        number
    }

    /// Returns how long the world has existed.
    pub(crate) fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    /// Lets time pass until `is_done`, for at most `limit`; tells whether it is.
    pub(crate) fn run_until(&mut self, limit: Duration, is_done: impl Fn(&World) -> bool) -> bool {
        let deadline = self.now + limit;
        self.service(HOST);
        self.service(CLIENT);
        while !is_done(self) {
            match self.next_time() {
                Some(next) if next <= deadline => self.step(next),
                _ => {
                    self.now = deadline;
                    return is_done(self);
                }
            }
        }
        true
    }

    /// Lets that much time pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false);
    }

    /// Runs until both ends of every stream have done all there was to do and the streams are gone.
    pub(crate) fn finish_streams(&mut self, limit: Duration) {
        let is_finished = |world: &World| {
            world.sides.iter().all(|side| {
                side.streams.len() == world.traffic.len()
                    && side.streams.values().all(|stream| stream.outcome == Some(Outcome::Finished))
            })
        };
        assert!(self.run_until(limit, is_finished), "{}", self.report());
        for side in &mut self.sides {
            assert!(side.streams.values().all(|stream| stream.end.is_done()));
            assert_eq!(side.session.mux().stream_count(), 0);
            side.session.mux().reclaim(&mut side.pool);
            assert_eq!(side.session.mux().memory(), (0, 0));
            assert_eq!(side.pool.outstanding(), 0, "chunks leak");
        }
    }

    /// Returns what each stream has done, for messages.
    pub(crate) fn report(&mut self) -> String {
        let mut report = format!("after {:?}:\n", self.elapsed());
        for (index, side) in self.sides.iter_mut().enumerate() {
            let (end, count) = (side.ended.clone(), side.session.mux().stream_count());
            let connection =
                side.session.connection().map(|connection| (connection.backlog_target(), connection.buffered_amount()));
            report += &format!("side {index}: end={end:?} streams={count} flight and buffered={connection:?}\n");
            for (number, stream) in side.streams.iter().filter(|(_, stream)| stream.outcome.is_none()).take(8) {
                report += &format!("  {number}: {:?}\n", stream.end);
            }
        }
        report
    }

    fn next_time(&self) -> Option<Instant> {
        let present = || self.sides.iter().filter(|side| !side.is_gone);
        let wants_redial = self.sides[CLIENT].session.wants_signaling();
        let signaling = self.signaling.poll_timeout(self.now, wants_redial);
        let sessions = present().filter_map(|side| side.session.poll_timeout()).chain(signaling);
        let links = self.links.iter().filter_map(Link::poll_timeout);
        let ends = present().flat_map(|side| side.streams.values());
        let wakes = ends.filter(|stream| stream.outcome.is_none()).filter_map(|stream| stream.end.wakes_at());
        sessions.chain(links).chain(wakes).chain(self.udp_wakes_at()).min()
    }

    fn step(&mut self, next: Instant) {
        self.busy_steps = if next > self.now { 0 } else { self.busy_steps + 1 };
        assert!(self.busy_steps < MAX_BUSY_STEPS, "time stands still: {}", self.report());
        self.now = self.now.max(next);
        for sender in [HOST, CLIENT] {
            for Datagram { source, destination, contents } in self.links[sender].receive(self.now) {
                let receiver = &mut self.sides[1 - sender];
                let is_bound = receiver.sockets.iter().any(|(_, address)| *address == destination);
                if !receiver.is_gone && is_bound {
                    receiver.session.handle_datagram(self.now, destination, source, &contents);
                }
            }
        }
        self.redial();
        for index in [HOST, CLIENT] {
            let side = &mut self.sides[index];
            if side.is_gone {
                continue;
            }
            if side.session.poll_timeout().is_some_and(|at| at <= self.now) {
                side.session.handle_timeout(self.now);
            }
            for stream in side.streams.values_mut() {
                stream.is_ready |= stream.end.wakes_at().is_some_and(|at| at <= self.now);
            }
            self.service(index);
        }
    }

    /// Does what an owner of a session does after every input, until there is nothing more to do.
    pub(crate) fn service(&mut self, index: usize) {
        loop {
            let side = &mut self.sides[index];
            side.session.flush(self.now, &mut side.pool);
            while let Some(signal) = self.sides[index].session.poll_signal() {
                let signals = match (&mut self.attacker, signal) {
                    (Some(attacker), Signal::Text(text)) => {
                        attacker(index, text).into_iter().map(Signal::Text).collect()
                    }
                    (_, signal) => vec![signal],
                };
                self.texts[index] += 1;
                signals.into_iter().for_each(|signal| self.signaling.send(self.now, index, signal));
            }
            // The network takes everything at once; what bounds the relay is what was not answered.
            self.sides[index].session.set_signaling_buffered(0);
            self.handle_events(index);
            let is_busy = self.pump_udp(index) | self.sides[index].pump(self.now);
            let side = &mut self.sides[index];
            while let Some(transmit) = side.session.poll_transmit() {
                let (source, destination) = (transmit.source, transmit.destination);
                assert_eq!(source.ip(), side.address.ip(), "a datagram from nobody");
                self.links[index]
                    .send(self.now, Datagram { source, destination, contents: transmit.contents.to_vec() });
            }
            if !is_busy {
                break;
            }
        }
        while let Some(signal) = self.signaling.receive(self.now, index) {
            let other = &mut self.sides[1 - index];
            if other.is_gone {
                continue;
            }
            // An error is an end of the session or of the WebSocket, which is what tests look at.
            let _ = match signal {
                Signal::Text(text) => other.session.handle_signal(self.now, &text),
                Signal::Binary(bytes) => other.session.handle_binary(self.now, bytes.into()),
            };
            self.service(1 - index);
        }
        if std::mem::take(&mut self.sides[CLIENT].is_signaling_done) {
            self.close_signaling();
        }
    }

    /// Ends the WebSocket, and both sides know.
    pub(crate) fn close_signaling(&mut self) {
        self.signaling.clear();
        for index in [HOST, CLIENT] {
            self.sides[index].session.handle_signaling_closed(self.now);
        }
        self.service(HOST);
        self.service(CLIENT);
    }

    /// Joins the session again if the client wants that and a redial is through.
    fn redial(&mut self) {
        let wants_redial = self.sides[CLIENT].session.wants_signaling();
        if self.signaling.redial(self.now, wants_redial) && self.sides.iter().all(|side| side.ended.is_none()) {
            let [host, client] = &mut self.sides;
            self.signaling.resume(self.now, &mut host.session, &mut client.session);
            self.service(HOST);
            self.service(CLIENT);
        }
    }

    fn handle_events(&mut self, index: usize) {
        let now = self.now;
        let side = &mut self.sides[index];
        while let Some(event) = side.session.poll_event(now) {
            assert!(side.ended.is_none(), "an event after the end: {event:?}");
            match event {
                Event::Gather { carrier } => {
                    let mut address = side.address;
                    address.set_port(address.port() + carrier as u16);
                    side.sockets.push((carrier, address));
                    side.session.add_sockets(now, carrier, &[address]);
                }
                Event::Release { carrier } => side.sockets.retain(|(number, _)| *number != carrier),
                Event::Connected { path, .. } => {
                    side.path = Some(path);
                    assert!(side.connected_at.replace(now).is_none(), "connected twice");
                }
                Event::PathChanged { path, .. } => {
                    side.path = Some(path);
                    side.path_changes += 1;
                }
                Event::Stream(event) => side.handle_stream_event(event, &self.traffic),
                Event::RoundTrip(_) => {}
                Event::Recovering { .. } => side.lost_at.push(now),
                Event::Recovered { path, .. } => {
                    side.path = Some(path);
                    side.back_at.push(now);
                }
                Event::SignalingDone => side.is_signaling_done = index == CLIENT,
                Event::GoAway(_) => side.went_away = true,
                Event::Ended(end) => side.ended = Some((now, end)),
            }
        }
    }
}

impl Side {
    /// Lets an application that was stalled go on.
    pub(crate) fn resume(&mut self, number: u64) {
        let stream = self.streams.get_mut(&number).expect("the stream is open here");
        stream.end.is_stalled = false;
        stream.is_ready = true;
    }

    fn add(&mut self, number: u64, key: StreamKey, end: End) {
        self.by_key.insert(key, number);
        self.streams.insert(number, StreamEnd { key, end, is_ready: true, outcome: None });
    }

    fn handle_stream_event(&mut self, event: tunnel::Event, traffic: &[Traffic]) {
        match event {
            tunnel::Event::Opened(key, ConnectTarget::Tcp(number)) => {
                let number: u64 = number.parse().expect("targets of this world are numbers");
                self.session.mux().stream(key).expect("an opened stream is live").accept();
                self.add(number, key, End::acceptor(number, traffic[number as usize]));
            }
            tunnel::Event::Opened(key, ConnectTarget::Udp(number)) => {
                self.session.mux().stream(key).expect("an opened stream is live").accept();
                self.udp_opened.insert(number.parse().expect("targets of this world are numbers"), key);
            }
            tunnel::Event::Readable(key) | tunnel::Event::Writable(key) => {
                if let Some(stream) = self.by_key.get(&key).and_then(|number| self.streams.get_mut(number)) {
                    stream.is_ready = true;
                }
            }
            tunnel::Event::Finished(key) => self.ended_stream(key, Outcome::Finished),
            tunnel::Event::Aborted { key, reason, .. } => self.ended_stream(key, Outcome::Aborted(reason)),
            tunnel::Event::Accepted(_) => {}
            other => panic!("not an event of a stream of this world: {other:?}"),
        }
    }

    fn ended_stream(&mut self, key: StreamKey, outcome: Outcome) {
        if let Some(stream) = self.by_key.remove(&key).and_then(|number| self.streams.get_mut(&number)) {
            assert!(stream.outcome.replace(outcome).is_none(), "a stream ends once");
        }
    }

    /// Lets the applications that were told that they can go on do so; whether there were any.
    fn pump(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        for stream in self.streams.values_mut().filter(|stream| stream.is_ready) {
            stream.is_ready = false;
            if let Some(mut access) = self.session.mux().stream(stream.key) {
                is_busy = true;
                stream.end.pump(now, &mut access, &mut self.pool);
            }
        }
        is_busy
    }
}
