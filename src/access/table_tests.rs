//! The access list as a table: the rules, what the other side asks for, what the name resolves to, and the verdict.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const ALLOWED: bool = true;
const DENIED: bool = false;

/// The rules, separated by spaces; what is asked for; the address of a name, or nothing for an address or a path.
type Row = (&'static str, &'static str, &'static str, bool);

const CLOSED: &[Row] = &[
    ("", "10.0.0.1:80", "", DENIED),
    ("", "127.0.0.1:80", "", DENIED),
    ("", "localhost:80", "127.0.0.1", DENIED),
    ("", "db.local:80", "10.0.0.1", DENIED),
    ("", "[::1]:80", "", DENIED),
    ("", "udp:10.0.0.53:53", "", DENIED),
    ("", "unix:/run/app.sock", "", DENIED),
    ("unix:/run/app.sock", "10.0.0.1:80", "", DENIED),
    ("10.0.0.1:80", "unix:/run/app.sock", "", DENIED),
];

const NETWORKS: &[Row] = &[
    ("10.0.0.0/8:80,443", "10.0.0.1:80", "", ALLOWED),
    ("10.0.0.0/8:80,443", "10.255.255.255:443", "", ALLOWED),
    ("10.0.0.0/8:80,443", "10.0.0.1:22", "", DENIED),
    ("10.0.0.0/8:80,443", "11.0.0.1:80", "", DENIED),
    ("10.0.0.0/8:80,443", "9.255.255.255:80", "", DENIED),
    ("10.0.0.0/8:80,443", "10.0.0.1:0", "", DENIED),
    ("10.0.0.0/8:80,443", "udp:10.0.0.1:80", "", DENIED),
    ("10.0.0.0/8:80,443", "127.0.0.1:80", "", DENIED),
    ("10.0.0.0/8:80", "db.local:80", "10.1.1.1", ALLOWED),
    ("10.0.0.0/8:80", "db.local:80", "192.168.1.1", DENIED),
    ("10.0.0.0/8:80", "db.local:81", "10.1.1.1", DENIED),
    ("192.168.1.128/25:22", "192.168.1.127:22", "", DENIED),
    ("192.168.1.128/25:22", "192.168.1.128:22", "", ALLOWED),
    ("10.1.2.3:*", "10.1.2.3:1", "", ALLOWED),
    ("10.1.2.3:*", "10.1.2.3:65535", "", ALLOWED),
    ("10.1.2.3:*", "10.1.2.3:0", "", DENIED),
    ("10.1.2.3:*", "10.1.2.4:1", "", DENIED),
    ("10.0.0.1:8000-8010", "10.0.0.1:8000", "", ALLOWED),
    ("10.0.0.1:8000-8010", "10.0.0.1:8010", "", ALLOWED),
    ("10.0.0.1:8000-8010", "10.0.0.1:7999", "", DENIED),
    ("10.0.0.1:8000-8010", "10.0.0.1:8011", "", DENIED),
    ("10.0.0.1:1,10-20,30", "10.0.0.1:30", "", ALLOWED),
    ("10.0.0.1:80 10.0.0.2:80", "10.0.0.2:80", "", ALLOWED),
    ("udp:10.0.0.53:53", "udp:10.0.0.53:53", "", ALLOWED),
    ("udp:10.0.0.53:53", "10.0.0.53:53", "", DENIED),
    ("0.0.0.0/0:443", "198.51.100.1:443", "", ALLOWED),
    ("0.0.0.0/0:443", "127.0.0.1:443", "", ALLOWED),
    ("0.0.0.0/0:443", "[2001:db8::1]:443", "", DENIED),
    ("0.0.0.0/0:443", "[::1]:443", "", DENIED),
    ("127.0.0.1:80", "127.0.0.1:80", "", ALLOWED),
    ("127.0.0.1:80", "127.0.0.2:80", "", DENIED),
    ("127.0.0.1:80", "localhost:80", "127.0.0.1", ALLOWED),
    ("127.0.0.1:80", "localhost:80", "::1", DENIED),
    ("127.0.0.1:80", "0.0.0.0:80", "", DENIED),
    ("169.254.169.254:80", "metadata.test:80", "169.254.169.254", ALLOWED),
];

const IPV6: &[Row] = &[
    ("[2001:db8::/32]:22", "[2001:db8::1]:22", "", ALLOWED),
    ("[2001:db8::/32]:22", "[2001:0db8:FFFF:0::1]:22", "", ALLOWED),
    ("[2001:db8::/32]:22", "[2001:db9::1]:22", "", DENIED),
    ("[2001:db8::/32]:22", "[2001:db8::1]:23", "", DENIED),
    ("[2001:db8::/32]:22", "[::1]:22", "", DENIED),
    ("[::1]:80", "[::1]:80", "", ALLOWED),
    ("[::1]:80", "[0:0:0:0:0:0:0:1]:80", "", ALLOWED),
    ("[::1]:80", "127.0.0.1:80", "", DENIED),
    ("[::/0]:80", "[2001:db8::1]:80", "", ALLOWED),
    ("[::/0]:80", "[::1]:80", "", ALLOWED),
    ("[::/0]:80", "10.0.0.1:80", "", DENIED),
    // IPv4-mapped addresses are IPv4, in the rule and in the request.
    ("[::/0]:80", "[::ffff:10.0.0.1]:80", "", DENIED),
    ("[::/0]:80", "[::ffff:127.0.0.1]:80", "", DENIED),
    ("10.0.0.0/8:80", "[::ffff:10.0.0.1]:80", "", ALLOWED),
    ("10.0.0.0/8:80", "[::ffff:0a00:0001]:80", "", ALLOWED),
    ("[::ffff:10.0.0.0/104]:80", "10.0.0.1:80", "", ALLOWED),
    ("10.0.0.0/8:80", "[::ffff:127.0.0.1]:80", "", DENIED),
    ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", "", ALLOWED),
    // An address that a gateway extracts has to be permitted as well, if it is special.
    ("[::/0]:80", "[64:ff9b::10.0.0.1]:80", "", ALLOWED),
    ("[::/0]:80", "[64:ff9b::127.0.0.1]:80", "", DENIED),
    ("[64:ff9b::/96]:80", "[64:ff9b::169.254.169.254]:80", "", DENIED),
    ("[64:ff9b::/96]:80 127.0.0.1:80", "[64:ff9b::127.0.0.1]:80", "", ALLOWED),
    ("127.0.0.1:80", "[64:ff9b::127.0.0.1]:80", "", DENIED),
    ("[::/0]:80", "[2002:7f00:1::1]:80", "", DENIED),
    ("[::/0]:80", "[2001:0:4136:e378:8000:63bf:80ff:fffe]:80", "", DENIED),
    ("[::/0]:80", "[::127.0.0.1]:80", "", DENIED),
];

const NAMES: &[Row] = &[
    ("db.local:5432", "db.local:5432", "10.0.0.1", ALLOWED),
    ("db.local:5432", "db.local:5432", "2001:db8::1", ALLOWED),
    ("db.local:5432", "DB.Local:5432", "10.0.0.1", ALLOWED),
    ("db.local:5432", "db.local.:5432", "10.0.0.1", ALLOWED),
    ("db.local.:5432", "db.local:5432", "10.0.0.1", ALLOWED),
    ("db.local:5432", "db.local:5433", "10.0.0.1", DENIED),
    ("db.local:5432", "udp:db.local:5432", "10.0.0.1", DENIED),
    ("udp:ns.local:53", "udp:ns.local:53", "10.0.0.1", ALLOWED),
    ("db.local:5432", "db.local.evil.test:5432", "10.0.0.1", DENIED),
    ("db.local:5432", "xdb.local:5432", "10.0.0.1", DENIED),
    ("db.local:5432", "a.db.local:5432", "10.0.0.1", DENIED),
    // A rule for a name says nothing about its address.
    ("db.local:5432", "10.0.0.1:5432", "", DENIED),
    ("*.internal:8000-8999", "a.internal:8080", "10.0.0.1", ALLOWED),
    ("*.internal:8000-8999", "A.B.Internal.:8999", "10.0.0.1", ALLOWED),
    ("*.internal:8000-8999", "internal:8080", "10.0.0.1", DENIED),
    ("*.internal:8000-8999", "xinternal:8080", "10.0.0.1", DENIED),
    ("*.internal:8000-8999", "a.internal.test:8080", "10.0.0.1", DENIED),
    ("*.internal:8000-8999", ".internal:8080", "10.0.0.1", DENIED),
    ("*.internal:8000-8999", "a.internal:9000", "10.0.0.1", DENIED),
    ("*.internal:8000-8999", "10.0.0.1:8080", "", DENIED),
    ("xn--bcher-kva.test:80", "XN--BCHER-KVA.test:80", "10.0.0.1", ALLOWED),
    ("xn--bcher-kva.test:80", "bücher.test:80", "10.0.0.1", DENIED),
    ("localhost:80", "127.0.0.1:80", "", DENIED),
    ("localhost:80", "localhost:80", "127.0.0.1", DENIED),
    ("localhost:80 127.0.0.1:80", "localhost:80", "127.0.0.1", ALLOWED),
    ("localhost:80", "localhost.:80", "::1", DENIED),
];

const REBINDING: &[Row] = &[
    ("db.local:80", "db.local:80", "127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "127.8.8.8", DENIED),
    ("db.local:80", "db.local:80", "0.0.0.0", DENIED),
    ("db.local:80", "db.local:80", "0.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "169.254.169.254", DENIED),
    ("db.local:80", "db.local:80", "224.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "255.255.255.255", DENIED),
    ("db.local:80", "db.local:80", "::", DENIED),
    ("db.local:80", "db.local:80", "::1", DENIED),
    ("db.local:80", "db.local:80", "fe80::1", DENIED),
    ("db.local:80", "db.local:80", "ff02::1", DENIED),
    ("db.local:80", "db.local:80", "::ffff:127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "::ffff:10.0.0.1", ALLOWED),
    ("db.local:80", "db.local:80", "::127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "::ffff:0:127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "64:ff9b::127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "64:ff9b::169.254.169.254", DENIED),
    ("db.local:80", "db.local:80", "64:ff9b:1::127.0.0.1", DENIED),
    ("db.local:80", "db.local:80", "64:ff9b::10.0.0.1", ALLOWED),
    ("db.local:80", "db.local:80", "2002:7f00:1::1", DENIED),
    ("db.local:80", "db.local:80", "2002:a00:1::1", ALLOWED),
    ("db.local:80", "db.local:80", "2001:0:7f00:1::", DENIED),
    ("db.local:80", "db.local:80", "2001:0:4136:e378:8000:63bf:80ff:fffe", DENIED),
    ("*.internal:80", "a.internal:80", "127.0.0.1", DENIED),
    ("db.local:80 127.0.0.1:80", "db.local:80", "127.0.0.1", ALLOWED),
    ("db.local:80 127.0.0.1:81", "db.local:80", "127.0.0.1", DENIED),
    ("db.local:80 udp:127.0.0.1:80", "db.local:80", "127.0.0.1", DENIED),
    ("db.local:80 127.0.0.0/8:80", "db.local:80", "::1", DENIED),
    ("db.local:80 [::1]:80", "db.local:80", "::1", ALLOWED),
];

const SPELLINGS: &[Row] = &[
    ("0.0.0.0/0:80", "127.1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "0x7f.1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "0x7f000001:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "2130706433:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "017700000001:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "127.0.0.01:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "127.0.0.1.:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "127.0.0.0x1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "１２７.0.0.1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "127。0。0。1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", " 127.0.0.1:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "127.0.0.1%lo:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "a b:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", "a\0.test:80", "127.0.0.1", DENIED),
    ("0.0.0.0/0:80", ":80", "127.0.0.1", DENIED),
    ("[::/0]:80", "[fe80::1%1]:80", "fe80::1", DENIED),
    ("[::/0]:80", "[[::1]]:80", "::1", DENIED),
    ("0.0.0.0/0:80", "[127.0.0.1]:80", "", ALLOWED),
    // A resolver that returns another address for a literal is not believed.
    ("0.0.0.0/0:80", "10.0.0.1:80", "10.0.0.2", DENIED),
];

const PATHS: &[Row] = &[
    ("unix:/run/app.sock", "unix:/run/app.sock", "", ALLOWED),
    ("unix:/run/app.sock", "unix://run//app.sock", "", ALLOWED),
    ("unix:/run/app.sock", "unix:/run/./app.sock", "", ALLOWED),
    ("unix:/run/app.sock", "unix:/run/app.sock/", "", ALLOWED),
    ("unix:/run//./app.sock", "unix:/run/app.sock", "", ALLOWED),
    ("unix:/run/app.sock", "unix:/run/x/../app.sock", "", DENIED),
    ("unix:/run/app.sock", "unix:/../run/app.sock", "", DENIED),
    ("unix:/run/app.sock", "unix:run/app.sock", "", DENIED),
    ("unix:/run/app.sock", "unix:./run/app.sock", "", DENIED),
    ("unix:/run/app.sock", "unix:/run/App.sock", "", DENIED),
    ("unix:/run/app.sock", "unix:/run/app.sock2", "", DENIED),
    ("unix:/run/app.sock", "unix:/run/app.sock\0", "", DENIED),
    ("unix:/run/app.sock", "unix:/run", "", DENIED),
    ("unix:/run/app.sock", "unix:/", "", DENIED),
    ("unix:/run/app.sock", "unix:", "", DENIED),
    ("unix:/run/app", "unix:/run/app/app.sock", "", DENIED),
    ("unix:/a unix:/b", "unix:/b", "", ALLOWED),
];

/// Addresses of this machine's interfaces, as the rows of [`OWN`] assume.
fn is_own(address: IpAddr) -> bool {
    [IpAddr::from([192, 168, 7, 7]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77])].contains(&address)
}

const OWN: &[Row] = &[
    ("db.local:80", "db.local:80", "192.168.7.7", DENIED),
    ("db.local:80", "db.local:80", "192.168.7.8", ALLOWED),
    ("db.local:80", "db.local:80", "2001:db8::77", DENIED),
    ("*.local:80", "db.local:80", "::ffff:192.168.7.7", DENIED),
    ("udp:db.local:80", "udp:db.local:80", "192.168.7.7", DENIED),
    // As a gateway or relay extracts it: NAT64, 6to4, IPv4-compatible, IPv4-translated.
    ("db.local:80", "db.local:80", "64:ff9b::192.168.7.7", DENIED),
    ("db.local:80", "db.local:80", "2002:c0a8:707::1", DENIED),
    ("db.local:80", "db.local:80", "::192.168.7.7", DENIED),
    ("db.local:80", "db.local:80", "::ffff:0:192.168.7.7", DENIED),
    // A rule for the address, or for its network, permits it.
    ("192.168.7.7:80", "192.168.7.7:80", "", ALLOWED),
    ("192.168.7.7:80", "db.local:80", "192.168.7.7", ALLOWED),
    ("192.168.0.0/16:80", "db.local:80", "192.168.7.7", ALLOWED),
    ("db.local:80 192.168.7.7:81", "db.local:80", "192.168.7.7", DENIED),
];

/// Asks as the loop does: about the name, then about the address.
fn is_dialled(list: &AccessList, asked: &str, resolved: &str) -> bool {
    if let Some(path) = asked.strip_prefix("unix:") {
        return list.check_unix(Path::new(path)).is_ok();
    }
    let (protocol, asked) = match asked.strip_prefix("udp:") {
        Some(rest) => (Protocol::Udp, rest),
        None => (Protocol::Tcp, asked),
    };
    let (host, port) = asked.rsplit_once(':').unwrap();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().unwrap();
    let address = match resolved {
        "" => host,
        address => address,
    };
    let by_address = list.check_address(protocol, host, address.parse().unwrap(), port, is_own).is_ok();
    match list.check_name(protocol, host, port) {
        Verdict::Resolve => by_address,
        Verdict::Denied(_) => {
            assert!(!by_address, "{asked} is denied by name and permitted by address");
            false
        }
    }
}

#[test]
fn the_table_holds() {
    let tables = [CLOSED, NETWORKS, IPV6, NAMES, REBINDING, SPELLINGS, PATHS, OWN];
    for (rules, asked, resolved, expected) in tables.iter().copied().flatten() {
        let list = AccessList::parse(rules.split_whitespace()).unwrap_or_else(|error| panic!("{rules}: {error}"));
        assert_eq!(is_dialled(&list, asked, resolved), *expected, "--allow {rules:?}: {asked:?} {resolved}");
    }
    assert!(tables.iter().map(|table| table.len()).sum::<usize>() >= 150, "rows went missing");
}

#[test]
fn denials_say_why() {
    let list = AccessList::parse(["db.local:80"]).unwrap();
    let check =
        |host: &str, address: &str| list.check_address(Protocol::Tcp, host, address.parse().unwrap(), 80, |_| false);
    assert_eq!(check("db.local", "10.0.0.1"), Ok(()));
    assert_eq!(check("db2.local", "10.0.0.1"), Err(Denied::NoRule));
    assert_eq!(check("0x7f.1", "127.0.0.1"), Err(Denied::Host));
    assert_eq!(
        check("db.local", "64:ff9b::7f00:1").unwrap_err().to_string(),
        "the name leads to 64:ff9b::7f00:1, an address of this machine itself: only a rule for the address itself allows that"
    );
    assert_eq!(list.check_name(Protocol::Tcp, "db.local", 80), Verdict::Resolve);
    assert_eq!(list.check_name(Protocol::Tcp, "db2.local", 80), Verdict::Denied(Denied::NoRule));
    assert_eq!(list.check_name(Protocol::Tcp, "127.1", 80), Verdict::Denied(Denied::Host));
    assert_eq!(list.check_unix(Path::new("a")), Err(Denied::Path));
}

#[test]
fn the_path_that_was_checked_is_the_one_to_dial() {
    let list = AccessList::parse(["unix:/run/app.sock"]).unwrap();
    assert_eq!(list.check_unix(Path::new("//run/./app.sock/")), Ok(PathBuf::from("/run/app.sock")));
}

/// IPv4 addresses that no name may lead to.
fn special_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop_oneof![Just(0u8), Just(127), 224..=239u8];
    let usual = (first, any::<[u8; 3]>()).prop_map(|(first, [b, c, d])| Ipv4Addr::new(first, b, c, d));
    let link = any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(169, 254, c, d));
    prop_oneof![4 => usual, 2 => link, 1 => Just(Ipv4Addr::BROADCAST)]
}

/// Every way to write an IPv4 address for dialling.
fn forms(address: Ipv4Addr) -> Vec<IpAddr> {
    let bits = u128::from(u32::from(address));
    let v6 = |bits: u128| IpAddr::from(Ipv6Addr::from(bits));
    vec![
        address.into(),
        v6(0xffff << 32 | bits),
        v6(bits),
        v6(0xffff << 48 | bits),
        v6(0x64_ff9b << 96 | bits),
        v6(0x64_ff9b_0001 << 80 | bits),
        v6(0x2002 << 112 | bits << 80),
        v6(0x2001 << 112 | bits << 64),
        v6(0x2001 << 112 | 0x0a00_0001 << 64 | (bits ^ 0xffff_ffff)),
    ]
}

proptest! {
    #[test]
    fn no_name_leads_to_a_special_address(address in special_ipv4(), port in 1u16..) {
        let list = AccessList::parse(["a.test:*", "*.test:*", "10.0.0.0/8:*", "[2001:db8::/32]:*"]).unwrap();
        for form in forms(address) {
            prop_assert!(list.check_address(Protocol::Tcp, "a.test", form, port, |_| false).is_err(), "{}", form);
            prop_assert!(list.check_address(Protocol::Tcp, &form.to_string(), form, port, |_| false).is_err(), "{}", form);
        }
    }

    #[test]
    fn without_rules_nothing_is_permitted(host in ".{0,20}", address in any::<IpAddr>(), port in any::<u16>()) {
        let list = AccessList::default();
        for host in [host, address.to_string()] {
            prop_assert!(list.check_address(Protocol::Tcp, &host, address, port, |_| false).is_err());
            prop_assert!(matches!(list.check_name(Protocol::Tcp, &host, port), Verdict::Denied(_)));
        }
    }

    #[test]
    fn what_is_permitted_by_address_is_not_denied_by_name(
        host in r"([a-c.]{1,4}|[0-9.]{1,9}|[0-9a-f:]{1,9})", address in any::<IpAddr>(), port in any::<u16>(),
    ) {
        let list = AccessList::parse(["a:*", "*.b:1-40000", "0.0.0.0/1:*", "[8000::/1]:*"]).unwrap();
        if list.check_address(Protocol::Tcp, &host, address, port, |_| false).is_ok() {
            prop_assert_eq!(list.check_name(Protocol::Tcp, &host, port), Verdict::Resolve);
        }
    }

    #[test]
    fn a_permitted_path_is_its_own_normal_form(path in r"[/.a]{0,12}") {
        let list = AccessList::parse(["unix:/a", "unix:/a/a", "unix:/.a", "unix:/..a"]).unwrap();
        if let Ok(normal) = list.check_unix(Path::new(&path)) {
            prop_assert_eq!(list.check_unix(&normal), Ok(normal.clone()));
            prop_assert!(!path.split('/').any(|part| part == ".."));
        }
    }
}
