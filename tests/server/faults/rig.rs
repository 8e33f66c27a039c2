//! Three servers, what is between them, and hosts that come to any of them.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::net::limits::raise_descriptor_limit;
use serde_json::Value;

use super::wire::{Held, Wire};
use super::world::{SERVERS, World};
use crate::common::ReservedPort;
use crate::common::pinhole::{Pinhole, text};
use crate::common::services::{read_head, serve};
use crate::directory::redis::Redis;
use crate::lab::Server;
use crate::members::{Balancer, SECRET, Secret};

/// Names of hosts are below it.
pub(super) const DOMAIN: &str = "p.test";

/// Time for what has no promise, such as a host that notices that its server is gone.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often the servers' events are read.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Rig {
    pub(super) world: Arc<World>,
    /// Hosts and clients come through it. It leads to servers that run, as one that looks after them does.
    pub(super) balancer: Balancer,
    servers: Vec<Server>,
    /// From one server to another. From a server to itself is what all others use where a directory names it.
    wires: BTreeMap<(usize, usize), Wire>,
    /// Where servers find each other, unless they know each other's addresses.
    pub(super) redis: Option<Redis>,
    pub(super) hosts: Vec<Host>,
    _peers: Vec<ReservedPort>,
    _secret: Secret,
}

/// A host with a service that says whose it is to visitors, and sends back what others send.
pub(super) struct Host {
    pub(super) id: String,
    pub(super) process: Pinhole,
    /// For clients, pin included.
    pub(super) url: String,
}

impl Rig {
    /// Starts the servers, and waits for the links of all.
    pub(super) fn start(name: &str, redis: Option<Redis>) -> Rig {
        raise_descriptor_limit().unwrap();
        let secret = Secret::of(name, SECRET);
        let peers: Vec<ReservedPort> = (0..SERVERS).map(|server| ReservedPort::at(address(server))).collect();
        let pairs = (0..SERVERS).flat_map(|from| (0..SERVERS).map(move |to| (from, to)));
        let wires: BTreeMap<(usize, usize), Wire> = pairs.map(|pair| (pair, Wire::to(peers[pair.1].address))).collect();
        let world = Arc::new(World::new());
        let mut servers = Vec::new();
        for (server, port) in peers.iter().enumerate() {
            let listen = port.address.to_string();
            let own = ["--open", "--gateway-domain", DOMAIN, "--cluster-secret-file", secret.path()];
            let own: &[&str] = &[&own[..], &["--peer-listen", &listen]].concat();
            let url = |from: usize, to: usize| format!("ws://{}", wires[&(from, to)].address);
            let others: Vec<String> = match &redis {
                Some(redis) => {
                    ["--directory", &redis.url(), "--advertise", &url(server, server)].map(String::from).into()
                }
                None => {
                    let others = (0..SERVERS).filter(|&other| other != server);
                    others.flat_map(|other| ["--peer".to_owned(), url(server, other)]).collect()
                }
            };
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            servers.push(Server::start_at(address(server), &[own, &others[..]].concat()));
        }
        let balancer = Balancer::over(servers.iter().map(Server::address).collect());
        let mut rig = Rig { world, balancer, servers, wires, redis, hosts: Vec::new(), _peers: peers, _secret: secret };
        (0..SERVERS).for_each(|server| rig.runs(server));
        rig.until("the links", |rig| (0..SERVERS).all(|server| rig.links(server) == SERVERS - 1));
        rig
    }

    /// Starts that many hosts, and waits until they are registered.
    pub(super) fn add_hosts(&mut self, count: usize) {
        for number in 0..count {
            let id = format!("host-{number}");
            let web = format!("web={}", service(id.clone()));
            let servers = self.ways(number);
            let servers: Vec<&str> = servers.iter().flat_map(|url| ["--server", url]).collect();
            let own = ["host", &web, "--public", "web", "--id", &id, "--json", "--no-stun"];
            let process = Pinhole::start("host", &[&own, &servers[..]].concat());
            self.hosts.push(Host { id, process, url: String::new() });
        }
        for host in &mut self.hosts {
            host.url = text(&host.process.event("registered"), "url");
        }
        self.until("the hosts", Rig::all_are_held);
    }

    /// Returns how one of many reaches the cluster: those of even numbers through the balancer, and the others because
    /// they know all servers, each another one first.
    pub(super) fn ways(&self, number: usize) -> Vec<String> {
        let mut addresses = self.addresses();
        addresses.rotate_left(number / 2 % SERVERS);
        let all = match number % 2 {
            0 => vec![self.balancer.address],
            _ => addresses.to_vec(),
        };
        all.into_iter().map(|address| format!("ws://{address}")).collect()
    }

    pub(super) fn address(&self, server: usize) -> SocketAddr {
        self.servers[server].address()
    }

    pub(super) fn addresses(&self) -> [SocketAddr; SERVERS] {
        std::array::from_fn(|server| self.address(server))
    }

    /// Tells whether each host is at a server that runs.
    pub(super) fn all_are_held(&self) -> bool {
        self.hosts.iter().all(|host| self.world.holder(&host.id).is_some())
    }

