//! Machines, their processes, and their sockets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use mio::{Interest, Token};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::poll::Ready;
use super::tcp::{Listening, Tcp};
use super::traffic::{Packet, Way};
use super::udp::Datagrams;

/// First port that is given away.
const FIRST_PORT: u16 = 32_768;

/// EMFILE, which has the same number on every Unix.
const TOO_MANY_FILES: i32 = 24;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Machine(pub(crate) usize);

/// A process, on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub(crate) usize);

/// The network.
pub struct Network {
    pub(crate) now: Instant,
    /// The time of day at the start, and that start.
    pub(crate) day: (SystemTime, Instant),
    pub(super) machines: Vec<MachineEntry>,
    processes: Vec<ProcessEntry>,
    pub(super) sockets: BTreeMap<u64, Socket>,
    pub(super) ways: BTreeMap<(Machine, Machine), Way>,
    pub(super) default_way: Way,
    /// Packets in transit, by the time of arrival.
    pub(super) packets: BTreeMap<(Instant, u64), Packet>,
    /// Packets that wait for a link that is cut, in the order they were sent.
    pub(super) held: VecDeque<Packet>,
    pub(super) names: HashMap<String, Option<Vec<IpAddr>>>,
    /// Connection attempts: by whom, to which address, and when.
    pub(crate) attempts: Vec<(Machine, SocketAddr, Instant)>,
    pub(super) count: u64,
    next_port: u16,
    pub(super) random: StdRng,
}

pub(super) struct MachineEntry {
    addresses: Vec<IpAddr>,
    pub(super) is_up: bool,
}

struct ProcessEntry {
    machine: Machine,
    /// Sockets with news.
    ready: VecDeque<u64>,
    woken: Vec<Token>,
    sockets: usize,
    max_sockets: usize,
}

/// A socket.
pub(super) struct Socket {
    pub(super) process: Process,
    pub(super) kind: Kind,
    /// The process has a descriptor for it; it has none for a connection it has not accepted.
    has_descriptor: bool,
    registered: Option<(Token, Interest)>,
    has_news: bool,
}

pub(super) enum Kind {
    Listener(Listening),
    Tcp(Tcp),
    Udp(Datagrams),
}

impl Network {
    pub(crate) fn new(seed: u64) -> Network {
        let now = Instant::now();
        Network {
            now,
            // 2026-11-28 12:00 UTC.
            day: (SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_867_200), now),
            machines: Vec::new(),
            processes: Vec::new(),
            sockets: BTreeMap::new(),
            ways: BTreeMap::new(),
            default_way: Way::new(Duration::from_millis(10)),
            packets: BTreeMap::new(),
            held: VecDeque::new(),
            names: HashMap::new(),
            attempts: Vec::new(),
            count: 0,
            next_port: FIRST_PORT,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Returns the time of day, the same on all machines.
    pub(crate) fn time_of_day(&self) -> SystemTime {
        let (day, start) = self.day;
        day + self.now.saturating_duration_since(start)
    }

    /// Sets the clocks of all machines to a later time of day.
    pub(crate) fn advance_day(&mut self, by: Duration) {
        self.day.0 += by;
    }

    /// Adds a machine with these addresses, beside its loopback.
    pub(crate) fn add_machine(&mut self, addresses: &[IpAddr]) -> Machine {
        let mut addresses = addresses.to_vec();
        addresses.push(Ipv4Addr::LOCALHOST.into());
        self.machines.push(MachineEntry { addresses, is_up: true });
        Machine(self.machines.len() - 1)
    }

    pub(crate) fn add_process(&mut self, machine: Machine) -> Process {
        self.processes.push(ProcessEntry {
            machine,
            ready: VecDeque::new(),
            woken: Vec::new(),
            sockets: 0,
            max_sockets: usize::MAX,
        });
        Process(self.processes.len() - 1)
    }

    /// Limits the descriptors of a process.
    pub(crate) fn limit(&mut self, process: Process, max_sockets: usize) {
        self.processes[process.0].max_sockets = max_sockets;
    }

    /// Returns how many sockets a process has.
    pub(crate) fn sockets_of(&self, process: Process) -> usize {
        self.processes[process.0].sockets
    }

    /// Sets the addresses of a name; with `None`, a look-up never gets an answer.
    pub(crate) fn name(&mut self, host: &str, addresses: Option<Vec<IpAddr>>) {
        self.names.insert(host.to_owned(), addresses);
    }

    /// Switches a machine off: its sockets are gone, and nobody is told.
    pub(crate) fn power_off(&mut self, machine: Machine) {
        self.machines[machine.0].is_up = false;
        let processes: Vec<Process> = self.sockets.values().map(|socket| socket.process).collect();
        for (id, process) in self.sockets.keys().copied().collect::<Vec<_>>().into_iter().zip(processes) {
            if self.machine_of(process) == machine {
                self.forget(id);
            }
        }
    }

    /// Switches a machine on.
    pub(crate) fn power_on(&mut self, machine: Machine) {
        self.machines[machine.0].is_up = true;
        self.resend();
    }

    /// Gives a machine new addresses, beside its loopback.
    pub(crate) fn readdress(&mut self, machine: Machine, addresses: &[IpAddr]) {
        let entry = &mut self.machines[machine.0];
        entry.addresses = addresses.iter().copied().chain([Ipv4Addr::LOCALHOST.into()]).collect();
        self.resend();
    }

    pub(crate) fn machine_of(&self, process: Process) -> Machine {
        self.processes[process.0].machine
    }

    pub(super) fn addresses(&self, process: Process) -> Vec<IpAddr> {
        self.machines[self.machine_of(process).0].addresses.clone()
    }

    /// Returns the machine that has an address, as another machine sees it.
    pub(super) fn at(&self, address: IpAddr, from: Machine) -> Option<Machine> {
        if address.is_loopback() {
            return Some(from);
        }
        let found = self.machines.iter().position(|machine| machine.addresses.contains(&address));
        found.map(Machine)
    }

    /// Returns the source address of a process for a destination.
    pub(super) fn source(&self, process: Process, remote: IpAddr) -> io::Result<IpAddr> {
        let addresses = self.addresses(process);
        let suits =
            |address: &&IpAddr| address.is_ipv4() == remote.is_ipv4() && address.is_loopback() == remote.is_loopback();
        if addresses.contains(&remote) {
            return Ok(remote);
        }
        addresses.iter().find(suits).copied().ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
    }

    /// Binds a process to an address, if it may have it, and returns the address with its port.
    pub(super) fn port_at(&mut self, process: Process, address: SocketAddr) -> io::Result<SocketAddr> {
        let ip = address.ip();
        if !ip.is_unspecified() && !self.addresses(process).contains(&ip) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if ip == Ipv6Addr::UNSPECIFIED && !self.addresses(process).iter().any(IpAddr::is_ipv6) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        match address.port() {
            0 => Ok(SocketAddr::new(ip, self.free_port())),
            _ => Ok(address),
        }
    }

    /// Returns a port that is free on every machine, so that nothing reaches the wrong one by chance.
    pub(super) fn free_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == 60_999 { FIRST_PORT } else { port + 1 };
        port
    }

