//! Servers, their hosts and a directory that is cut off, hangs, dies and forgets. Each seed is a story; whatever
//! happened, names have one holder soon after it is over, everybody finds it, and a host that is there is never said to
//! be nowhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::model::{self, Commands, Redis};
use super::*;
use crate::cluster::message::Here;
use crate::cluster::names::Claim;
use crate::signaling::binary::Binary;

const NODES: usize = 3;
const NAMES: [&str; 3] = ["one", "two", "three"];

/// Bytes on their way, each with the time of its arrival.
type Way = VecDeque<(Instant, Vec<u8>)>;

struct Wire {
    to_redis: Way,
    to_node: Way,
    commands: Commands,
    decoder: Decoder,
    is_subscribed: bool,
}

struct Node {
    directory: Directory,
    wire: Option<Wire>,
    /// It cannot reach the directory until then.
    cut_until: Instant,
    redial_at: Instant,
    /// The process of each host that is registered here, and since when.
    hosts: BTreeMap<HostId, (u8, Instant)>,
    taking: BTreeMap<HostId, u8>,
    /// Since when the directory serves it, or does not.
    is_up: (bool, Instant),
}

impl Node {
    /// Tells whether a host is here that is in the directory for certain, unless that lost it.
    fn has_written(&self, now: Instant, id: &HostId) -> bool {
        let Some((_, since)) = self.hosts.get(id) else { return false };
        let time = Duration::from_secs(3);
        match self.is_up {
            (true, up) => (*since).max(up) + time < now,
            (false, down) => *since + time < down,
        }
    }
}

struct World {
    rng: StdRng,
    now: Instant,
    start: Instant,
    redis: Redis,
    /// The directory is stopped, or gone, until then.
    hangs_until: Instant,
    dead_until: Instant,
    nodes: Vec<Node>,
    /// What was sent on connections that are gone, and is still read once the directory goes on.
    orphans: Vec<(Way, Commands)>,
}

fn claim(process: u8) -> Claim {
    let tag = |byte| vec![Binary([byte; 32])];
    Claim { owners: tag(1), instances: tag(process), public: None, dials: false }
}

impl World {
    fn new(seed: u64) -> World {
        let now = Instant::now();
        let node = |number: usize| Node {
            directory: Directory::new(
                now,
                ServerId::of([u8::try_from(number).unwrap() + 1; 16]),
                format!("ws://{number}"),
                format!("{seed}-{number}"),
            ),
            wire: None,
            cut_until: now,
            redial_at: now,
            hosts: BTreeMap::new(),
            taking: BTreeMap::new(),
            is_up: (false, now),
        };
        World {
            rng: StdRng::seed_from_u64(seed),
            now,
            start: now,
            redis: Redis::at(1_000_000),
            hangs_until: now,
            dead_until: now,
            nodes: (0..NODES).map(node).collect(),
            orphans: Vec::new(),
        }
    }

    fn later(&mut self, from: u64, to: u64) -> Instant {
        self.now + Duration::from_millis(self.rng.random_range(from..to))
    }

    fn is_alive(&self) -> bool {
        self.now >= self.dead_until
    }

    fn is_awake(&self) -> bool {
        self.is_alive() && self.now >= self.hangs_until
    }

    /// Lets some time pass, in which everything happens that is due.
    fn step(&mut self, most: u64) {
        let step = Duration::from_millis(self.rng.random_range(1..most));
        self.now += step;
        self.redis.now = 1_000_000 + u64::try_from((self.now - self.start).as_millis()).unwrap();
        if self.is_awake() {
            for (way, mut commands) in std::mem::take(&mut self.orphans) {
                for (_, bytes) in way {
                    commands.push(&bytes).iter().for_each(|command| drop(self.redis.run(command)));
                }
            }
        }
        (0..NODES).for_each(|node| self.serve(node));
        (0..NODES).for_each(|node| self.turn(node));
    }

