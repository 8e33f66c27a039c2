//! This machine's addresses, and which of them to offer to a peer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use if_addrs::{IfOperStatus, Interface};

use super::system::{self, UdpSocket};

/// Maximum number of IPv4 addresses that are offered, beside loopback. Each becomes a candidate. If both sides offer
/// this many, they make the hundred pairs that ICE checks; it would drop some of more.
pub const MAX_IPV4: usize = 7;
/// Maximum number of IPv6 addresses that are offered, beside loopback.
pub const MAX_IPV6: usize = 5;

/// Prefixes of the names of interfaces that lead to containers and virtual machines on this machine, on any system.
const VIRTUAL_NAMES: [&str; 12] =
    ["docker", "br-", "veth", "virbr", "vboxnet", "vmnet", "vnet", "cni", "podman", "lxc", "lxd", "vEthernet"];

/// The addresses that are offered, and those beyond the limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offered {
    /// The most promising first, loopback last; beside loopback at most [`MAX_IPV4`] and [`MAX_IPV6`].
    pub addresses: Vec<IpAddr>,
    /// The addresses beyond the limits, each with the name of its interface.
    pub left_out: Vec<(IpAddr, String)>,
}

/// Lists addresses of interfaces that are up, in the system's order, each once.
///
/// Link-local (169.254.0.0/16, fe80::/10), multicast and unspecified addresses are left out. With `include_loopback`
/// the list ends with `127.0.0.1` and, where the machine has it, `::1`, whatever other loopback addresses exist.
///
/// # Errors
/// The system's, if interfaces cannot be listed.
pub fn usable_addresses(include_loopback: bool) -> io::Result<Vec<IpAddr>> {
    let (usable, loopback) = split(system::interfaces()?);
    let mut addresses: Vec<IpAddr> = usable.iter().map(Interface::ip).collect();
    addresses.extend(loopback.into_iter().filter(|_| include_loopback));
    Ok(addresses)
}

/// Returns the address by which machines of the same network most likely reach this one: an IPv4 address before IPv6,
/// and none that is loopback or link-local.
#[cfg(feature = "cli")]
pub fn network_address() -> Option<IpAddr> {
    preferred(&offered_addresses(None).ok()?.addresses)
}

#[cfg(feature = "cli")]
fn preferred(addresses: &[IpAddr]) -> Option<IpAddr> {
    let mut found = addresses.iter().filter(|address| !address.is_loopback());
    found.clone().find(|address| address.is_ipv4()).or_else(|| found.next()).copied()
}

/// Chooses among [`usable_addresses`], loopback included. First comes `signaling`, our end of the connection by which
/// the peer was found. Then come the interfaces of the default routes, other hardware, tunnels, and last the interfaces
/// that lead to containers.
///
/// # Errors
/// The system's, if interfaces cannot be listed.
pub fn offered_addresses(signaling: Option<IpAddr>) -> io::Result<Offered> {
    let (usable, loopback) = split(system::interfaces()?);
    let default = default_sources();
    let is_default = |name: &str| usable.iter().any(|found| found.name == name && default.contains(&found.ip()));
    let mut ranked: Vec<(Rank, &Interface)> = usable
        .iter()
        .map(|interface| {
            let rank = match interface.ip() {
                address if signaling == Some(address) => Rank::Signaling,
                address if default.contains(&address) => Rank::Default,
                _ if is_default(&interface.name) => Rank::BesideDefault,
                _ => rank_of(&interface.name),
            };
            (rank, interface)
        })
        .collect();
    // Equal ranks keep the system's order, but private IPv6 addresses come after public ones.
    ranked.sort_by_key(|(rank, interface)| (*rank, matches!(interface.ip(), IpAddr::V6(ip) if ip.is_unique_local())));
    let ranked = ranked.into_iter().map(|(_, interface)| (interface.ip(), interface.name.clone()));
    Ok(choose(ranked.collect(), &loopback))
}

/// Returns the address by which other machines most likely reach this one. IPv6 is only for those who have no IPv4.
pub fn reached_at(is_ipv6_heard: bool) -> Option<IpAddr> {
    nearest(&offered_addresses(None).ok()?.addresses, is_ipv6_heard)
}

fn nearest(ranked: &[IpAddr], is_ipv6_heard: bool) -> Option<IpAddr> {
    let mut far = ranked.iter().copied().filter(|address| !address.is_loopback());
    let ipv4 = far.clone().find(IpAddr::is_ipv4);
    ipv4.or_else(|| far.find(|_| is_ipv6_heard))
}