    pub(super) fn add_socket(&mut self, process: Process, kind: Kind) -> io::Result<u64> {
        let id = self.add_unaccepted(process, kind);
        self.give_descriptor(id).inspect_err(|_| drop(self.sockets.remove(&id)))?;
        Ok(id)
    }

    /// Adds a socket that its process does not know yet.
    pub(super) fn add_unaccepted(&mut self, process: Process, kind: Kind) -> u64 {
        self.count += 1;
        self.sockets
            .insert(self.count, Socket { process, kind, has_descriptor: false, registered: None, has_news: false });
        self.count
    }

    pub(super) fn give_descriptor(&mut self, id: u64) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Err(io::ErrorKind::ConnectionAborted.into()) };
        let entry = &mut self.processes[socket.process.0];
        if entry.sockets >= entry.max_sockets {
            return Err(io::Error::from_raw_os_error(TOO_MANY_FILES));
        }
        entry.sockets += 1;
        socket.has_descriptor = true;
        Ok(())
    }

    /// Removes a socket without telling anybody.
    pub(super) fn forget(&mut self, id: u64) -> Option<Socket> {
        let socket = self.sockets.remove(&id)?;
        self.processes[socket.process.0].sockets -= usize::from(socket.has_descriptor);
        Some(socket)
    }

    /// Handles a change of a socket that its process may wait for.
    pub(super) fn news(&mut self, id: u64) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if socket.registered.is_some() && !std::mem::replace(&mut socket.has_news, true) {
            self.processes[socket.process.0].ready.push_back(id);
        }
    }

    /// Registers a socket for events, or ends that. Present readiness is reported at once.
    pub(super) fn register(&mut self, id: u64, registered: Option<(Token, Interest)>) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.registered = registered;
            self.news(id);
        }
    }

    pub(super) fn wake(&mut self, process: Process, token: Token) {
        let woken = &mut self.processes[process.0].woken;
        if !woken.contains(&token) {
            woken.push(token);
        }
    }

    /// Tells whether there are events for a process.
    pub(crate) fn has_events(&self, process: Process) -> bool {
        let entry = &self.processes[process.0];
        !entry.woken.is_empty() || !entry.ready.is_empty()
    }

    pub(super) fn take_events(&mut self, process: Process) -> Vec<Ready> {
        let entry = &mut self.processes[process.0];
        let quiet = Ready {
            token: Token(0),
            readable: false,
            writable: false,
            error: false,
            read_closed: false,
            write_closed: false,
        };
        let woken = std::mem::take(&mut entry.woken).into_iter();
        let mut events: Vec<Ready> = woken.map(|token| Ready { token, readable: true, ..quiet }).collect();
        for id in std::mem::take(&mut entry.ready) {
            let Some(socket) = self.sockets.get_mut(&id) else { continue };
            socket.has_news = false;
            let Some((token, interests)) = socket.registered else { continue };
            let ready = match &socket.kind {
                Kind::Listener(listening) => Ready { readable: !listening.is_empty(), ..quiet },
                Kind::Tcp(tcp) => tcp.ready(quiet),
                Kind::Udp(datagrams) => datagrams.ready(quiet),
            };
            let readable = ready.readable && interests.is_readable();
            let writable = ready.writable && interests.is_writable();
            if readable || writable || ready.error || ready.read_closed && ready.write_closed {
                events.push(Ready { token, readable, writable, ..ready });
            }
        }
        events
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}
