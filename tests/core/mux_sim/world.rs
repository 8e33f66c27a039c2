//! The world of a run: two muxes, their carriers, virtual time, and applications that act at random.

mod applications;
mod carriers;
pub(crate) mod datagrams;
mod listens;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole::internals::tunnel::{ChunkPool, GoAwayReason, Mux, Origin, StreamKey};
use rand::RngExt;
use rand::rngs::StdRng;

use super::model::{Flow, Outcome, Totals};
use super::settings::{Settings, pick};
use super::wire::Wire;
use carriers::{Carrier, View};
use listens::Ask;

/// Messages one carrier holds before the owner stops asking for more.
const MAX_IN_FLIGHT: usize = 64;

/// Longest time an owner leaves messages in a mux although its carrier has room.
const MAX_IDLE: Duration = Duration::from_millis(200);

/// Steps a quiet world may need until every stream has ended.
const MAX_QUIET_STEPS: usize = 200_000;

/// Prints what happens when one seed is replayed.
macro_rules! trace {
    ($world:expr, $($arguments:tt)*) => {
        if $world.is_tracing {
            println!("{:>10.3?} {}", $world.now.duration_since($world.start), format!($($arguments)*));
        }
    };
}
use trace;

struct Side {
    mux: Mux,
    pool: ChunkPool,
    by_key: HashMap<StreamKey, usize>,
    dead_keys: HashSet<StreamKey>,
    /// Streams with a live end here.
    live: Vec<usize>,
    got_hello: bool,
    ended_at: Option<Instant>,
}

#[derive(Debug)]
enum Happening {
    Deliver { carrier: u32, to: usize, message: Bytes },
    Open { carrier: u32, side: usize },
    Lose { carrier: u32, side: usize },
    Create,
    Kill { carrier: u32 },
    Wake { uid: usize, side: usize },
    Accept { uid: usize },
    Answer { id: u16 },
}

pub(crate) struct World {
    settings: Settings,
    rng: StdRng,
    start: Instant,
    now: Instant,
    sides: [Side; 2],
    carriers: BTreeMap<u32, Carrier>,
    newest: u32,
    schedule: BTreeMap<(Instant, u64), Happening>,
    scheduled: u64,
    flows: Vec<Flow>,
    asks: Vec<Ask>,
    wire: Wire,
    going_away: bool,
    totals: Totals,
    is_tracing: bool,
}

impl World {
    pub(crate) fn new(seed: u64, is_tracing: bool) -> World {
        let (settings, rng) = Settings::new(seed);
        let side = |index: usize| Side {
            mux: Mux::new(settings.configs[index].clone()),
            pool: ChunkPool::new(),
            by_key: HashMap::new(),
            dead_keys: HashSet::new(),
            live: Vec::new(),
            got_hello: false,
            ended_at: None,
        };
        let start = Instant::now();
        let mut world = World {
            sides: [side(0), side(1)],
            wire: Wire::new([settings.configs[0].initial_credit, settings.configs[1].initial_credit]),
            settings,
            rng,
            start,
            now: start,
            carriers: BTreeMap::new(),
            newest: 0,
            schedule: BTreeMap::new(),
            scheduled: 0,
            flows: Vec::new(),
            asks: Vec::new(),
            going_away: false,
            totals: Totals::default(),
            is_tracing,
        };
        trace!(world, "{:?}", world.settings);
        world.create_carrier();
        world
    }

    /// Runs to the end and returns what happened.
    pub(crate) fn run(mut self) -> Totals {
        for _ in 0..self.settings.steps {
            self.step();
            self.check();
            self.totals.steps += 1;
        }
        self.quiesce();
        self.totals.streams = self.flows.len() as u64;
        self.totals.carriers = u64::from(self.newest);
        for side in &self.sides {
            self.totals.duplicates += side.mux.counters().duplicate;
            self.totals.stale += side.mux.counters().stale;
            let dropped = side.mux.counters().datagrams;
            self.totals.datagrams_unsent += dropped.unsent;
            self.totals.datagrams_dropped += dropped.untaken + dropped.early + dropped.stray;
        }
        self.totals
    }

    fn step(&mut self) {
        let side = self.rng.random_range(0..2);
        match self.rng.random_range(0..100) {
            0..40 => self.advance(),
            40..60 => {
                let max_len = pick(&mut self.rng, &[300, 2000, 16_392, 65_536]);
                let count = self.rng.random_range(1..20);
                self.pump(side, max_len, count);
            }
            60..64 => self.open_stream(side),
            64 if self.rng.random_bool(0.3) => self.ask(),
            _ => self.use_stream(side),
        }
        if self.rng.random_range(0..self.settings.carrier_rarity) == 0 {
            self.disturb_carriers();
        }
        if self.settings.go_away && !self.going_away && self.rng.random_range(0..self.settings.steps) == 0 {
            self.go_away(side);
        }
        for side in 0..2 {
            if self.rng.random_bool(0.2) {
                self.pump(side, 65_536, 3);
            }
            self.drain_events(side);
        }
    }