/// How likely an address leads to the peer; the first variant most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Its connection led to the peer's signaling.
    Signaling,
    /// Packets to the internet leave from it.
    Default,
    /// Another address of the same interface.
    BesideDefault,
    /// The interface has hardware.
    Hardware,
    /// Tunnels and unknown kinds.
    Other,
    /// Containers and virtual machines.
    Virtual,
}

/// Ranks an interface by its kind, as far as the system knows it: Linux does in `/sys`.
fn rank_of(name: &str) -> Rank {
    let folder = Path::new("/sys/class/net").join(name);
    if has_hardware(&folder, 3) {
        return Rank::Hardware;
    }
    let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let is_pair = number("ifindex").zip(number("iflink")).is_some_and(|(own, peer)| own != peer);
    let is_virtual =
        folder.join("bridge").exists() || is_pair || VIRTUAL_NAMES.iter().any(|start| name.starts_with(start));
    if is_virtual { Rank::Virtual } else { Rank::Other }
}

/// Tells whether an interface has a device, perhaps behind a bridge, a bond or a VLAN.
fn has_hardware(folder: &Path, depth: usize) -> bool {
    if folder.join("device").exists() {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut lower = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("lower_"));
    lower.any(|entry| has_hardware(&entry.path(), depth))
}

/// Returns the addresses from which datagrams to the internet leave, if there is a route.
fn default_sources() -> Vec<IpAddr> {
    // Nothing is sent to these addresses. They only must be outside of every local network: one of TEST-NET-3 (RFC
    // 5737) and one of 2000::/3.
    let world: [IpAddr; 2] = [[203, 0, 113, 1].into(), [0x2600, 0, 0, 0, 0, 0, 0, 1].into()];
    world.into_iter().filter_map(source_to).collect()
}

/// Takes the addresses within the limits from a ranked list.
fn choose(ranked: Vec<(IpAddr, String)>, loopback: &[IpAddr]) -> Offered {
    let (mut ipv4, mut ipv6) = (MAX_IPV4, MAX_IPV6);
    let mut offered = Offered::default();
    for (address, name) in ranked {
        let room = if address.is_ipv4() { &mut ipv4 } else { &mut ipv6 };
        if *room > 0 {
            *room -= 1;
            offered.addresses.push(address);
        } else {
            offered.left_out.push((address, name));
        }
    }
    offered.addresses.extend(loopback);
    offered
}

/// Tells whether packets to an address stay on this machine: an interface has it, or a route says so. Returns true if
/// the system does not know.
pub fn is_own_address(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return true;
    }
    let listed = system::interfaces().map(|found| found.iter().any(|interface| interface.ip() == address));
    // To reach itself, a machine uses the destination as the source address.
    match (listed, source_to(address)) {
        (Ok(true), _) => true,
        (Ok(false), source) => source == Some(address),
        (Err(_), source) => source.is_none_or(|source| source == address),
    }
}

