//! This machine's addresses that are worth offering to a peer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::IfOperStatus;

/// The most addresses [`usable_addresses`] returns: every one becomes a candidate, and pairs grow with their product.
pub const MAX_ADDRESSES: usize = 16;

/// Lists addresses of interfaces that are up, in the system's order, each once, at most [`MAX_ADDRESSES`].
///
/// Link-local (169.254.0.0/16, fe80::/10), multicast and unspecified addresses are left out. With `include_loopback`
/// the list ends with `127.0.0.1` and, where the machine has it, `::1`, whatever other loopback addresses exist.
///
/// # Errors
/// The system's, if interfaces cannot be listed.
pub fn usable_addresses(include_loopback: bool) -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let addresses = interfaces.iter().filter(|interface| may_be_up(&interface.oper_status)).map(|i| i.ip());
    Ok(select(addresses, include_loopback))
}

/// Returns the name of the interface that has this address, if one has.
pub fn interface_name(address: IpAddr) -> Option<String> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    interfaces.into_iter().find(|interface| interface.ip() == address).map(|interface| interface.name)
}

/// On Unix `Up` stands for IFF_RUNNING, which tunnels have too, and `Unknown` for its absence: a link that is down, and
/// may keep its addresses. Windows tells states apart, and there some that carry data are `Unknown`.
fn may_be_up(status: &IfOperStatus) -> bool {
    match status {
        IfOperStatus::Up => true,
        IfOperStatus::Unknown | IfOperStatus::Dormant => cfg!(windows),
        _ => false,
    }
}

fn select(addresses: impl Iterator<Item = IpAddr>, include_loopback: bool) -> Vec<IpAddr> {
    let mut usable = Vec::new();
    let mut loopback = [None, None];
    for address in addresses {
        if address == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            loopback[0] = Some(address);
        } else if address == IpAddr::V6(Ipv6Addr::LOCALHOST) {
            loopback[1] = Some(address);
        } else if is_routable(address) && !usable.contains(&address) {
            usable.push(address);
        }
    }
    let loopback: Vec<IpAddr> = loopback.into_iter().flatten().filter(|_| include_loopback).collect();
    usable.truncate(MAX_ADDRESSES - loopback.len());
    usable.extend(loopback);
    usable
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

    fn list(addresses: &[&str], include_loopback: bool) -> Vec<String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        select(addresses, include_loopback).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn loopback_comes_last_or_not_at_all() {
        let all = ["127.0.0.1", "::1", "192.168.1.2", "2001:db8::7"];
        assert_eq!(list(&all, true), ["192.168.1.2", "2001:db8::7", "127.0.0.1", "::1"]);
        assert_eq!(list(&all, false), ["192.168.1.2", "2001:db8::7"]);
    }

    #[test]
    fn useless_and_repeated_addresses_are_left_out() {
        let all =
            ["169.254.3.4", "fe80::1", "10.0.0.1", "10.0.0.1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "127.0.0.9"];
        assert_eq!(list(&all, true), ["10.0.0.1"]);
    }

    #[test]
    fn the_list_is_bounded_and_keeps_loopback() {
        let many = (0..100).map(|n| IpAddr::from([10, 0, 0, n])).chain([IpAddr::from([127, 0, 0, 1])]);
        let selected = select(many, true);
        assert_eq!(selected.len(), MAX_ADDRESSES);
        assert_eq!(selected.last(), Some(&IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn the_system_answers() {
        let without = usable_addresses(false).unwrap();
        assert!(without.iter().all(|address| !address.is_loopback()));
        assert!(usable_addresses(true).unwrap().len() >= without.len());
    }
}
