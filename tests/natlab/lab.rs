//! The network: a peer behind a router on each side, and the internet between them.
//!
//! ```text
//! client 192.168.1.2 ═ 192.168.1.1 router 203.0.113.1 ─┐
//!                                                      ├─ internet 203.0.113.100, 203.0.113.101
//! host   192.168.2.2 ═ 192.168.2.1 router 203.0.113.2 ─┘
//! ```
//!
//! The double lines are emulated links. Both addresses of the internet answer STUN, so that mapping behaviour can be
//! told. It routes to the inside of a router that does not map, and swallows what is sent to private addresses
//! otherwise.

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::common::system::{program, skipped};
use crate::link::Link;
use crate::namespace::Namespace;
use crate::nat::Nat;
use crate::stun;

/// Where the internet is reached.
pub(crate) const INTERNET: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 100), Ipv4Addr::new(203, 0, 113, 101)];

/// The STUN servers.
pub(crate) const STUN: [SocketAddrV4; 2] = [SocketAddrV4::new(INTERNET[0], 3478), SocketAddrV4::new(INTERNET[1], 3478)];

/// Programs without which there is no laboratory.
const PROGRAMS: [&str; 4] = ["ip", "nft", "conntrack", "cc"];

/// Two peers and the network between them. Only one exists at a time, so that one does not disturb the measurements of
/// another.
pub(crate) struct Lab {
    pub(crate) client: Site,
    pub(crate) host: Site,
    pub(crate) internet: Namespace,
    _stun: stun::Server,
    _alone: MutexGuard<'static, ()>,
}

impl Lab {
    /// Builds a laboratory with these kinds of routers, or says why this machine cannot.
    pub(crate) fn new(test: &str, client: Nat, host: Nat) -> Option<Lab> {
        static ALONE: Mutex<()> = Mutex::new(());
        if let Err(reason) = is_possible(test) {
            skipped(test, &reason);
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let internet = Namespace::new().unwrap();
        internet.ip("link add br0 type bridge");
        internet.ip("link set br0 up");
        for address in INTERNET {
            internet.ip(&format!("addr add {address}/24 dev br0"));
        }
        internet.set("net/ipv4/ip_forward", "1");
        // Between routers without NAT, this is the only way.
        internet.set("net/ipv4/conf/all/send_redirects", "0");
        internet.set("net/ipv4/conf/br0/send_redirects", "0");
        let sockets = internet.run(|| STUN.map(|address| UdpSocket::bind(address).unwrap()));
        let [client, host] = [(1, client), (2, host)].map(|(number, nat)| Site::new(number, nat, &internet));
        Some(Lab { client, host, internet, _stun: stun::Server::new(sockets), _alone: alone })
    }

    /// Replaces what the routers do, and forgets their mappings.
    pub(crate) fn set_nats(&mut self, client: Nat, host: Nat) {
        self.client.set_nat(client, &self.internet);
        self.host.set_nat(host, &self.internet);
    }
}

/// A peer's network, its router and the link between them.
pub(crate) struct Site {
    number: u8,
    pub(crate) inside: Namespace,
    router: Namespace,
    pub(crate) link: Link,
}

impl Site {
    fn new(number: u8, nat: Nat, internet: &Namespace) -> Site {
        let (inside, router) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        router.set("net/ipv4/ip_forward", "1");
        router.ip(&format!("link add wan type veth peer name wan{number} netns {}", internet.path()));
        internet.ip(&format!("link set wan{number} master br0"));
        internet.ip(&format!("link set wan{number} up"));
        router.ip("link set wan up");
        let link = Link::new([(&inside, "eth0"), (&router, "lan")]);
        router.ip(&format!("addr add {} dev lan", Self::private(number, 1)));
        router.ip("link set lan txqueuelen 5000 up");
        inside.ip("link set eth0 txqueuelen 5000 up");
        let mut site = Site { number, inside, router, link };
        site.move_inside(2);
        site.move_outside(number);
        site.set_nat(nat, internet);
        site
    }

    fn private(number: u8, last: u8) -> String {
        format!("192.168.{number}.{last}/24")
    }

    fn set_nat(&mut self, nat: Nat, internet: &Namespace) {
        let number = self.number;
        self.router.program("nft", "-f -", &nat.rules());
        self.forget_mappings();
        let network = Self::private(number, 0);
        match nat {
            Nat::None => internet.ip(&format!("route replace {network} via 203.0.113.{number}")),
            _ => internet.ip(&format!("route replace blackhole {network}")),
        }
    }

    /// Empties the router's connection table, like a restart.
    pub(crate) fn forget_mappings(&self) {
        self.router.program("conntrack", "-F", "");
    }

    /// Gives the router another address on the internet, `203.0.113.LAST`, and thereby new mappings.
    pub(crate) fn move_outside(&mut self, last: u8) {
        self.router.ip("addr flush dev wan");
        self.router.ip(&format!("addr add 203.0.113.{last}/24 dev wan"));
        self.router.ip(&format!("route replace default via {}", INTERNET[0]));
        self.forget_mappings();
    }

    /// Gives the peer another address in its network, `192.168.NUMBER.LAST`, in place of the one it has.
    pub(crate) fn move_inside(&mut self, last: u8) {
        self.inside.ip("addr flush dev eth0");
        self.inside.ip(&format!("addr add {} dev eth0", Self::private(self.number, last)));
        self.restore_route();
    }

    /// Takes the peer's interface down, which also takes its routes.
    pub(crate) fn interface_down(&self) {
        self.inside.ip("link set eth0 down");
    }

    /// Brings the peer's interface back.
    pub(crate) fn interface_up(&self) {
        self.inside.ip("link set eth0 up");
        self.restore_route();
    }

    fn restore_route(&self) {
        self.inside.ip(&format!("route replace default via 192.168.{}.1", self.number));
    }
}

/// Tells whether this process can build a laboratory, or why not.
fn is_possible(test: &str) -> Result<(), String> {
    static POSSIBLE: OnceLock<Result<(), String>> = OnceLock::new();
    POSSIBLE.get_or_init(|| find_out(test)).clone()
}

fn find_out(test: &str) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("network namespaces need root".to_owned());
    }
    for name in PROGRAMS {
        program(name, test)
            .ok_or_else(|| format!("no {name}; Debian: apt-get install iproute2 nftables conntrack gcc"))?;
    }
    OpenOptions::new().write(true).open("/dev/net/tun").map_err(|error| format!("/dev/net/tun: {error}"))?;
    let probe = Namespace::new().map_err(|error| format!("no namespace can be made: {error}"))?;
    let try_out = |name: &str, arguments: &str, input: &str| {
        probe.try_program(name, arguments, input).map_err(|error| format!("{name} {arguments}: {error}"))
    };
    for nat in Nat::ALL {
        try_out("nft", "-f -", &nat.rules())?;
    }
    try_out("conntrack", "-F", "")?;
    try_out("ip", "link add one type veth peer name other", "")?;
    try_out("ip", "link add br0 type bridge", "")?;
    try_out("ip", "tuntap add tun0 mode tun", "")
}