/// Returns the source address of datagrams to an address. None is sent.
fn source_to(address: IpAddr) -> Option<IpAddr> {
    let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { IpAddr::from(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(address, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Returns the name of the interface with this address, if there is one.
pub fn interface_name(address: IpAddr) -> Option<String> {
    let interfaces = system::interfaces().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == address).map(|interface| interface.name)
}

/// On Unix `Up` stands for IFF_RUNNING, which tunnels have too, and `Unknown` for its absence: the link is down,
/// although it may keep its addresses. Windows reports states, and some that carry data are `Unknown`.
fn may_be_up(status: &IfOperStatus) -> bool {
    match status {
        IfOperStatus::Up => true,
        IfOperStatus::Unknown | IfOperStatus::Dormant => cfg!(windows),
        _ => false,
    }
}

/// Separates interfaces that are up and can be routed, each address once, from the machine's loopback addresses.
fn split(interfaces: Vec<Interface>) -> (Vec<Interface>, Vec<IpAddr>) {
    let mut usable: Vec<Interface> = Vec::new();
    let mut loopback = [None, None];
    for interface in interfaces.into_iter().filter(|interface| may_be_up(&interface.oper_status)) {
        let address = interface.ip();
        if address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            loopback[0] = Some(address);
        } else if address == IpAddr::V6(Ipv6Addr::LOCALHOST) {
            loopback[1] = Some(address);
        } else if is_routable(address) && !usable.iter().any(|known| known.ip() == address) {
            usable.push(interface);
        }
    }
    (usable, loopback.into_iter().flatten().collect())
}

fn is_routable(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.to_ipv4_mapped().is_some(),
    };
    !(link_local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;
    use if_addrs::{IfAddr, Ifv4Addr, Ifv6Addr};

    fn interface(text: &str) -> Interface {
        let addr = match text.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(Ifv4Addr { ip, netmask: Ipv4Addr::BROADCAST, prefixlen: 32, broadcast: None }),
            IpAddr::V6(ip) => {
                IfAddr::V6(Ifv6Addr { ip, netmask: Ipv6Addr::LOCALHOST, prefixlen: 128, broadcast: None })
            }
        };
        Interface { name: "if0".to_owned(), addr, index: None, oper_status: IfOperStatus::Up, is_p2p: false }
    }

    fn split_texts(addresses: &[&str]) -> (Vec<String>, Vec<String>) {
        let (usable, loopback) = split(addresses.iter().map(|text| interface(text)).collect());
        let usable = usable.iter().map(|interface| interface.ip().to_string()).collect();
        (usable, loopback.iter().map(IpAddr::to_string).collect())
    }

    fn named(addresses: impl Iterator<Item = IpAddr>) -> Vec<(IpAddr, String)> {
        addresses.map(|address| (address, "if0".to_owned())).collect()
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_address_for_the_network_is_ipv4_if_there_is_one_and_never_loopback() {
        let preferred = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            preferred(&addresses).map(|address| address.to_string())
        };
        assert_eq!(preferred(&["2001:db8::1", "10.77.0.1", "10.78.0.1", "127.0.0.1"]).as_deref(), Some("10.77.0.1"));
        assert_eq!(preferred(&["2001:db8::1", "127.0.0.1", "::1"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(preferred(&["127.0.0.1", "::1"]), None);
    }

    #[test]
    fn others_come_by_ipv4_before_ipv6_and_never_by_loopback() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let all = addresses(&["2001:db8::1", "10.77.0.1", "192.168.1.2", "127.0.0.1", "::1"]);
        assert_eq!(nearest(&all, true), Some(all[1]));
        let ipv6 = addresses(&["2001:db8::1", "127.0.0.1", "::1"]);
        assert_eq!((nearest(&ipv6, true), nearest(&ipv6, false)), (Some(ipv6[0]), None));
        assert_eq!(nearest(&addresses(&["127.0.0.1", "::1"]), true), None);
    }

    #[test]
    fn useless_and_repeated_addresses_are_left_out() {
        let all = ["127.0.0.1", "::1", "192.168.1.2", "2001:db8::7"];
        assert_eq!(
            split_texts(&all),
            (vec!["192.168.1.2".into(), "2001:db8::7".into()], vec!["127.0.0.1".into(), "::1".into()])
        );
        let all =
            ["169.254.3.4", "fe80::1", "10.0.0.1", "10.0.0.1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "127.0.0.9"];
        assert_eq!(split_texts(&all), (vec!["10.0.0.1".into()], vec![]));
    }

    #[test]
    fn each_family_has_room_and_the_first_are_kept() {
        let loopback = [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()];
        let ipv4 = (0..100).map(|n| IpAddr::from([10, 0, 0, n]));
        let ipv6 = |count: u16| (0..count).map(|n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]));
        let offered = choose(named(ipv4.clone().chain(ipv6(10))), &loopback);
        let expected: Vec<IpAddr> = ipv4.take(MAX_IPV4).chain(ipv6(5)).chain(loopback).collect();
        assert_eq!((offered.addresses, offered.left_out.len()), (expected, 98));
        let offered = choose(named(ipv6(4)), &[]);
        assert_eq!((offered.addresses.len(), offered.left_out), (4, vec![]));
        assert!((MAX_IPV4 + 1).pow(2) + (MAX_IPV6 + 1).pow(2) <= 100);
    }

    #[test]
    fn what_leads_to_containers_comes_last() {
        assert!(Rank::Signaling < Rank::Default && Rank::Other < Rank::Virtual);
        for name in ["docker0", "br-0123456789ab", "veth1", "virbr0"] {
            assert_eq!(rank_of(name), Rank::Virtual);
        }
        for name in ["eth-none", "wg9", "brilliant"] {
            assert_eq!(rank_of(name), Rank::Other);
        }
    }

    #[test]
    fn the_system_answers() {
        let without = usable_addresses(false).unwrap();
        assert!(without.iter().all(|address| !address.is_loopback()));
        let all = usable_addresses(true).unwrap();
        assert!(all.len() >= without.len());
        let Offered { addresses, left_out } = offered_addresses(None).unwrap();
        assert_eq!(addresses.len() + left_out.len(), all.len());
    }

    #[test]
    fn the_machine_knows_its_own_addresses() {
        for address in usable_addresses(true).unwrap() {
            assert!(is_own_address(address), "{address}");
        }
        assert!(is_own_address([127, 1, 2, 3].into()));
        // No machine has an address of TEST-NET-1 (RFC 5737).
        assert!(!is_own_address([192, 0, 2, 1].into()));
    }
}