    /// Has the directory answer what came from a node.
    fn serve(&mut self, node: usize) {
        let (now, is_awake) = (self.now, self.is_awake());
        let at = self.later(1, 200);
        let Some(wire) = self.nodes[node].wire.as_mut().filter(|_| is_awake) else { return };
        while wire.to_redis.front().is_some_and(|(at, _)| *at <= now) {
            let (_, bytes) = wire.to_redis.pop_front().unwrap();
            for command in wire.commands.push(&bytes) {
                wire.is_subscribed |= command[0] == "SUBSCRIBE";
                let answer = self.redis.run(&command);
                let at = wire.to_node.back().map_or(at, |(last, _)| at.max(*last));
                wire.to_node.push_back((at, answer.into_bytes()));
            }
        }
        for hint in std::mem::take(&mut self.redis.hints) {
            let subscribed =
                self.nodes.iter_mut().filter_map(|node| node.wire.as_mut()).filter(|wire| wire.is_subscribed);
            for wire in subscribed {
                let at = wire.to_node.back().map_or(at, |(last, _)| at.max(*last));
                wire.to_node.push_back((at, model::push(&hint).into_bytes()));
            }
        }
    }

    fn cut(&mut self, node: usize) {
        let redial_at = self.later(100, 3000);
        let is_hung = self.is_alive();
        let node = &mut self.nodes[node];
        node.redial_at = redial_at;
        node.directory.disconnected(self.now);
        if let Some(wire) = node.wire.take().filter(|_| is_hung) {
            self.orphans.push((wire.to_redis, wire.commands));
        }
    }

    /// One turn of a server's loop.
    fn turn(&mut self, number: usize) {
        let now = self.now;
        let is_reachable = self.is_alive() && now >= self.nodes[number].cut_until;
        let node = &mut self.nodes[number];
        if !is_reachable && node.wire.is_some() {
            self.cut(number);
        } else if is_reachable && node.wire.is_none() && node.redial_at <= now {
            let (to_redis, to_node) = (VecDeque::new(), VecDeque::new());
            let (commands, decoder) = (Commands::default(), Decoder::default());
            node.wire = Some(Wire { to_redis, to_node, commands, decoder, is_subscribed: false });
            node.directory.connected(now, &Login::default());
        }
        let node = &mut self.nodes[number];
        let mut result = node.directory.handle_timeout(now);
        if let Some(wire) = &mut node.wire {
            while result.is_ok() && wire.to_node.front().is_some_and(|(at, _)| *at <= now) {
                wire.decoder.push(&wire.to_node.pop_front().unwrap().1);
                while let Some(arrived) = wire.decoder.poll().unwrap() {
                    result = result.and(node.directory.handle(now, arrived));
                }
            }
        }
        match result {
            Ok(()) => {}
            Err(DirectoryError::Silent) => self.cut(number),
            Err(error) => panic!("{error}"),
        }
        let node = &mut self.nodes[number];
        let is_up = node.directory.is_up();
        if node.is_up.0 != is_up {
            node.is_up = (is_up, now);
        }
        while let Some(event) = self.nodes[number].directory.poll_event() {
            self.handle(number, event);
        }
        let at = self.later(1, 200);
        let node = &mut self.nodes[number];
        if let Some(wire) = &mut node.wire
            && let Some(bytes) = node.directory.poll_output(now)
        {
            let at = wire.to_redis.back().map_or(at, |(last, _)| at.max(*last));
            wire.to_redis.push_back((at, bytes));
        }
    }

    fn handle(&mut self, number: usize, event: Event) {
        let now = self.now;
        let node = &mut self.nodes[number];
        match event {
            Event::Taken(id, verdict) => match (node.taking.remove(&id), verdict) {
                (Some(process), Verdict::Held | Verdict::Here) => {
                    node.directory.claim(now, &id, claim(process));
                    node.hosts.insert(id, (process, now));
                }
                (None, Verdict::Held) => node.directory.release(now, &id),
                (_, Verdict::Taken) => panic!("there is one owner"),
                (_, _) => {}
            },
            Event::Lost(Loss { id, how }) => {
                assert_ne!(how, Lost::Taken, "there is one owner");
                // It may have left meanwhile.
                node.hosts.remove(&id);
            }
            Event::Seek(id) => {
                for other in (0..NODES).filter(|other| *other != number) {
                    let here = self.nodes[other].directory.here(&id);
                    here.into_iter().for_each(|here| self.tell(other, number, here));
                }
            }
            Event::Tell(id) => {
                for other in (0..NODES).filter(|other| *other != number) {
                    let here = self.nodes[number].directory.here(&id);
                    here.into_iter().for_each(|here| self.tell(number, other, here));
                }
            }
            Event::Found(_) | Event::Servers | Event::Back | Event::Away => {}
        }
    }

    /// A server tells another of a host, and is told if that is not true any more.
    fn tell(&mut self, from: usize, to: usize, here: Here) {
        let (now, id) = (self.now, self.nodes[from].directory.own.id);
        let answer = self.nodes[to].directory.learn(now, id, here);
        let id = self.nodes[to].directory.own.id;
        answer.into_iter().for_each(|here| drop(self.nodes[from].directory.learn(now, id, here)));
    }

