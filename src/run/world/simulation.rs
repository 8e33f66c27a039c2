//! A simulation: a server, hosts, clients and programs, while random processes are killed or stall, machines are
//! switched off and links are cut. Whatever happened, once everything is repaired it works again, all bytes are right,
//! and nothing is left over.
//!
//! `WORLD_SEED` runs one seed, `WORLD_SEEDS` that many (`make sim`).

use std::ops::Range;
use std::panic::catch_unwind;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Ended, SERVER_PORT, Side, Visitor, World, client_of, host_of, id, registration};
use crate::config::{ClientConfig, HostConfig, Registration, ServerConfig};
use crate::net::world::Machine;
use crate::run::RunError;
use crate::session::{End, Reach};
use crate::status::event::Event;

/// Number of seeds in an ordinary run.
const SEEDS: u64 = 256;

const MEETING: &str = "10.0.0.9";
const SERVICE: &str = "127.0.0.1:80";
const LOCAL: &str = "127.0.0.1:9000";

/// Number of faults before the repair.
const BLOWS: Range<usize> = 2..7;

/// Longest time until all have met again: the longest pauses, one after the other.
const HEALING: Duration = Duration::from_secs(240);

/// Longest wait of a program: for a session, for a dial, and for the path.
const ANSWER: Duration = Duration::from_secs(60);

/// Longest time until the remains of connections and sessions are gone.
const CLEANING: Duration = Duration::from_secs(180);

/// A host or a client, and its settings.
struct Member {
    machine: Machine,
    side: Side,
    /// For a client: it dials its host directly, not through the server.
    is_by_itself: bool,
    office: usize,
}

