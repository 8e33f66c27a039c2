//! Hosts, clients and servers in a network in memory. Tests turn their loops by hand in virtual time: nothing sleeps,
//! and a timeout of a minute takes a moment. `net/world` replaces sockets, readiness and the clock.

#[cfg(feature = "server")]
mod cluster;
mod counting;
mod endings;
mod failover;
mod forwarding;
mod guessing;
mod inviting;
mod meeting;
#[cfg(feature = "cli")]
mod pinging;
mod programs;
mod reloading;
mod sides;
mod simulation;
mod timeouts;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(super) use self::programs::{Ended, Visitor};
use self::programs::{Program, Script};
use self::sides::Running;
pub(super) use self::sides::{SERVER_PORT, client_of, host_of, id, registration};
use super::{Client, Host, RunError, Server};
#[cfg(feature = "cli")]
use super::{Ping, PingPlan};
use crate::config::{ClientConfig, HostConfig, ServerConfig};
use crate::net::system::UdpSocket;
use crate::net::world::{Here, Machine, Network, Process, Way};
use crate::status::event::Event;

/// Longest wait of a test for something, in virtual time.
const PATIENCE: Duration = Duration::from_secs(900);

/// Maximum number of turns at one moment; a loop with more never comes to rest.
const MAX_TURNS: u32 = 20_000;

/// A host, a client or a server of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Side(usize);

/// Machines, the processes on them, and the time.
pub(super) struct World {
    network: Arc<Mutex<Network>>,
    start: Instant,
    sides: Vec<Running>,
    programs: Vec<Program>,
    /// UDP ports of programs that do not use them.
    held: Vec<UdpSocket>,
}

impl World {
    pub(super) fn new() -> World {
        World::seeded(0)
    }

    /// Creates a world with randomness from a seed.
    pub(super) fn seeded(seed: u64) -> World {
        let network = Network::new(seed);
        let start = network.now;
        World {
            network: Arc::new(Mutex::new(network)),
            start,
            sides: Vec::new(),
            programs: Vec::new(),
            held: Vec::new(),
        }
    }

    pub(super) fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a machine with these addresses, beside 127.0.0.1.
    pub(super) fn machine(&mut self, addresses: &[&str]) -> Machine {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.network().add_machine(&addresses)
    }

    fn process(&mut self, machine: Machine) -> Here {
        let process = self.network().add_process(machine);
        Here::new(&self.network, process)
    }

    pub(super) fn host(&mut self, machine: Machine, config: HostConfig) -> Side {
        self.start(machine, |reporter| Ok(sides::Kind::Host(Box::new(Host::bind(config, reporter)?)))).unwrap()
    }

    pub(super) fn client(&mut self, machine: Machine, config: ClientConfig) -> Side {
        self.start(machine, |reporter| Ok(sides::Kind::Client(Box::new(Client::bind(config, reporter)?)))).unwrap()
    }

    /// Starts a `pinhole ping`.
    #[cfg(feature = "cli")]
    pub(super) fn ping(&mut self, machine: Machine, config: ClientConfig, plan: PingPlan) -> Side {
        self.start(machine, |reporter| {
            Ok(sides::Kind::Client(Box::new(Ping::new(config, plan, reporter)?.into_client())))
        })
        .unwrap()
    }

    pub(super) fn server(&mut self, machine: Machine, config: ServerConfig) -> Side {
        self.start(machine, |reporter| Ok(sides::Kind::Server(Box::new(Server::bind(config, reporter)?)))).unwrap()
    }

    fn start(
        &mut self,
        machine: Machine,
        bind: impl FnOnce(super::Reporter) -> Result<sides::Kind, RunError>,
    ) -> Result<Side, RunError> {
        let here = self.process(machine);
        self.sides.push(Running::start(here, bind)?);
        Ok(Side(self.sides.len() - 1))
    }

    /// Changes a host before it starts.
    pub(super) fn with_host<T>(&mut self, side: Side, change: impl FnOnce(&mut Host) -> T) -> T {
        let running = &mut self.sides[side.0];
        let here = running.here.clone();
        let Some(sides::Kind::Host(host)) = &mut running.kind else { panic!("it is not a host") };
        here.enter(|| change(host))
    }

