//! The list in `NO_PROXY`.

use std::net::IpAddr;

use super::digits;

/// Tells whether a list such as `NO_PROXY` has an entry for a host: `*`, a name with everything below it, an address,
/// or a range of addresses. Names and addresses may have a port.
pub(super) fn has(list: &str, host: &str, port: u16) -> bool {
    list.split([',', ' ', '\t', '\n']).filter(|entry| !entry.is_empty()).any(|entry| fits(entry, host, port))
}

fn fits(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let address: Option<IpAddr> = host.parse().ok();
    if let (Some((network, bits)), Some(address)) = (entry.split_once('/'), address) {
        return is_within(address, network, bits);
    }
    let (entry, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    match (entry.parse::<IpAddr>(), address) {
        (Ok(entry), Some(address)) => entry == address,
        (Err(_), None) => is_below(host, entry),
        _ => false,
    }
}

/// Splits the port and brackets off an entry.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(digits));
    }
    match entry.split_once(':') {
        Some((name, port)) if digits(port).is_some() => (name, digits(port)),
        _ => (entry, None),
    }
}

/// Tells whether a name equals an entry or ends with it: `example.com`, `.example.com` and `*.example.com` are the
/// same.
fn is_below(name: &str, entry: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let entry = entry.strip_prefix('*').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let entry = entry.strip_suffix('.').unwrap_or(entry).to_ascii_lowercase();
    !entry.is_empty() && name.strip_suffix(&entry).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn is_within(address: IpAddr, network: &str, bits: &str) -> bool {
    let network = network.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(network);
    let (Ok(network), Some(bits)) = (network.parse::<IpAddr>(), digits(bits)) else { return false };
    let (difference, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return false,
    };
    // All bits after the first `bits` may differ.
    bits <= width && difference.checked_shr(u32::from(width - bits)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_understood() {
        // The list, a host on port 443, and whether it is excepted.
        let rows = [
            ("host.test", "host.test", true),
            ("HOST.Test", "host.test", true),
            ("host.test.", "host.test", true),
            ("host.test", "host.test.", true),
            (".host.test", "host.test", true),
            ("*.host.test", "a.host.test", true),
            ("host.test", "a.b.host.test", true),
            ("host.test", "otherhost.test", false),
            ("host.test", "host.test.evil", false),
            ("test", "host.test", true),
            (".", "host.test", false),
            ("other.test, host.test", "host.test", true),
            ("other.test host.test", "host.test", true),
            (",,other.test,", "host.test", false),
            ("*", "host.test", true),
            ("other.test,*", "10.0.0.1", true),
            ("host.test:443", "host.test", true),
            ("host.test:80", "host.test", false),
            ("host.test:http", "host.test", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1:443", "10.0.0.1", true),
            ("10.0.0.1:80", "10.0.0.1", false),
            ("0.0.1", "10.0.0.1", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.2", false),
            ("0.0.0.0/0", "10.1.2.3", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("10.0.0.0/8", "host.test", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:DB8:0::1", "2001:db8::1", true),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("[2001:db8::1]:443", "2001:db8::1", true),
            ("[2001:db8::1]:80", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:7::1", true),
            ("[2001:db8::]/32", "2001:db8:7::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
        ];
        for (list, host, expected) in rows {
            assert_eq!(has(list, host, 443), expected, "{list} {host}");
        }
    }
}