    /// Waits, and hears meanwhile what everybody says.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&Rig) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
            self.hear();
            thread::park_timeout(PAUSE);
        }
    }

    /// Lets that time pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let begun = Instant::now();
        self.until("time", |_| begun.elapsed() >= time);
    }

    fn hear(&mut self) {
        for (number, server) in self.servers.iter_mut().enumerate() {
            for event in server.process.take_events() {
                self.world.heard(number, &event);
            }
        }
        for host in &mut self.hosts {
            for event in host.process.take_events().iter().filter(|event| event["event"] == "error") {
                self.world.violated(&format!("{} was ended: {event}", host.id));
            }
        }
        self.world.look();
    }

    fn links(&self, server: usize) -> usize {
        let page = crate::in_process::get(self.address(server), "localhost", "/metrics");
        let links = page.lines().find_map(|line| line.strip_prefix("pinhole_cluster_links "));
        links.unwrap().parse().unwrap()
    }

    fn lead_to_running(&self) {
        let running = self.world.running();
        self.balancer.lead_to(running.into_iter().map(|server| self.address(server)).collect());
    }

    fn ends(&mut self, server: usize, signal: Signal) {
        self.world.server(server, false);
        self.lead_to_running();
        self.servers[server].process.signal(signal);
        let ended = self.servers[server].process.end();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        self.world.emptied(server);
    }

    pub(super) fn kill(&mut self, server: usize) {
        self.ends(server, Signal::SIGKILL);
    }

    /// Ends a server in order.
    pub(super) fn drain(&mut self, server: usize) {
        self.ends(server, Signal::SIGTERM);
    }

    pub(super) fn start_again(&mut self, server: usize) {
        self.servers[server].start_again();
        self.runs(server);
    }

    pub(super) fn freeze(&mut self, server: usize) {
        self.world.server(server, false);
        self.lead_to_running();
        self.servers[server].process.signal(Signal::SIGSTOP);
    }

    pub(super) fn thaw(&mut self, server: usize) {
        self.servers[server].process.signal(Signal::SIGCONT);
        self.runs(server);
    }

    fn runs(&mut self, server: usize) {
        self.world.server(server, true);
        self.lead_to_running();
    }

    /// Returns what is between two servers: what the first uses, and what the second uses.
    fn between(&self, one: usize, other: usize) -> [&Wire; 2] {
        match self.redis {
            Some(_) => [&self.wires[&(other, other)], &self.wires[&(one, one)]],
            None => [&self.wires[&(one, other)], &self.wires[&(other, one)]],
        }
    }

    /// Says whether nothing is done to what is between two servers. With a directory, the third uses it, too.
    fn link(&self, one: usize, other: usize, is_whole: bool) {
        let third = (0..SERVERS).find(|&server| server != one && server != other).filter(|_| self.redis.is_some());
        self.world.link(one, other, is_whole);
        for server in third.into_iter().flat_map(|third| [(third, one), (third, other)]) {
            self.world.link(server.0, server.1, is_whole);
        }
    }

    /// Lets nothing pass from one server to another any more, or from both to each other.
    pub(super) fn part(&self, one: usize, other: usize, both: bool) {
        self.link(one, other, false);
        let [there, back] = self.between(one, other);
        there.hold(Held { there: true, back: both });
        back.hold(Held { there: both, back: true });
    }

    pub(super) fn join(&self, one: usize, other: usize) {
        self.between(one, other).into_iter().for_each(|wire| wire.hold(Held::default()));
        self.link(one, other, true);
    }

    /// Ends the connections between two servers.
    pub(super) fn cut(&self, one: usize, other: usize) {
        self.link(one, other, false);
        self.between(one, other).into_iter().for_each(Wire::cut);
        self.link(one, other, true);
    }
}

/// 127.0.0.1 and those behind it.
fn address(server: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(server + 1).unwrap())
}

/// Answers visitors with its name, and sends back what anybody else sends.
fn service(id: String) -> SocketAddr {
    serve(move |mut stream| {
        let mut first = [0; 4];
        stream.read_exact(&mut first)?;
        if &first == b"GET " {
            read_head(&mut stream)?;
            return write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{id}", id.len());
        }
        stream.write_all(&first)?;
        crate::common::services::echo_once(stream)
    })
}

/// What a visitor got.
pub(super) enum Visit {
    Served,
    /// There is no such host, says the server.
    Unknown,
    /// Something else, in words.
    Otherwise(String),
}

/// Asks a server for a host's page.
pub(super) fn visit(server: SocketAddr, id: &str, patience: Duration) -> Visit {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&server, patience)?;
        stream.set_read_timeout(Some(patience))?;
        write!(stream, "GET / HTTP/1.1\r\nHost: {id}.{DOMAIN}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let _ = stream.shutdown(Shutdown::Both);
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") && answer.ends_with(id) => Visit::Served,
        Ok(answer) if answer.starts_with("HTTP/1.1 404") => Visit::Unknown,
        Ok(answer) => Visit::Otherwise(answer.lines().next().unwrap_or_default().to_owned()),
        Err(error) => Visit::Otherwise(error.to_string()),
    }
}

/// The code of an error that a server sent.
pub(super) fn code(text: &str) -> Option<String> {
    let value: Value = serde_json::from_str(text).ok()?;
    (value["type"] == "error").then(|| value["code"].as_str().unwrap_or_default().to_owned())
}