    /// Has a host go by other settings.
    pub(super) fn reload_host(&mut self, side: Side, config: HostConfig) {
        let running = &mut self.sides[side.0];
        let here = running.here.clone();
        if let Some(sides::Kind::Host(host)) = &mut running.kind {
            here.enter(|| host.reload(Ok(config.into())));
        }
    }

    /// Has a client go by other settings.
    pub(super) fn reload_client(&mut self, side: Side, config: ClientConfig) {
        let running = &mut self.sides[side.0];
        let here = running.here.clone();
        if let Some(sides::Kind::Client(client)) = &mut running.kind {
            here.enter(|| client.reload(Ok(config.into())));
        }
    }

    /// Tells a host that there are no other settings.
    pub(super) fn fail_reload(&mut self, side: Side, reason: &str) {
        self.with_host(side, |host| host.reload(Err(reason.to_owned())));
    }

    /// Ends a process as SIGKILL does: the system closes its sockets.
    pub(super) fn kill(&mut self, side: Side) {
        self.sides[side.0].kill();
    }

    /// Asks a process to end, as Ctrl-C does.
    pub(super) fn stop(&mut self, side: Side) {
        self.sides[side.0].stop();
    }

    /// Stops a process, or lets it go on.
    pub(super) fn stall(&mut self, side: Side, is_stalled: bool) {
        self.sides[side.0].is_stalled = is_stalled;
    }

    /// Switches a machine off: others hear nothing more from it.
    pub(super) fn power_off(&mut self, machine: Machine) {
        self.network().power_off(machine);
        for index in 0..self.sides.len() {
            if self.sides[index].here.machine() == machine {
                self.sides[index].kill();
            }
        }
    }

    pub(super) fn power_on(&mut self, machine: Machine) {
        self.network().power_on(machine);
    }

    pub(super) fn change_way(&mut self, one: Machine, other: Machine, change: impl Fn(&mut Way)) {
        self.network().change_way((one, other), change);
    }

    /// Cuts the link between two machines, or restores it.
    pub(super) fn cut(&mut self, one: Machine, other: Machine, is_cut: bool) {
        self.change_way(one, other, |way| way.is_cut = is_cut);
    }

    /// Cuts what goes from one machine to another, or restores it; the other direction stays as it is.
    pub(super) fn cut_one_way(&mut self, from: Machine, to: Machine, is_cut: bool) {
        self.network().change_one_way(from, to, |way| way.is_cut = is_cut);
    }

    /// Gives a machine another address.
    pub(super) fn readdress(&mut self, machine: Machine, address: &str) {
        self.network().readdress(machine, &[address.parse().unwrap()]);
    }

    fn process_of(&self, side: Side) -> Process {
        self.sides[side.0].here.process
    }

    /// Limits how many descriptors a process may have beside its present ones.
    pub(super) fn limit(&mut self, side: Side, further: usize) {
        let process = self.process_of(side);
        let own = self.network().sockets_of(process);
        self.network().limit(process, own.saturating_add(further));
    }

    /// Returns how many sockets a process has.
    pub(super) fn sockets(&self, side: Side) -> usize {
        self.network().sockets_of(self.process_of(side))
    }

    /// Returns when a machine tried to connect to an address, from `since` on.
    pub(super) fn attempts(&self, machine: Machine, address: &str, since: Duration) -> Vec<Duration> {
        let address: SocketAddr = address.parse().unwrap();
        let network = self.network();
        let own = network.attempts.iter().filter(|(from, to, _)| (*from, *to) == (machine, address));
        own.map(|(_, _, at)| *at - self.start).filter(|at| *at >= since).collect()
    }

    pub(super) fn events(&self, side: Side) -> Vec<Event> {
        self.sides[side.0].events()
    }

    /// Tells whether a side reported an event.
    pub(super) fn said(&self, side: Side, fits: impl Fn(&Event) -> bool) -> bool {
        self.times_said(side, fits) > 0
    }

    pub(super) fn times_said(&self, side: Side, fits: impl Fn(&Event) -> bool) -> usize {
        self.events(side).iter().filter(|event| fits(event)).count()
    }

    /// Returns how a run ended, if it has.
    pub(super) fn end(&self, side: Side) -> Option<&Result<(), RunError>> {
        self.sides[side.0].end.as_ref()
    }