    /// Lets the next thing happen: a delivery, a change of a carrier, or a timer, exactly when it is due.
    fn advance(&mut self) {
        let timers = [0, 1].map(|side| self.sides[side].mux.poll_timeout());
        let timer = timers.into_iter().flatten().min();
        let happening = self.schedule.keys().next().map(|(at, _)| *at);
        let Some(next) = [timer, happening].into_iter().flatten().min() else {
            // Neither a mux without HELLO nor one that ended has a timer; time passes all the same.
            self.now += Duration::from_secs(1);
            return;
        };
        if next > self.now + MAX_IDLE && (self.pump(0, 65_536, usize::MAX) | self.pump(1, 65_536, usize::MAX)) {
            return;
        }
        self.now = self.now.max(next);
        for (side, due) in timers.into_iter().enumerate() {
            if due.is_some_and(|due| due <= self.now) {
                self.sides[side].mux.handle_timeout(self.now);
                let next = self.sides[side].mux.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "a timer that was handled is not due again");
            }
        }
        if happening.is_some_and(|at| at <= self.now)
            && let Some((_, happening)) = self.schedule.pop_first()
        {
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Deliver { carrier, to, message } => {
                let Some(state) = self.carriers.get_mut(&carrier) else { return };
                state.in_flight -= 1;
                match state.views[to] {
                    View::Unopened => state.waiting[to].push(message),
                    View::Open => self.deliver(carrier, to, message),
                    View::Lost => self.totals.lost_messages += 1,
                }
            }
            Happening::Open { carrier, side } => self.open_carrier(carrier, side),
            Happening::Lose { carrier, side } => {
                let Some(state) = self.carriers.get_mut(&carrier) else { return };
                state.views[side] = View::Lost;
                trace!(self, "side {side} loses carrier {carrier}");
                self.sides[side].mux.lose_carrier(self.now, carrier);
            }
            Happening::Create => self.create_carrier(),
            Happening::Kill { carrier } => self.kill(carrier),
            Happening::Wake { uid, side } => self.flows[uid].ends[side].is_stalled = false,
            Happening::Accept { uid } => self.accept(uid),
            Happening::Answer { id } => self.answer(id),
        }
    }

    fn deliver(&mut self, carrier: u32, to: usize, message: Bytes) {
        let side = &mut self.sides[to];
        let newest = (1..=self.newest).rev().find(|number| self.carriers[number].views[to] != View::Unopened);
        if newest > Some(carrier) && side.got_hello {
            let before = observable(&mut side.mux);
            side.mux.handle_message(self.now, carrier, message);
            assert_eq!(before, observable(&mut side.mux), "a lower carrier is not listened to");
            self.totals.discarded += 1;
            return;
        }
        side.got_hello |= message[0] == pinhole::internals::tunnel::frame::kind::HELLO;
        if self.is_tracing {
            trace!(self, "carrier {carrier} to side {to}: {}", describe(&message));
        }
        self.wire.delivered(to, carrier, &message);
        if datagrams::is_datagram(&message) {
            self.datagram_delivered(to, &message);
        }
        self.sides[to].mux.handle_message(self.now, carrier, message);
    }

    fn after(&mut self, longest_ms: u64, happening: Happening) {
        let delay = Duration::from_micros(self.rng.random_range(0..=longest_ms * 1000));
        self.scheduled += 1;
        self.schedule.insert((self.now + delay, self.scheduled), happening);
    }

    fn check(&mut self) {
        for side in &self.sides {
            let (grown, retained) = side.mux.memory();
            let config = &self.settings.configs[usize::from(side.mux.peer().is_some_and(|peer| peer.role == "client"))];
            assert!(side.mux.peer().is_none() || grown <= config.growth_budget);
            let chunks = side.mux.stream_count() * 2 * (16_384 + 8);
            assert!(side.mux.peer().is_none() || retained <= config.send_budget + chunks, "{retained} bytes retained");
            assert_eq!(side.mux.counters().stray, 0, "frames of streams that were never opened");
            assert_eq!(side.mux.counters().ignored, 0);
            let held = side.mux.datagram_memory();
            assert!(held[0] <= 4 << 20 && held[1] <= 4 << 20 && held[2] <= 64 << 10, "datagrams hold {held:?}");
        }
    }

    /// Stops disturbing, lets both sides finish, and checks that nothing is left.
    fn quiesce(&mut self) {
        trace!(self, "-- quiet from here --");
        self.schedule.retain(|_, happening| !matches!(happening, Happening::Create | Happening::Kill { .. }));
        let newest = &self.carriers[&self.newest];
        if !newest.is_alive || newest.views != [View::Open; 2] {
            self.create_carrier();
            self.schedule.retain(|_, happening| !matches!(happening, Happening::Create | Happening::Kill { .. }));
            for side in [0, 1] {
                self.open_carrier(self.newest, side);
            }
        }
        for step in 0.. {
            assert!(step < MAX_QUIET_STEPS, "{}", self.stall_report());
            let mut busy = false;
            for side in 0..2 {
                for uid in self.sides[side].live.clone() {
                    self.accept(uid);
                    self.flows[uid].ends[side].is_stalled = false;
                    busy |= self.read(uid, side, usize::MAX) | self.write(uid, side, usize::MAX);
                }
                busy |= self.pump(side, 65_536, usize::MAX);
                self.drain_events(side);
            }
            self.check();
            let is_over = self.sides.iter().all(|side| side.mux.stream_count() == 0)
                && (self.going_away || self.is_all_answered())
                && (!self.going_away || self.sides.iter().all(|side| side.mux.is_ended()));
            if is_over && self.schedule.is_empty() {
                break;
            }
            if !busy {
                self.close_what_the_peer_left();
                let quiet = self.now.duration_since(self.start);
                self.advance();
                assert!(quiet < Duration::from_secs(100_000), "{}", self.stall_report());
            }
        }
        self.check_nothing_is_left();
    }

    /// Acts as the owner of a mux whose peer is gone: a GOAWAY can be lost with its carrier.
    fn close_what_the_peer_left(&mut self) {
        for side in 0..2 {
            let ended_at = self.sides[1 - side].ended_at;
            if ended_at.is_some_and(|at| at + Duration::from_secs(5) < self.now) {
                self.sides[side].mux.close(GoAwayReason::Shutdown, "the peer is gone", Origin::Peer);
            }
        }
    }

    fn check_nothing_is_left(&mut self) {
        for (uid, flow) in self.flows.iter().enumerate() {
            let outcomes = [flow.ends[0].outcome, flow.ends[1].outcome];
            let is_fine = flow.may_abort || self.going_away || outcomes == [Some(Outcome::Finished); 2];
            assert!(is_fine, "nobody aborted stream {uid}, and it ended as {outcomes:?}");
            if flow.is_cut || flow.is_udp || self.going_away {
                continue;
            }
            for (reader, writer) in [(0, 1), (1, 0)].map(|(reader, writer)| (&flow.ends[reader], &flow.ends[writer])) {
                let has_all = reader.has_reset || reader.read == writer.sent;
                assert!(has_all, "stream {uid}: {} bytes of {} arrived", reader.read, writer.sent);
            }
        }
        // Deadlines of streams that are gone may be asked for once more.
        let until = self.now + Duration::from_secs(40);
        while self.now < until && self.sides.iter().any(|side| side.mux.poll_timeout().is_some()) {
            self.advance();
            for side in 0..2 {
                self.pump(side, 65_536, usize::MAX);
                self.drain_events(side);
            }
        }
        for (index, side) in self.sides.iter_mut().enumerate() {
            side.mux.poll_transmit(self.now, 65_536, &mut side.pool);
            assert_eq!(side.mux.stream_count(), 0);
            assert_eq!(side.mux.memory(), (0, 0), "side {index}");
            assert_eq!(side.mux.datagram_memory()[..2], [0, 0], "side {index}");
            assert_eq!(side.pool.outstanding(), 0, "side {index} leaks chunks");
            if side.mux.is_ended() {
                assert_eq!(side.mux.poll_timeout(), None);
            } else if !self.going_away {
                let timer = side.mux.poll_timeout().expect("PING goes on");
                side.mux.handle_timeout(timer);
                let next = side.mux.poll_timeout().expect("PING goes on");
                assert_eq!(next - timer, Duration::from_secs(15), "only the idle PING is left");
            }
        }
    }

    fn stall_report(&self) -> String {
        let mut report = String::from("the world does not come to rest:\n");
        for (index, side) in self.sides.iter().enumerate() {
            report += &format!("side {index}: {} streams, carrier {:?}\n", side.mux.stream_count(), side.mux.carrier());
            for uid in &side.live {
                report += &format!("  stream {uid}: {:?}\n", self.flows[*uid]);
            }
        }
        report
    }
}

/// Returns the state that must not change when a message is dropped.
fn observable(mux: &mut Mux) -> impl PartialEq + std::fmt::Debug + use<> {
    (mux.counters(), mux.stream_count(), (mux.memory(), mux.datagram_memory()), mux.has_transmit(), mux.poll_timeout())
}

fn describe(message: &Bytes) -> String {
    use pinhole::internals::tunnel::frame::{Frame, Sequenced, StreamFrame};
    match Frame::decode(message.clone()) {
        Ok(Frame::Stream(id, generation, StreamFrame::Sequenced(sequence, Sequenced::Data(payload)))) => {
            format!("{id}/{} #{} DATA of {} bytes", generation.0, sequence.0, payload.len())
        }
        Ok(Frame::Stream(id, generation, frame)) => format!("{id}/{} {frame:?}", generation.0),
        Ok(Frame::Session(frame)) => format!("{frame:?}"),
        Err(error) => format!("{error}"),
    }
}
