//! Several servers in one process, whose hosts come, go, move and fight for names while links and servers are lost.
//!
//! Each seed is a story. When it is over, every link is made, everything under way arrives, and hosts that lost their
//! connection come back. Then every name has one holder at most, and every server knows where it is.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::ServerId;
use super::message;
use super::names::{AWAY, Claim, Names, Place};
use crate::signaling::binary::Binary;
use crate::signaling::rendezvous::HostId;

const SERVERS: usize = 4;
const NAMES: usize = 4;
const STEPS: usize = 400;

/// A host's process.
#[derive(Debug, Clone)]
struct Process {
    name: usize,
    owner: u8,
    /// Its connection, as it sees it.
    at: Option<usize>,
    /// It was told that it was replaced, or refused, and is over.
    is_over: bool,
}

struct Server {
    id: ServerId,
    names: Names,
    /// The process that each name is registered for. It may be gone without the server's knowing.
    hosts: BTreeMap<usize, usize>,
}

struct World {
    random: StdRng,
    now: Instant,
    servers: Vec<Server>,
    /// What is under way from one server to another; `None` without a link.
    links: BTreeMap<(usize, usize), Option<VecDeque<message::Names>>>,
    processes: Vec<Process>,
    /// Processes that were told of a replacement.
    replaced: Vec<usize>,
    ids: u8,
}

fn name(number: usize) -> HostId {
    format!("host-{number}").parse().unwrap()
}

fn claim(process: usize, owner: u8) -> Claim {
    let instance = Binary([u8::try_from(process).unwrap(); 32]);
    Claim { owners: vec![Binary([owner; 32])], instances: vec![instance], public: None, dials: false }
}

impl World {
    fn new(seed: u64, owners: u8) -> World {
        let mut world = World {
            random: StdRng::seed_from_u64(seed),
            now: Instant::now(),
            servers: Vec::new(),
            links: BTreeMap::new(),
            processes: Vec::new(),
            replaced: Vec::new(),
            ids: 0,
        };
        for _ in 0..SERVERS {
            let server = world.fresh();
            world.servers.push(server);
        }
        for one in 0..SERVERS {
            for other in (0..SERVERS).filter(|other| *other != one) {
                world.links.insert((one, other), None);
            }
        }
        for name in 0..NAMES {
            for owner in 0..owners {
                world.processes.push(Process { name, owner, at: None, is_over: false });
            }
        }
        world
    }

    fn fresh(&mut self) -> Server {
        self.ids += 1;
        let mut bytes = [self.ids; 16];
        bytes[0] = self.random.random();
        let id = ServerId::of(bytes);
        Server { id, names: Names::new(id, SERVERS - 1), hosts: BTreeMap::new() }
    }

    fn count_links(&mut self, server: usize) {
        let up = (0..SERVERS).filter(|other| matches!(self.links.get(&(server, *other)), Some(Some(_)))).count();
        self.servers[server].names.set_missing(SERVERS - 1 - up);
    }

    fn connect(&mut self, one: usize, other: usize) {
        if self.links[&(one, other)].is_some() {
            return;
        }
        for (from, to) in [(one, other), (other, one)] {
            let id = self.servers[to].id;
            self.servers[from].names.linked(id);
            let snapshot = self.servers[from].names.snapshot();
            self.links.insert((from, to), Some(snapshot.into()));
        }
        self.count_links(one);
        self.count_links(other);
    }

    fn cut(&mut self, one: usize, other: usize) {
        if self.links[&(one, other)].is_none() {
            return;
        }
        for (from, to) in [(one, other), (other, one)] {
            let id = self.servers[to].id;
            self.servers[from].names.unlinked(self.now, id);
            self.links.insert((from, to), None);
        }
        self.count_links(one);
        self.count_links(other);
    }

    /// Kills a server; another takes its place.
    fn restart(&mut self, server: usize) {
        (0..SERVERS).filter(|other| *other != server).for_each(|other| self.cut(server, other));
        self.servers[server] = self.fresh();
        self.processes.iter_mut().filter(|process| process.at == Some(server)).for_each(|process| process.at = None);
    }

    /// A process connects, if it is not over; what it had at another server may stay there, half open.
    fn register(&mut self, process: usize, server: usize) {
        let Process { name: number, owner, is_over, .. } = self.processes[process];
        if is_over {
            return;
        }
        let Server { names, hosts, .. } = &mut self.servers[server];
        let claim = claim(process, owner);
        let is_others = |holder: &usize| self.processes[*holder].owner != owner;
        if hosts.get(&number).is_some_and(is_others) || !names.may_claim(&name(number), &claim) {
            self.processes[process].at = None;
            return;
        }
        names.claim(&name(number), claim);
        let former = hosts.insert(number, process).filter(|former| *former != process);
        self.processes[process].at = Some(server);
        former.into_iter().for_each(|former| self.tell_replaced(former, server));
    }

    fn tell_replaced(&mut self, process: usize, by: usize) {
        // A half-open connection does not reach its process.
        if self.processes[process].at == Some(by) {
            self.processes[process].is_over = true;
            self.processes[process].at = None;
            self.replaced.push(process);
        }
    }

    /// A server finds that a connection is over.
    fn drop_host(&mut self, server: usize, number: usize) {
        if let Some(process) = self.servers[server].hosts.remove(&number) {
            self.servers[server].names.release(&name(number));
            let process = &mut self.processes[process];
            if process.at == Some(server) {
                process.at = None;
            }
        }
    }