    /// A host registers, wherever it was before. Whether its former server notices that it left is open.
    fn register(&mut self, number: usize, id: &HostId, process: u8) {
        let now = self.now;
        let node = &mut self.nodes[number];
        if node.hosts.contains_key(id) {
            // The same server lets another connection take the place of the first, in one turn.
            node.directory.release(now, id);
            node.directory.claim(now, id, claim(process));
            node.hosts.insert(id.clone(), (process, now));
        } else {
            node.taking.insert(id.clone(), process);
            node.directory.take(now, id, claim(process), 0);
        }
    }

    fn leave(&mut self, number: usize, id: &HostId) {
        let now = self.now;
        let node = &mut self.nodes[number];
        node.taking.remove(id);
        node.hosts.remove(id);
        node.directory.release(now, id);
    }

    /// Something happens.
    fn act(&mut self) {
        let node = self.rng.random_range(0..NODES);
        let id: HostId = NAMES[self.rng.random_range(0..NAMES.len())].parse().unwrap();
        let process = self.rng.random_range(2..4);
        let (short, long) = (self.later(100, 6000), self.later(1000, 50_000));
        match self.rng.random_range(0..100) {
            0..30 => self.register(node, &id, process),
            30..45 => self.leave(node, &id),
            45..48 => self.cut(node),
            48..50 => self.nodes[node].cut_until = long,
            50..53 => self.hangs_until = short,
            53 => self.hangs_until = long,
            54..56 => self.redis.flush(),
            56 => {
                // It comes back with what it had on disk, or without.
                self.dead_until = short;
                self.orphans.clear();
                if self.rng.random() {
                    self.redis.flush();
                }
                (0..NODES).for_each(|node| self.cut(node));
            }
            _ => self.look(node, &id),
        }
    }

    /// Nobody is told that a host is nowhere that has been somewhere for a while.
    fn look(&mut self, number: usize, id: &HostId) {
        let now = self.now;
        let mut found = self.nodes[number].directory.find(now, id);
        let is_complete = self.nodes[number].directory.servers().len() == NODES - 1;
        let all_up = self.nodes.iter().all(|node| node.directory.is_up());
        if found == Found::Nowhere && !(is_complete && all_up) {
            found = self.nodes[number].directory.seek(now, id);
        }
        if found == Found::Nowhere {
            let here = self.nodes.iter().position(|node| node.has_written(now, id));
            assert_eq!(here.filter(|here| *here != number), None, "{id} is there, and {number} does not find it");
        }
    }

    /// Everything is well from here on.
    fn heal(&mut self) {
        (self.hangs_until, self.dead_until) = (self.now, self.now);
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.cut_until = now);
    }

    fn holders(&self, id: &HostId) -> Vec<usize> {
        (0..NODES).filter(|node| self.nodes[*node].hosts.contains_key(id)).collect()
    }

    fn settle(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.step(200);
        }
    }

    fn check(&mut self) {
        self.heal();
        // A connection may have been given up just now, and be made again in three seconds.
        self.settle(Duration::from_secs(4 + 15));
        for name in NAMES {
            let id: HostId = name.parse().unwrap();
            let holders = self.holders(&id);
            assert!(holders.len() <= 1, "{name} is at {holders:?}");
            let Some(&holder) = holders.first() else { continue };
            let epoch = self.nodes[holder].directory.holds(&id).unwrap();
            for number in (0..NODES).filter(|number| *number != holder) {
                let mut found = self.nodes[number].directory.find(self.now, &id);
                for _ in 0..20 {
                    if found != Found::Asked {
                        break;
                    }
                    self.step(100);
                    found = self.nodes[number].directory.find(self.now, &id);
                }
                let Found::At(record) = found else { panic!("{number} finds {name} {found:?}") };
                let expected = (self.nodes[holder].directory.own.id, epoch);
                assert_eq!((record.server, record.entry.epoch), expected, "{number} finds {name} elsewhere");
            }
        }
    }
}

fn story(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..4 {
        for _ in 0..world.rng.random_range(50..400) {
            world.act();
            world.step(300);
        }
        world.check();
    }
}

#[test]
fn names_have_one_holder_whatever_happens_to_the_directory() {
    let count = std::env::var("SIM_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(60);
    for seed in 0..count {
        let result = std::panic::catch_unwind(|| story(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}