    /// Tells whether a side has a session.
    pub(super) fn has_sessions(&self, side: Side) -> bool {
        self.sides[side.0].kind.as_ref().is_some_and(|kind| !kind.core_ref().sessions.is_empty())
    }

    /// Starts a service that returns what it receives.
    pub(super) fn echo(&mut self, machine: Machine, address: &str) {
        self.script(machine, address, Script::Echo);
    }

    /// Starts a service that accepts connections and sends nothing.
    pub(super) fn silent(&mut self, machine: Machine, address: &str) {
        self.script(machine, address, Script::Silent);
    }

    fn script(&mut self, machine: Machine, address: &str, script: Script) {
        let here = self.process(machine);
        self.programs.push(Program::service(here, address.parse().unwrap(), script));
    }

    /// Makes a program bind a UDP port.
    pub(super) fn hold(&mut self, machine: Machine, address: &str) {
        let here = self.process(machine);
        self.held.push(here.enter(|| UdpSocket::bind(address.parse().unwrap())).unwrap());
    }

    /// Makes a program connect to an address.
    pub(super) fn visit(&mut self, machine: Machine, address: &str) -> Visitor {
        let here = self.process(machine);
        let address: SocketAddr = address.parse().unwrap();
        self.programs.push(Program::visitor(here, address));
        Visitor(self.programs.len() - 1)
    }

    pub(super) fn say(&mut self, visitor: Visitor, bytes: &[u8]) {
        self.programs[visitor.0].say(bytes);
    }

    /// Makes a program end its direction after its data.
    pub(super) fn finish(&mut self, visitor: Visitor) {
        self.programs[visitor.0].finish();
    }

    pub(super) fn leave(&mut self, visitor: Visitor) {
        self.programs[visitor.0].leave();
    }

    pub(super) fn heard(&self, visitor: Visitor) -> &[u8] {
        self.programs[visitor.0].heard()
    }

    pub(super) fn ended(&self, visitor: Visitor) -> Option<Ended> {
        self.programs[visitor.0].ended()
    }

    /// Returns how much time has passed.
    pub(super) fn time(&self) -> Duration {
        self.network().now - self.start
    }

    /// Advances the time until `is_so` holds. Returns how long that took.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&World) -> bool) -> Duration {
        let begin = self.time();
        assert!(self.within(PATIENCE, is_so), "{what}: not after {:?}\n{}", self.time() - begin, self.report());
        self.time() - begin
    }

    /// Advances the time until `is_so` holds, but not beyond `limit`. Returns whether it holds.
    #[track_caller]
    pub(super) fn within(&mut self, limit: Duration, is_so: impl Fn(&World) -> bool) -> bool {
        let end = self.network().now + limit;
        loop {
            self.settle();
            if is_so(self) {
                return true;
            }
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.network().advance(next),
                None => {
                    self.network().advance(end);
                    return false;
                }
            }
        }
    }

    /// Advances the time.
    #[track_caller]
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.network().now + time;
        loop {
            self.settle();
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.network().advance(next),
                None => break,
            }
        }
        self.network().advance(end);
        self.settle();
    }

    /// Returns when something happens next.
    fn next(&self) -> Option<Instant> {
        let sides = self.sides.iter().filter_map(Running::due_at);
        let next = sides.chain(self.network().next()).min()?;
        Some(next.max(self.network().now))
    }

    /// Turns every loop that has something to do now.
    #[track_caller]
    fn settle(&mut self) {
        let mut turns = 0;
        loop {
            let mut has_moved = false;
            for program in &mut self.programs {
                has_moved |= program.turn();
            }
            for running in &mut self.sides {
                has_moved |= running.turn_if_wanted();
            }
            if !has_moved {
                return;
            }
            turns += 1;
            assert!(turns < MAX_TURNS, "a loop does not come to rest\n{}", self.report());
        }
    }

    /// Returns the reports of all sides.
    pub(super) fn report(&self) -> String {
        let mut text = format!("after {:?}\n", self.time());
        for (index, running) in self.sides.iter().enumerate() {
            text += &format!("-- side {index}: {:?}\n", running.end);
            running.told().iter().for_each(|(at, event)| text += &format!("{:?} {event:?}\n", *at - self.start));
        }
        self.programs.iter().for_each(|program| text += &format!("{program:?}\n"));
        text
    }
}
