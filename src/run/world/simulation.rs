//! A server, hosts, clients and programs, while processes are killed and stall, machines lose their power and ways are
//! cut, by chance. Whatever happened, once all is mended everything works, bytes are what they were, and nothing is left.
//!
//! `WORLD_SEED` runs one seed, `WORLD_SEEDS` that many (`make sim`).

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Ended, SERVER_PORT, Side, Visitor, World, client_of, host_of, id, registration};
use crate::config::{ClientConfig, HostConfig, Registration, ServerConfig};
use crate::net::world::Machine;
use crate::session::Reach;
use crate::status::event::Event;

/// Seeds of an ordinary run.
const SEEDS: u64 = 256;

const MEETING: &str = "10.0.0.9";
const SERVICE: &str = "127.0.0.1:80";

/// Things that happen before all is mended.
const BLOWS: Range<usize> = 2..7;

/// How long it may take until everybody has met again: the longest pauses, one after the other.
const HEALING: Duration = Duration::from_secs(240);

/// How long what is left of connections and sessions may take to go.
const CLEANING: Duration = Duration::from_secs(180);

/// A host or a client, and what it is started with.
struct Member {
    machine: Machine,
    side: Side,
    /// For a client: the port of its programs.
    local: Option<u16>,
    office: usize,
}

struct Simulation {
    world: World,
    random: StdRng,
    meeting: Machine,
    server: Side,
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
            hosts: Vec::new(),
            clients: Vec::new(),
            visitors: Vec::new(),
            stalled: Vec::new(),
            cut: Vec::new(),
            blows: Vec::new(),
            random: StdRng::seed_from_u64(seed),
        };
        for office in 0..random.random_range(1..3) {
            let machine = simulation.world.machine(&[&format!("10.0.1.{}", office + 1)]);
            simulation.world.echo(machine, SERVICE);
            let side = simulation.world.host(machine, host_config(office));
            simulation.hosts.push(Member { machine, side, local: None, office });
        }
        for number in 0..random.random_range(1..4) {
            let machine = simulation.world.machine(&[&format!("10.0.2.{}", number + 1)]);
            let office = random.random_range(0..simulation.hosts.len());
            let side = simulation.world.client(machine, client_config(office));
            simulation.clients.push(Member { machine, side, local: Some(9000), office });
        }
        simulation.random = random;
        simulation
    }

    /// Somebody connects, and says something.
    fn visit(&mut self) {
        let client = self.random.random_range(0..self.clients.len());
        let Member { machine, local: Some(port), .. } = self.clients[client] else { return };
        let visitor = self.world.visit(machine, &format!("127.0.0.1:{port}"));
        let len = if self.random.random_bool(0.2) { 200_000 } else { 2_000 };
        self.world.say(visitor, &pattern(self.visitors.len(), len));
        self.world.finish(visitor);
        self.visitors.push((visitor, len));
    }

    /// Something happens.
    fn strike(&mut self) {
        let what = self.random.random_range(0..7);
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
        self.hosts[host].side = self.world.host(machine, host_config(office));
    }

    fn start_client(&mut self, client: usize) {
        let Member { machine, office, .. } = self.clients[client];
        self.clients[client].side = self.world.client(machine, client_config(office));
    }

    fn pass(&mut self, milliseconds: Range<u64>) {
        let time = self.random.random_range(milliseconds);
        self.world.pass(Duration::from_millis(time));
    }

    /// Mends everything, and starts again who has ended.
    fn heal(&mut self) {
        for side in std::mem::take(&mut self.stalled) {
            self.world.stall(side, false);
        }
        for (one, other) in std::mem::take(&mut self.cut) {
            self.world.cut(one, other, false);
        }
        self.world.pass(HEALING);
        for host in 0..self.hosts.len() {
            if let Some(end) = self.world.end(self.hosts[host].side) {
                panic!("a host ended: {end:?}\n{}", self.report());
            }
        }
        for client in 0..self.clients.len() {
            if let Some(end) = self.world.end(self.clients[client].side) {
                panic!("a client ended: {end:?}\n{}", self.report());
            }
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
        self.heal();
        // Those who connected before have their answer, or know that they have none.
        for (index, (visitor, len)) in self.visitors.iter().enumerate() {
            let (heard, expected) = (self.world.heard(*visitor), pattern(index, *len));
            let is_right = match self.world.ended(*visitor) {
                Some(Ended::InOrder) => heard == expected,
                Some(Ended::Failed(_)) => expected.starts_with(heard),
                None => false,
            };
            assert!(
                is_right,
                "visitor {index}: {} of {len}, {:?}\n{}",
                heard.len(),
                self.world.ended(*visitor),
                self.report()
            );
        }
        // Everybody has met again.
        for client in 0..self.clients.len() {
            let Member { machine, local: Some(port), .. } = self.clients[client] else { continue };
            let visitor = self.world.visit(machine, &format!("127.0.0.1:{port}"));
            self.world.say(visitor, b"hello");
            self.world.finish(visitor);
            self.world.pass(Duration::from_secs(10));
            let (heard, ended) = (self.world.heard(visitor), self.world.ended(visitor));
            assert!(
                heard == b"hello" && ended == Some(Ended::InOrder),
                "client {client}: {ended:?}\n{}",
                self.report()
            );
        }
        self.clean_up();
    }

    /// Clients end, and nothing is left of them anywhere.
    fn clean_up(&mut self) {
        for client in &self.clients {
            self.world.stop(client.side);
        }
        self.world.pass(CLEANING);
        for client in 0..self.clients.len() {
            let side = self.clients[client].side;
            assert!(self.world.end(side).is_some_and(Result::is_ok), "client {client} did not end\n{}", self.report());
        }
        for host in 0..self.hosts.len() {
            let side = self.hosts[host].side;
            let (has_sessions, sockets) = (self.world.has_sessions(side), self.world.sockets(side));
            assert!(!has_sessions && sockets == 2, "host {host} has {sockets} sockets\n{}", self.report());
        }
        let sockets = self.world.sockets(self.server);
        assert_eq!(sockets, 1 + self.hosts.len(), "of the server\n{}", self.report());
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

fn host_config(office: usize) -> HostConfig {
    // With a token another process may have the name of one that is gone.
    let token = Some("abcdefghijklmnopqrst".parse().unwrap());
    let server = Registration { token, retry: true, ..registration(MEETING, &name(office)) };
    HostConfig { server: Some(server), reach: Reach { direct: false, ..Reach::default() }, ..host_of(SERVICE) }
}

fn client_config(office: usize) -> ClientConfig {
    let registration = registration(MEETING, &name(office));
    let url = registration.server.client_endpoint(&id(&name(office)));
    ClientConfig { url, retry: true, ..client_of(MEETING) }
}

fn simulate(seed: u64) {
    let run = AssertUnwindSafe(|| Simulation::new(seed).run());
    if let Err(panic) = catch_unwind(run) {
        eprintln!("seed {seed} (WORLD_SEED={seed} runs it alone)");
        resume_unwind(panic);
    }
}

#[test]
fn everybody_meets_again_whatever_happened() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("WORLD_SEED") {
        return simulate(seed);
    }
    let seeds = number("WORLD_SEEDS").unwrap_or(SEEDS);
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || (thread..seeds).step_by(threads as usize).for_each(simulate)))
            .collect();
        for run in runs {
            if let Err(panic) = run.join() {
                resume_unwind(panic);
            }
        }
    });
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