    /// Has a server act on what it learned, and tell others of it.
    fn turn(&mut self, server: usize) {
        while let Some(loss) = self.servers[server].names.poll_loss() {
            let number = (0..NAMES).find(|number| name(*number) == loss.id).unwrap();
            let Some(process) = self.servers[server].hosts.remove(&number) else { continue };
            if !loss.has_moved {
                self.tell_replaced(process, server);
            } else if self.processes[process].at == Some(server) {
                self.processes[process].at = None;
            }
        }
        while let Some(changes) = self.servers[server].names.poll_changes() {
            for other in 0..SERVERS {
                if let Some(Some(link)) = self.links.get_mut(&(server, other)) {
                    link.push_back(changes.clone());
                }
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(Some(link)) = self.links.get_mut(&(from, to)) else { return false };
        let Some(names) = link.pop_front() else { return false };
        let id = self.servers[from].id;
        self.servers[to].names.handle(id, names);
        self.turn(to);
        true
    }

    fn step(&mut self) {
        let (one, other) = (self.random.random_range(0..SERVERS), self.random.random_range(0..SERVERS));
        let process = self.random.random_range(0..self.processes.len());
        match self.random.random_range(0..100) {
            0..60 => drop(self.deliver(one, other)),
            60..75 => self.register(process, one),
            75..80 => self.drop_host(one, self.processes[process].name),
            80..90 if one != other => self.connect(one, other),
            90..95 if one != other => self.cut(one, other),
            95 => self.restart(one),
            96 => {
                self.now += Duration::from_secs(30);
                let now = self.now;
                self.servers.iter_mut().for_each(|server| server.names.forget_late(now));
            }
            _ => {}
        }
        (0..SERVERS).for_each(|server| self.turn(server));
    }

    /// Makes every link, and lets everything arrive and every host come back, until nothing more happens.
    fn settle(&mut self) {
        for one in 0..SERVERS {
            (0..one).for_each(|other| self.connect(one, other));
        }
        for _ in 0..50 {
            loop {
                (0..SERVERS).for_each(|server| self.turn(server));
                let pairs: Vec<_> = self.links.keys().copied().collect();
                if !pairs.into_iter().any(|(from, to)| self.deliver(from, to)) {
                    break;
                }
            }
            // Half-open connections are found out.
            for server in 0..SERVERS {
                let hosts = self.servers[server].hosts.clone();
                for (number, process) in hosts {
                    if self.processes[process].at != Some(server) {
                        self.drop_host(server, number);
                    }
                }
            }
            let lost: Vec<usize> = (0..self.processes.len())
                .filter(|process| self.processes[*process].at.is_none() && !self.processes[*process].is_over)
                .collect();
            for process in lost {
                let server = self.random.random_range(0..SERVERS);
                self.register(process, server);
            }
        }
    }

    /// Lets so much time pass that servers which are gone are forgotten.
    fn forget(&mut self) {
        self.now += AWAY;
        let now = self.now;
        self.servers.iter_mut().for_each(|server| server.names.forget_late(now));
    }

    #[track_caller]
    fn check(&self, seed: u64) {
        for number in 0..NAMES {
            let holders: Vec<usize> =
                (0..SERVERS).filter(|server| self.servers[*server].hosts.contains_key(&number)).collect();
            assert!(holders.len() <= 1, "seed {seed}: {number} is held by {holders:?}");
            for server in &self.servers {
                let place = server.names.place(&name(number));
                match holders.first() {
                    // Servers that were killed may have it, for all that is known.
                    None => assert!(matches!(place, Place::Nowhere | Place::Away), "seed {seed}: {number} {place:?}"),
                    Some(&holder) if self.servers[holder].id == server.id => {
                        assert!(matches!(place, Place::Here(_)), "seed {seed}: {number} {place:?}");
                    }
                    Some(&holder) => {
                        let id = self.servers[holder].id;
                        assert!(matches!(place, Place::At(at, _) if at == id), "seed {seed}: {number} {place:?}");
                    }
                }
            }
            // Whoever is not over and not kept out by the holder is connected.
            if holders.is_empty() {
                assert!(self.processes.iter().all(|process| process.name != number || process.is_over), "seed {seed}");
            }
        }
    }
}

fn run(seed: u64, owners: u8) -> World {
    let mut world = World::new(seed, owners);
    (0..STEPS).for_each(|_| world.step());
    finish(&mut world, seed);
    world
}

#[track_caller]
fn finish(world: &mut World, seed: u64) {
    world.settle();
    world.check(seed);
    world.forget();
    world.settle();
    world.check(seed);
    let unknown = name(NAMES);
    assert!(world.servers.iter().all(|server| server.names.place(&unknown) == Place::Nowhere), "seed {seed}");
}

#[test]
fn a_host_that_is_alone_with_its_name_is_reachable_everywhere_and_never_replaced() {
    for seed in 0..300 {
        let world = run(seed, 1);
        assert!(world.replaced.is_empty(), "seed {seed}: {:?}", world.replaced);
        assert!(world.servers.iter().map(|server| server.hosts.len()).sum::<usize>() == NAMES, "seed {seed}");
    }
}

#[test]
fn of_several_owners_one_has_the_name_and_all_servers_know_which() {
    for seed in 1000..1300 {
        run(seed, 3);
    }
}

#[test]
fn of_two_processes_with_one_token_one_goes_on() {
    for seed in 2000..2300 {
        let mut world = World::new(seed, 1);
        let second: Vec<Process> = world.processes.clone();
        world.processes.extend(second);
        (0..STEPS).for_each(|_| world.step());
        finish(&mut world, seed);
        assert!(world.processes.iter().filter(|process| !process.is_over).count() <= NAMES, "seed {seed}");
    }
}
