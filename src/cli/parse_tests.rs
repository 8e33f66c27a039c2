use std::net::IpAddr;

use super::*;
use proptest::prelude::*;

#[test]
fn targets_are_understood() {
    let cases = [
        ("25565", "localhost:25565"),
        (" 80 ", "localhost:80"),
        ("1", "localhost:1"),
        ("65535", "localhost:65535"),
        ("127.0.0.1:25565", "127.0.0.1:25565"),
        ("[::1]:25565", "[::1]:25565"),
        ("[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"),
        ("db.local:5432", "db.local:5432"),
        ("localhost:22", "localhost:22"),
        ("my_host-1:22", "my_host-1:22"),
        ("example.com.:80", "example.com.:80"),
        ("xn--bcher-kva.example:80", "xn--bcher-kva.example:80"),
    ];
    for (given, expected) in cases {
        let target = target(given).unwrap_or_else(|error| panic!("{given}: {error}"));
        assert_eq!(target.to_string(), expected);
    }
}

#[test]
fn wrong_targets_are_explained() {
    let long = format!("{}:80", "a.".repeat(127) + "a");
    let cases = [
        ("", AddressError::Empty),
        ("  ", AddressError::Empty),
        ("0", AddressError::PortZero),
        ("db.local:0", AddressError::PortZero),
        ("65536", AddressError::Port),
        ("99999999999999999999999", AddressError::Port),
        ("db.local:", AddressError::Port),
        ("db.local:+80", AddressError::Port),
        ("db.local:http", AddressError::Port),
        ("localhost:80/path", AddressError::Port),
        ("[::1]:", AddressError::Port),
        ("ssh", AddressError::NoPort),
        ("+80", AddressError::NoPort),
        ("-1", AddressError::NoPort),
        ("127.0.0.1", AddressError::NoPort),
        ("[::1]", AddressError::NoPort),
        ("[::1]80", AddressError::NoPort),
        ("٣", AddressError::NoPort),
        (":80", AddressError::NoHost),
        ("::1", AddressError::Brackets),
        ("::1:25565", AddressError::Brackets),
        ("fe80::1%eth0:80", AddressError::Brackets),
        ("a:b:80", AddressError::Brackets),
        ("[::1:80", AddressError::Ipv6),
        ("[127.0.0.1]:80", AddressError::Ipv6),
        ("[fe80::1%eth0]:80", AddressError::Ipv6),
        ("http://localhost:80", AddressError::Url),
        ("127.0.0.256:80", AddressError::Name),
        ("127.1:80", AddressError::Name),
        ("a b:80", AddressError::Name),
        ("a..b:80", AddressError::Name),
        ("-a:80", AddressError::Name),
        ("*:80", AddressError::Name),
        ("user@host:22", AddressError::Name),
        (long.as_str(), AddressError::Name),
        ("bücher.example:80", AddressError::NotAscii),
    ];
    for (given, expected) in cases {
        assert_eq!(target(given).unwrap_err().problem, Problem::Address(expected), "{given}");
    }
}