struct Simulation {
    world: World,
    random: StdRng,
    meeting: Machine,
    server: Side,
    /// Direct paths are tried.
    is_direct: bool,
    hosts: Vec<Member>,
    clients: Vec<Member>,
    visitors: Vec<(Visitor, usize)>,
    stalled: Vec<Side>,
    cut: Vec<(Machine, Machine)>,
    blows: Vec<String>,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::seeded(seed);
        let meeting = world.machine(&[MEETING]);
        let server = world.server(meeting, server_config());
        let mut simulation = Simulation {
            world,
            meeting,
            server,
            is_direct: random.random_bool(0.25),
            hosts: Vec::new(),
            clients: Vec::new(),
            visitors: Vec::new(),
            stalled: Vec::new(),
            cut: Vec::new(),
            blows: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        };
        for office in 0..random.random_range(1..3) {
            let machine = simulation.world.machine(&[&office_address(office)]);
            simulation.world.echo(machine, SERVICE);
            let side = simulation.world.host(machine, host_config(office, simulation.is_direct));
            simulation.hosts.push(Member { machine, side, is_by_itself: true, office });
        }
        for number in 0..random.random_range(1..4) {
            let machine = simulation.world.machine(&[&format!("10.0.2.{}", number + 1)]);
            let office = random.random_range(0..simulation.hosts.len());
            let is_by_itself = random.random_bool(0.3);
            let side = simulation.world.client(machine, client_config(office, is_by_itself));
            simulation.clients.push(Member { machine, side, is_by_itself, office });
        }
        simulation.random = random;
        simulation
    }

    /// A program connects, and sends something.
    fn visit(&mut self) {
        let client = self.random.random_range(0..self.clients.len());
        let visitor = self.world.visit(self.clients[client].machine, LOCAL);
        let len = if self.random.random_bool(0.2) { 200_000 } else { 2_000 };
        self.world.say(visitor, &pattern(self.visitors.len(), len));
        self.world.finish(visitor);
        self.visitors.push((visitor, len));
    }

    /// Causes a random fault.
    fn strike(&mut self) {
        let what = self.random.random_range(0..9);
        let all: Vec<(Side, Machine)> =
            self.hosts.iter().chain(&self.clients).map(|own| (own.side, own.machine)).collect();
        let (side, machine) = all[self.random.random_range(0..all.len())];
        self.blows.push(format!("{:?} {what} {side:?}", self.world.time()));
        match what {
            0 => {
                self.world.kill(self.server);
                self.pass(0..20_000);
                self.server = self.world.server(self.meeting, server_config());
            }
            1 => {
                let host = self.random.random_range(0..self.hosts.len());
                self.world.kill(self.hosts[host].side);
                self.pass(0..20_000);
                self.start_host(host);
            }
            2 => {
                let client = self.random.random_range(0..self.clients.len());
                self.world.kill(self.clients[client].side);
                self.pass(0..5_000);
                self.start_client(client);
            }
            3 => {
                let side = if self.random.random_bool(0.3) { self.server } else { side };
                self.world.stall(side, true);
                self.stalled.push(side);
            }
            4 => {
                let other = if self.random.random_bool(0.5) { self.meeting } else { all[0].1 };
                if other != machine {
                    self.world.cut(machine, other, true);
                    self.cut.push((machine, other));
                }
            }
            5 => {
                let (loss, blocks) = (self.random.random_range(0.0..0.2), self.random.random_bool(0.5));
                self.world.change_way(machine, all[0].1, |way| {
                    (way.loss, way.blocks_datagrams) = (loss, blocks);
                });
            }
            6 => {
                let pause = self.random.random_range(0..400);
                self.world.change_way(machine, self.meeting, |way| way.latency = Duration::from_millis(pause));
            }
            7 => {
                self.world.power_off(self.meeting);
                self.pass(0..30_000);
                self.world.power_on(self.meeting);
                self.server = self.world.server(self.meeting, server_config());
            }
            _ => {
                self.world.stop(self.server);
                self.pass(0..15_000);
                self.world.kill(self.server);
                self.server = self.world.server(self.meeting, server_config());
            }
        }
    }

    fn start_host(&mut self, host: usize) {
        let Member { machine, office, .. } = self.hosts[host];
        self.hosts[host].side = self.world.host(machine, host_config(office, self.is_direct));
    }

    fn start_client(&mut self, client: usize) {
        let Member { machine, office, is_by_itself, .. } = self.clients[client];
        self.clients[client].side = self.world.client(machine, client_config(office, is_by_itself));
    }

    fn pass(&mut self, milliseconds: Range<u64>) {
        let time = self.random.random_range(milliseconds);
        self.world.pass(Duration::from_millis(time));
    }

    /// Repairs everything.
    fn mend(&mut self) {
        for side in std::mem::take(&mut self.stalled) {
            self.world.stall(side, false);
        }
        for (one, other) in std::mem::take(&mut self.cut) {
            self.world.cut(one, other, false);
        }
    }

    /// Makes a program on a client's machine reach the service, as soon as possible.
    fn meet(&mut self, client: usize) {
        let begin = self.world.time();
        loop {
            let Member { machine, side, .. } = self.clients[client];
            // If nobody answered for a minute, the client ended without a path; its user may start it again.
            match self.world.end(side) {
                None => {}
                Some(Err(RunError::Session(End::NoPath))) => self.start_client(client),
                Some(end) => panic!("client {client} ended: {end:?}\n{}", self.report()),
            }
            let visitor = self.world.visit(machine, LOCAL);
            self.world.say(visitor, b"hello");
            self.world.finish(visitor);
            self.world.within(ANSWER, |world| world.ended(visitor).is_some());
            match self.world.ended(visitor) {
                Some(Ended::InOrder) if self.world.heard(visitor) == b"hello" => return,
                Some(Ended::Failed(_)) => self.world.pass(Duration::from_secs(1)),
                ended => panic!("client {client}: {ended:?}\n{}", self.report()),
            }
            assert!(self.world.time() - begin < HEALING, "client {client} met nobody\n{}", self.report());
        }
    }

    fn report(&self) -> String {
        format!("{}\n{}", self.blows.join("\n"), self.world.report())
    }

    fn run(&mut self) {
        self.pass(0..3_000);
        for _ in 0..self.random.random_range(BLOWS) {
            for _ in 0..self.random.random_range(0..3) {
                self.visit();
            }
            self.pass(0..2_000);
            self.strike();
            self.pass(0..20_000);
        }
        self.mend();
        (0..self.clients.len()).for_each(|client| self.meet(client));
        // Earlier visitors have their answer, or know that there is none.
        let visitors: Vec<Visitor> = self.visitors.iter().map(|(visitor, _)| *visitor).collect();
        self.world.within(HEALING, |world| visitors.iter().all(|visitor| world.ended(*visitor).is_some()));
        for (index, (visitor, len)) in self.visitors.iter().enumerate() {
            let (heard, ended, expected) =
                (self.world.heard(*visitor), self.world.ended(*visitor), pattern(index, *len));
            let is_right = match ended {
                Some(Ended::InOrder) => heard == expected,
                Some(Ended::Failed(_)) => expected.starts_with(heard),
                None => false,
            };
            assert!(is_right, "visitor {index}: {} of {len}, {ended:?}\n{}", heard.len(), self.report());
        }
        self.clean_up();
    }

    /// Stops the clients, and checks that nothing is left of them.
    fn clean_up(&mut self) {
        let sides = |members: &[Member]| -> Vec<Side> { members.iter().map(|own| own.side).collect() };
        let (clients, hosts, server) = (sides(&self.clients), sides(&self.hosts), self.server);
        clients.iter().for_each(|client| self.world.stop(*client));
        let is_clean = self.world.within(CLEANING, |world| {
            clients.iter().all(|client| world.end(*client).is_some_and(Result::is_ok))
                // A listener, and the WebSocket to the server.
                && hosts.iter().all(|host| !world.has_sessions(*host) && world.sockets(*host) == 2)
                && world.sockets(server) == 1 + hosts.len()
        });
        let sockets: Vec<usize> = hosts.iter().chain([&server]).map(|side| self.world.sockets(*side)).collect();
        assert!(is_clean, "something is left: {sockets:?}\n{}", self.report());
    }
}

