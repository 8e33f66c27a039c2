//! The links between machines, and what is in transit.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Token;
use rand::RngExt;

use super::Found;
use super::network::{Kind, Machine, Network, Process};

/// Time from a machine to itself.
const LOOPBACK: Duration = Duration::from_micros(20);

/// Time until a look-up is answered.
const LOOK_UP: Duration = Duration::from_millis(5);

/// The link between two machines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Way {
    /// Time from one to the other.
    pub(crate) latency: Duration,
    /// Share of lossy traffic that is lost.
    pub(crate) loss: f64,
    /// Nothing passes. What cannot be lost waits, and is sent again later.
    pub(crate) is_cut: bool,
    /// Datagrams do not pass.
    pub(crate) blocks_datagrams: bool,
}

/// Something in transit.
pub(super) struct Packet {
    from: Machine,
    to: Machine,
    body: Body,
}

pub(super) enum Body {
    /// A part of a TCP connection: to a socket, from a socket.
    Segment {
        to: u64,
        from: u64,
        segment: Segment,
    },
    /// A connection request.
    Syn {
        from: u64,
        local: SocketAddr,
        remote: SocketAddr,
    },
    Datagram {
        from: u64,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    /// A datagram reached an address without a socket.
    Nobody {
        to: u64,
    },
    /// A connection was not made in time.
    Expired {
        socket: u64,
    },
    /// A look-up is answered.
    Answer {
        host: String,
        waker: (Process, Token),
        answer: Box<dyn FnOnce(Found) + Send>,
    },
}

pub(super) enum Segment {
    /// The connection is made, with this socket at the other end.
    Accepted,
    Refused,
    Data(Vec<u8>),
    End,
    Reset,
}

impl Body {
    /// Tells whether it is repeated until it arrives.
    fn is_repeated(&self) -> bool {
        matches!(self, Body::Segment { .. } | Body::Syn { .. })
    }
}

impl Way {
    pub(super) fn new(latency: Duration) -> Way {
        Way { latency, loss: 0.0, is_cut: false, blocks_datagrams: false }
    }
}

impl Network {
    /// Changes the link between two machines, in both directions. A link that is no longer cut delivers what waited for
    /// it.
    pub(crate) fn change_way(&mut self, between: (Machine, Machine), change: impl Fn(&mut Way)) {
        let (one, other) = between;
        self.change_ways(&[(one, other), (other, one)], change);
    }

    /// Changes the link between two machines in the direction from one to the other.
    pub(crate) fn change_one_way(&mut self, from: Machine, to: Machine, change: impl Fn(&mut Way)) {
        self.change_ways(&[(from, to)], change);
    }

    fn change_ways(&mut self, directions: &[(Machine, Machine)], change: impl Fn(&mut Way)) {
        for &(from, to) in directions {
            let mut way = self.way(from, to);
            change(&mut way);
            self.ways.insert((from, to), way);
        }
        self.resend();
    }

    /// Sends again what waited, after a pause as long as TCP may make after that time.
    pub(super) fn resend(&mut self) {
        let pause = Duration::from_millis(self.random.random_range(200..1500));
        for packet in std::mem::take(&mut self.held) {
            let at = self.now + pause + self.way(packet.from, packet.to).latency;
            self.delay(&packet, at);
            self.send_at(at, packet);
        }
    }

    /// Delays what follows on a connection behind a late packet.
    fn delay(&mut self, packet: &Packet, at: Instant) {
        if let Body::Segment { from, .. } = packet.body
            && let Some(Kind::Tcp(tcp)) = self.sockets.get_mut(&from).map(|socket| &mut socket.kind)
        {
            tcp.arrives_at = tcp.arrives_at.max(at);
        }
    }

    fn way(&self, from: Machine, to: Machine) -> Way {
        match self.ways.get(&(from, to)) {
            Some(way) => *way,
            None if from == to => Way::new(LOOPBACK),
            None => self.default_way,
        }
    }

    /// Returns when something happens next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.packets.keys().next().map(|(at, _)| *at)
    }

    /// Advances the time.
    pub(crate) fn advance(&mut self, to: Instant) {
        while let Some(entry) = self.packets.first_entry().filter(|entry| entry.key().0 <= to) {
            let ((at, _), packet) = entry.remove_entry();
            self.now = self.now.max(at);
            self.arrive(packet);
        }
        self.now = self.now.max(to);
    }

    fn arrive(&mut self, packet: Packet) {
        let way = self.way(packet.from, packet.to);
        if way.is_cut || !self.machines[packet.to.0].is_up {
            if packet.body.is_repeated() {
                self.held.push_back(packet);
            }
            return;
        }
        let Packet { from, to, body } = packet;
        match body {
            Body::Segment { to, from, segment } => self.take_segment(to, from, segment),
            Body::Syn { from, local, remote } => self.take_syn(to, from, local, remote),
            Body::Datagram { .. } if way.blocks_datagrams => {}
            Body::Datagram { from: sender, source, destination, bytes } => {
                if !self.take_datagram(to, source, destination, bytes) {
                    self.send(to, from, Body::Nobody { to: sender });
                }
            }
            Body::Nobody { to } => self.take_nobody(to),
            Body::Expired { socket } => self.expire(socket),
            Body::Answer { host, waker: (process, token), answer } => {
                match self.names.get(&host) {
                    Some(Some(addresses)) => answer(Ok(addresses.clone())),
                    Some(None) => return,
                    None => answer(Err("no such name".to_owned())),
                }
                self.wake(process, token);
            }
        }
    }

    /// Sends something from one machine to another.
    pub(super) fn send(&mut self, from: Machine, to: Machine, body: Body) {
        let way = self.way(from, to);
        if !body.is_repeated() && way.loss > 0.0 && self.random.random_bool(way.loss) {
            return;
        }
        let mut at = self.now + way.latency;
        if let Body::Segment { from, .. } = body
            && let Some(Kind::Tcp(tcp)) = self.sockets.get_mut(&from).map(|socket| &mut socket.kind)
        {
            at = at.max(tcp.arrives_at);
            tcp.arrives_at = at;
        }
        self.send_at(at, Packet { from, to, body });
    }

    /// Sends something that arrives after earlier things that take `earlier` to arrive.
    pub(super) fn send_after(&mut self, from: Machine, to: Machine, earlier: Duration, body: Body) {
        let at = self.now + earlier.max(self.way(from, to).latency);
        self.send_at(at, Packet { from, to, body });
    }

    /// Schedules something on a machine.
    pub(super) fn later(&mut self, machine: Machine, after: Duration, body: Body) {
        self.send_at(self.now + after, Packet { from: machine, to: machine, body });
    }

    fn send_at(&mut self, at: Instant, packet: Packet) {
        self.count += 1;
        self.packets.insert((at, self.count), packet);
    }

    pub(super) fn look_up(&mut self, waker: (Process, Token), host: &str, answer: Box<dyn FnOnce(Found) + Send>) {
        let machine = self.machine_of(waker.0);
        self.later(machine, LOOK_UP, Body::Answer { host: host.to_owned(), waker, answer });
    }
}