#[test]
fn local_addresses_are_understood() {
    let cases = [
        ("25565", "127.0.0.1:25565"),
        ("0", "127.0.0.1:0"),
        ("0.0.0.0:25565", "0.0.0.0:25565"),
        ("[::1]:80", "[::1]:80"),
        ("[::]:0", "[::]:0"),
        ("localhost:80", "127.0.0.1:80"),
        ("LOCALHOST:80", "127.0.0.1:80"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ];
    for (given, expected) in cases {
        let is_bare = given.to_ascii_lowercase().starts_with("localhost") || !given.contains(':');
        let both = expected.replace("127.0.0.1", if is_bare { "localhost" } else { "127.0.0.1" });
        assert_eq!(local(given).map(|address| address.to_string()), Ok(both));
        assert_eq!(host_listen(given).map(|address| address.to_string()), Ok(expected.to_string()));
    }
    for (given, expected) in [(":5000", "[::]:5000"), (" :0", "[::]:0")] {
        assert_eq!(host_listen(given).map(|address| address.to_string()), Ok(expected.to_string()));
    }
}

#[test]
fn wrong_local_addresses_are_explained() {
    let cases = [
        ("", AddressError::Empty.into()),
        ("65536", AddressError::Port.into()),
        ("localhost", AddressError::NoPort.into()),
        ("web", AddressError::NoPort.into()),
        ("example.com:80", Problem::ForeignName),
        ("localhost.:80", Problem::ForeignName),
        ("::1:80", AddressError::Brackets.into()),
        ("*:80", AddressError::Name.into()),
        ("tcp://0.0.0.0:80", AddressError::Url.into()),
    ];
    for (given, expected) in cases {
        assert_eq!(local(given).unwrap_err().problem, expected, "{given}");
        assert_eq!(host_listen(given).unwrap_err().problem, expected, "{given}");
    }
    assert_eq!(local(":80").unwrap_err().problem, AddressError::NoHost.into());
    for (given, expected) in [(":", AddressError::Port), (":x", AddressError::Port), ("::", AddressError::Brackets)] {
        assert_eq!(host_listen(given).unwrap_err().problem, expected.into(), "{given}");
    }
}

#[test]
fn errors_say_what_why_and_what_to_do() {
    assert_eq!(
        target("::1:80").unwrap_err().to_string(),
        "an IPv6 address needs brackets, as in [::1]:25565; \
         give a port or host:port, for example 25565, db.local:5432 or [::1]:8080"
    );
    assert_eq!(
        local("web:80").unwrap_err().to_string(),
        "only addresses of this machine can be listened on, and localhost is the only name that is certainly one; \
         give a port or an address of this machine, for example 25565, 0.0.0.0:25565, or 0 for any free port"
    );
    let error = target(&"\x1b[2J\n".repeat(1000)).unwrap_err().of("TARGET").to_string();
    assert!(error.starts_with("TARGET '"), "{error}");
    assert!(error.len() < 1000 && !error.contains(char::is_control), "{error}");
}

#[test]
fn wrong_headers_are_explained_without_their_value() {
    for given in ["Authorization: secret\n", "Authorization secret", "Expect: secret"] {
        let error = header(given).unwrap_err().of("--header").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn session_limits_are_checked() {
    for (given, expected) in [("1", Some(1)), ("16", Some(16)), ("1024", Some(1024))] {
        assert_eq!(max_sessions(given).ok(), expected);
    }
    for given in ["0", "1025", "-1", "+1", "", "many", "1.5", "99999999999999999999999"] {
        assert!(max_sessions(given).is_err(), "{given}");
    }
}

#[test]
fn times_and_stun_servers_are_checked() {
    assert_eq!(seconds::<120>("60"), Ok(Duration::from_secs(60)));
    for given in ["0", "121", "-1", "", "1.5", "1s"] {
        assert!(seconds::<120>(given).is_err(), "{given}");
    }
    for given in ["stun.example.org:3478", "192.0.2.1:3478", "[2001:db8::1]:3478"] {
        assert_eq!(stun_server(given).map(|server| server.to_string()), Ok(given.to_owned()));
    }
    for (given, expected) in [
        ("stun:a.test:19302", "a.test:19302"),
        ("stun:a.test", "a.test:3478"),
        ("STUN:a.test?transport=udp", "a.test:3478"),
        ("stun:a.test:1?transport=UDP", "a.test:1"),
        ("stun://a.test:1", "a.test:1"),
        ("stun:192.0.2.1", "192.0.2.1:3478"),
        ("stun:[2001:db8::1]", "[2001:db8::1]:3478"),
        ("stun:[2001:db8::1]:5", "[2001:db8::1]:5"),
    ] {
        assert_eq!(stun_server(given).map(|server| server.to_string()), Ok(expected.to_owned()), "{given}");
    }
    for given in [
        "",
        "3478",
        "stun.example.org",
        "a:0",
        "http://a:1",
        "stun:",
        "stun:3478",
        "stun:a:0",
        "stun:a b",
        "stun:2001:db8::1",
    ] {
        assert!(stun_server(given).is_err(), "{given}");
    }
    for (given, expected) in [
        ("stuns:a.test:5349", Problem::SecureStun),
        ("turn:a.test", Problem::Turn),
        ("TURNS:a.test?transport=tcp", Problem::Turn),
        ("stun:a.test?transport=tcp", Problem::StunTransport),
    ] {
        assert_eq!(stun_server(given).unwrap_err().problem, expected, "{given}");
    }
}

#[test]
fn an_empty_pin_is_refused() {
    assert_eq!(pin("1+1").unwrap().reveal(), "1+1");
    assert!(pin("").unwrap_err().of("--pin").to_string().starts_with("--pin '': a pin has"));
}

#[test]
fn what_is_allowed_is_explained_with_the_flag() {
    let error = rule("10.0.0.1/8:80").unwrap_err().of("--allow").to_string();
    assert!(
        error.starts_with("--allow '10.0.0.1/8:80': that network begins at 10.0.0.0/8; give HOST:PORTS"),
        "{error}"
    );
    let error = reverse_rule("web").unwrap_err().of("--allow-reverse").to_string();
    assert!(error.starts_with("--allow-reverse 'web': the port is not a number"), "{error}");
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = (target(&text), local(&text), host_listen(&text), header(&text), max_sessions(&text));
        let _ = (rule(&text), reverse_rule(&text), host_url(&text), server_url(&text), login(&text), domain(&text));
    }

    #[test]
    fn nearly_right_text_does_not_panic(text in r"[\[\]:0-9a-f.%+ /é-]{0,24}") {
        if let Ok(target) = target(&text) {
            prop_assert_eq!(super::target(&target.to_string()), Ok(target));
        }
        if let Ok(local) = local(&text) {
            prop_assert_eq!(super::local(&local.to_string()), Ok(local));
        }
    }

    #[test]
    fn addresses_come_back(address in any::<IpAddr>(), port in any::<u16>()) {
        let address = SocketAddr::new(address, port);
        prop_assert_eq!(local(&address.to_string()), Ok(ListenAddress::One(address)));
        if port != 0 {
            let target = target(&address.to_string());
            prop_assert_eq!(target.map(|target| target.to_string()), Ok(address.to_string()));
        }
    }

    #[test]
    fn names_come_back(name in "[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9-]{0,20}){0,5}", port in 1u16..) {
        let target = Target { host: name, port };
        prop_assert_eq!(super::target(&target.to_string()), Ok(target));
    }
}