fn pattern(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + index * 7 + at / 256) as u8).collect()
}

fn server_config() -> ServerConfig {
    ServerConfig::open(([0, 0, 0, 0], SERVER_PORT).into())
}

fn name(office: usize) -> String {
    format!("office-{office}")
}

fn host_config(office: usize, direct: bool) -> HostConfig {
    // With a token, another process may take the name of one that is gone.
    let token = Some("abcdefghijklmnopqrst".parse().unwrap());
    let server = Registration { token, retry: true, ..registration(MEETING, &name(office)) };
    HostConfig { server: Some(server), reach: Reach { direct, ..Reach::default() }, ..host_of(SERVICE) }
}

fn client_config(office: usize, is_by_itself: bool) -> ClientConfig {
    if is_by_itself {
        return ClientConfig { retry: true, ..client_of(&office_address(office)) };
    }
    let registration = registration(MEETING, &name(office));
    let url = registration.server.client_endpoint(&id(&name(office)));
    ClientConfig { url, retry: true, ..client_of(MEETING) }
}

fn office_address(office: usize) -> String {
    format!("10.0.1.{}", office + 1)
}

/// Runs seeds, and returns those that failed.
fn simulate(seeds: impl Iterator<Item = u64>) -> Vec<u64> {
    seeds.filter(|seed| catch_unwind(|| Simulation::new(*seed).run()).is_err()).collect()
}

#[test]
fn everybody_meets_again_whatever_happened() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let only = number("WORLD_SEED");
    let seeds = only.map_or(0..number("WORLD_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let part = |thread| seeds.clone().skip(thread).step_by(threads);
        let runs: Vec<_> = (0..threads).map(|thread| scope.spawn(move || simulate(part(thread)))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert_eq!(failed, [0; 0], "seeds that failed; WORLD_SEED runs one alone");
}

#[test]
fn what_a_simulation_says_of_a_host_is_so() {
    let mut simulation = Simulation::new(1);
    simulation.pass(3_000..3_001);
    let hosts: Vec<Side> = simulation.hosts.iter().map(|host| host.side).collect();
    for host in hosts {
        assert!(simulation.world.said(host, |event| matches!(event, Event::Registered { .. })));
    }
}
