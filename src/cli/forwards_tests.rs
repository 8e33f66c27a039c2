use super::*;
use proptest::prelude::*;

fn address(error: AddressError) -> Problem {
    Problem::Address(error)
}

/// What is wrong with a value that does not get along with others.
fn wrong(error: UsageError) -> WrongValue {
    match error {
        UsageError::Value { wrong, .. } => wrong,
        other => panic!("{other}"),
    }
}

fn services<T: AsRef<str>>(texts: &[T]) -> Result<Vec<SharedService>, WrongValue> {
    let given: Result<_, _> = texts.iter().map(|text| service(text.as_ref())).collect();
    given.and_then(|given| super::services(given).map_err(wrong))
}

fn locals(texts: &[&str]) -> Result<Vec<LocalForward>, WrongValue> {
    let given: Result<_, _> = texts.iter().map(|text| local(text)).collect();
    given.and_then(|given| super::locals(given).map_err(wrong))
}

fn apply_proxy_protocol(texts: &[&str], services: &mut [SharedService]) -> Result<(), WrongValue> {
    let given: Result<_, _> = texts.iter().map(|text| proxy_protocol(text)).collect();
    given.and_then(|given| super::apply_proxy_protocol(given, services).map_err(wrong))
}

/// One text for each pair: where is listened and what is dialled.
fn dialled(text: &str) -> Result<Vec<String>, WrongValue> {
    let show = |forward| match forward {
        LocalForward::Dial { bind, endpoint } => format!("{bind} {endpoint}"),
        other => panic!("{other:?}"),
    };
    dial(text).map(|forwards| forwards.into_iter().map(show).collect())
}

#[test]
fn services_are_understood() {
    let cases: [(&[&str], &[&str]); 20] = [
        (&["8080"], &["8080=localhost:8080"]),
        (&["web=8080"], &["web=localhost:8080"]),
        (&["127.0.0.1:8080"], &["8080=127.0.0.1:8080"]),
        (&["[::1]:80"], &["80=[::1]:80"]),
        (&["db.local:5432"], &["5432=db.local:5432"]),
        (&["udp:127.0.0.1:53"], &["53=udp:127.0.0.1:53"]),
        (&["udp:53"], &["53=udp:localhost:53"]),
        (&["dns=udp:[::1]:53"], &["dns=udp:[::1]:53"]),
        (&["tcp:8080"], &["8080=localhost:8080"]),
        (&["unix:/run/x.sock"], &["x.sock=unix:/run/x.sock"]),
        (&["unix:/run/postgresql/.s.PGSQL.5432"], &[".s.pgsql.5432=unix:/run/postgresql/.s.PGSQL.5432"]),
        (&["unix:x.sock"], &["x.sock=unix:x.sock"]),
        (&["a=unix:/run/x=y z"], &["a=unix:/run/x=y z"]),
        (&["8000-8002"], &["8000=localhost:8000", "8001=localhost:8001", "8002=localhost:8002"]),
        (&["udp:db.local:1-2"], &["1=udp:db.local:1", "2=udp:db.local:2"]),
        (&["53", "dns=udp:53"], &["53=localhost:53", "dns=udp:localhost:53"]),
        (&["53", "udp:53"], &["53=localhost:53", "53-udp=udp:localhost:53"]),
        (&["udp:53", "53"], &["53-udp=udp:localhost:53", "53=localhost:53"]),
        (&["udp:1.1.1.1:53", "52-53"], &["53-udp=udp:1.1.1.1:53", "52=localhost:52", "53=localhost:53"]),
        (&[" a-b_c.9=80-80 "], &["a-b_c.9=localhost:80"]),
    ];
    for (given, expected) in cases {
        let found = services(given).unwrap_or_else(|error| panic!("{given:?}: {error}"));
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{given:?}");
        // What is shown of a service is a way to type it.
        assert_eq!(services(expected), Ok(found));
    }
    assert_eq!(services::<&str>(&[]), Ok(Vec::new()));
}

#[test]
fn wrong_services_are_explained() {
    let cases: [(&[&str], Problem); 30] = [
        (&[""], address(AddressError::Empty)),
        (&["web="], address(AddressError::Empty)),
        (&["udp:"], address(AddressError::Empty)),
        (&["0"], address(AddressError::PortZero)),
        (&["0-10"], address(AddressError::PortZero)),
        (&["65536"], address(AddressError::Port)),
        (&["ssh"], address(AddressError::NoPort)),
        (&["web=ssh"], address(AddressError::NoPort)),
        (&["8010-8000"], address(AddressError::RangeOrder)),
        (&["::1:80"], address(AddressError::Brackets)),
        (&["127.1:80"], address(AddressError::Name)),
        (&["tcp:tcp:80"], address(AddressError::Brackets)),
        (&["tcp:unix:80"], address(AddressError::Brackets)),
        (&["http://localhost:80"], address(AddressError::Url)),
        (&["web=8000-8010"], Problem::NamedRange),
        (&["1-257"], Problem::LongRange(256)),
        (&["=80"], Problem::ServiceName),
        (&["Web=80"], Problem::ServiceName),
        (&["my web=80"], Problem::ServiceName),
        (&["-web=80"], Problem::ServiceName),
        (&["a=b=80"], address(AddressError::NoPort)),
        (&["unix:"], address(AddressError::NoPath)),
        (&["unix:@x"], address(AddressError::AbstractPath)),
        (&["unix:/"], Problem::NoDefaultName),
        (&["unix:/run/my app"], Problem::NoDefaultName),
        (&["53", "127.0.0.1:53"], Problem::SameName("53".into())),
        (&["53", "udp:53", "udp:53"], Problem::SameName("53-udp".into())),
        (&["53=80", "udp:53"], Problem::SameName("53".into())),
        (&["web=1", "80", "web=2"], Problem::SameName("web".into())),
        (&["1-200", "1001-1057"], Problem::ManyServices(256)),
    ];
    for (given, expected) in cases {
        assert_eq!(services(given).unwrap_err().problem, expected, "{given:?}");
    }
    assert_eq!(
        services(&["web=80", "web=81"]).unwrap_err().of("TARGET").to_string(),
        "TARGET 'web=81': there are two services of the name web; give [NAME=]TARGET, for example 8080, \
         web=127.0.0.1:8080, 8000-8010, dns=udp:53 or db=unix:/run/db.sock"
    );
}

#[test]
fn places_of_services_are_understood() {
    let at = |text: &str| ServiceBind::Address(text.parse().unwrap());
    let udp = |text: &str| ServiceBind::Udp(text.parse().unwrap());
    let only = |bind| LocalForward::Only { bind };
    let service = |name: &str, bind| LocalForward::Service { name: name.into(), bind };
    let cases: [(&[&str], Vec<LocalForward>); 15] = [
        (&[], vec![LocalForward::Every]),
        (&["8080"], vec![only(at("localhost:8080"))]),
        (&["0"], vec![only(at("localhost:0"))]),
        (&["0.0.0.0:80"], vec![only(at("0.0.0.0:80"))]),
        (&["udp:5353"], vec![only(udp("localhost:5353"))]),
        (&["unix:/tmp/a"], vec![only(ServiceBind::Unix("/tmp/a".into()))]),
        (&["web=8080"], vec![service("web", Some(at("localhost:8080")))]),
        (&["game=0.0.0.0:25565"], vec![service("game", Some(at("0.0.0.0:25565")))]),
        (&["db=unix:/tmp/pg.sock"], vec![service("db", Some(ServiceBind::Unix("/tmp/pg.sock".into())))]),
        (&["dns=udp:5353"], vec![service("dns", Some(udp("localhost:5353")))]),
        (&["dns=localhost:0"], vec![service("dns", Some(at("localhost:0")))]),
        (&["web"], vec![service("web", None)]),
        (
            &["web", "db=1", "2"],
            vec![service("web", None), service("db", Some(at("localhost:1"))), only(at("localhost:2"))],
        ),
        (&["80-81"], vec![service("80", Some(at("localhost:80"))), service("81", Some(at("localhost:81")))]),
        (&["udp:[::1]:80-81"], vec![service("80", Some(udp("[::1]:80"))), service("81", Some(udp("[::1]:81")))]),
    ];
    for (given, expected) in cases {
        assert_eq!(locals(given), Ok(expected), "{given:?}");
    }
}

#[test]
fn wrong_places_are_explained() {
    let cases: [(&[&str], Problem); 15] = [
        (&[""], address(AddressError::Empty)),
        (&["web="], address(AddressError::Empty)),
        (&["+80"], address(AddressError::NoPort)),
        (&["127.0.0.1"], address(AddressError::NoPort)),
        (&["SSH"], address(AddressError::NoPort)),
        (&["65536"], address(AddressError::Port)),
        (&["::1:80"], address(AddressError::Brackets)),
        (&["*:80"], address(AddressError::Name)),
        (&["web=example.com:80"], Problem::ForeignName),
        (&["0-10"], address(AddressError::PortZero)),
        (&["web=80-81"], Problem::NamedRange),
        (&["1-300"], Problem::LongRange(256)),
        (&["Web=80"], Problem::ServiceName),
        (&["80", "web=1", "81"], Problem::TwoOnly),
        (&["unix:"], address(AddressError::NoPath)),
    ];
    for (given, expected) in cases {
        assert_eq!(locals(given).unwrap_err().problem, expected, "{given:?}");
    }
}

#[test]
fn what_is_dialled_is_understood() {
    let cases: [(&str, &[&str]); 16] = [
        ("5432:db.local:5432", &["localhost:5432 db.local:5432"]),
        ("0:db.local:5432", &["localhost:0 db.local:5432"]),
        ("0.0.0.0:80:10.0.0.1:8080", &["0.0.0.0:80 10.0.0.1:8080"]),
        ("localhost:80:localhost:80", &["localhost:80 localhost:80"]),
        ("[::1]:80:[2001:db8::1]:80", &["[::1]:80 [2001:db8::1]:80"]),
        ("80:[::1]:80", &["localhost:80 [::1]:80"]),
        ("tcp:80:a:80", &["localhost:80 a:80"]),
        ("udp:5353:10.0.0.53:53", &["udp:localhost:5353 udp:10.0.0.53:53"]),
        ("udp:0.0.0.0:53:ns.local:53", &["udp:0.0.0.0:53 udp:ns.local:53"]),
        ("8080:unix:/run/app.sock", &["localhost:8080 unix:/run/app.sock"]),
        ("[::1]:8080:unix:/run/a:b", &["[::1]:8080 unix:/run/a:b"]),
        ("unix:/tmp/pg.sock:db.local:5432", &["unix:/tmp/pg.sock db.local:5432"]),
        ("unix:/tmp/a:b:[::1]:5432", &["unix:/tmp/a:b [::1]:5432"]),
        ("unix:pg.sock:unix:/run/pg.sock", &["unix:pg.sock unix:/run/pg.sock"]),
        ("8000-8001:a:9000-9001", &["localhost:8000 a:9000", "localhost:8001 a:9001"]),
        ("udp:[::]:1-2:a:3-4", &["udp:[::]:1 udp:a:3", "udp:[::]:2 udp:a:4"]),
    ];
    for (given, expected) in cases {
        assert_eq!(dialled(given).unwrap_or_else(|error| panic!("{error}")), expected, "{given}");
    }
}

#[test]
fn wrong_dials_are_explained() {
    let cases = [
        ("", address(AddressError::Empty)),
        ("udp:", address(AddressError::Empty)),
        ("8080", Problem::Parts),
        ("8080:80", Problem::Parts),
        ("db.local:5432", Problem::Parts),
        ("unix:/tmp/a", Problem::Parts),
        ("unix:/tmp/a:5432", Problem::Parts),
        ("http://a:80:80", address(AddressError::Url)),
        ("::1:80:a:80", address(AddressError::Brackets)),
        ("80:2001:db8::1:80", address(AddressError::Brackets)),
        ("web:a:80", address(AddressError::NoPort)),
        ("80:a:web", address(AddressError::Port)),
        ("80:a:0", address(AddressError::PortZero)),
        ("80::80", address(AddressError::NoHost)),
        (":80:a:80", address(AddressError::NoHost)),
        ("*:80:a:80", address(AddressError::Name)),
        ("80:127.1:80", address(AddressError::Name)),
        ("80:*:80", address(AddressError::Name)),
        ("example.com:80:a:80", Problem::ForeignName),
        ("80-81:a:80", Problem::RangeLengths),
        ("80:a:80-81", Problem::RangeLengths),
        ("0-1:a:80-81", address(AddressError::PortZero)),
        ("1-300:a:1-300", Problem::LongRange(256)),
        ("80:udp:80", Problem::PrefixInside),
        ("tcp:tcp:80:a:80", address(AddressError::Brackets)),
        ("udp:80:unix:/a", Problem::UdpToUnix),
        ("unix:/a:udp:b:53", Problem::UdpToUnix),
        ("80:unix:a", address(AddressError::RelativePath)),
        ("80:unix:", address(AddressError::NoPath)),
        ("unix::a:80", address(AddressError::NoPath)),
        ("unix:/a:unix:", address(AddressError::NoPath)),
        ("80-81:unix:/a", address(AddressError::NoPort)),
    ];
    for (given, expected) in cases {
        assert_eq!(dial(given).unwrap_err().problem, expected, "{given}");
    }
    assert_eq!(
        dial("8080:80").unwrap_err().of("-L").to_string(),
        "-L '8080:80': it does not say both where to listen and what to dial; give [BIND:]PORT:HOST:PORT, for example \
         5432:db.local:5432, udp:5353:10.0.0.53:53, 8080:unix:/run/app.sock or unix:/tmp/pg.sock:db.local:5432"
    );
}

#[test]
fn reverse_forwards_have_the_same_shape() {
    let show = |forward: ReverseForward| format!("{} {}", forward.bind, forward.endpoint);
    let reverse = |text: &str| reverse(text).map(|forwards| forwards.into_iter().map(show).collect::<Vec<_>>());
    assert_eq!(reverse("8080:127.0.0.1:80"), Ok(vec!["localhost:8080 127.0.0.1:80".into()]));
    assert_eq!(reverse("0.0.0.0:0:[::1]:80"), Ok(vec!["0.0.0.0:0 [::1]:80".into()]));
    assert_eq!(reverse("unix:/run/a.sock:unix:b.sock"), Ok(vec!["unix:/run/a.sock unix:b.sock".into()]));
    assert_eq!(reverse("udp:53:a:53"), Ok(vec!["udp:localhost:53 udp:a:53".into()]));
    assert_eq!(reverse("1-2:a:1-2").map(|forwards| forwards.len()), Ok(2));
    assert_eq!(reverse("unix:a.sock:b:80").unwrap_err().problem, address(AddressError::RelativePath));
    assert!(reverse("80").unwrap_err().to_string().starts_with("it does not say both"));
}

#[test]
fn proxies_and_pipes_are_understood() {
    for (given, expected) in [("1080", "localhost:1080"), ("0.0.0.0:0", "0.0.0.0:0"), ("[::1]:1080", "[::1]:1080")] {
        assert_eq!(proxy(given).map(|address| address.to_string()), Ok(expected.into()));
    }
    for given in ["", "socks", "example.com:1080", "1080-1090", "65536", "*:1080"] {
        assert!(proxy(given).is_err(), "{given}");
    }
    let endpoint = |text: &str| Pipe::Dial(text.parse().unwrap());
    let cases = [
        ("ssh", Ok(Pipe::Service("ssh".into()))),
        ("22", Ok(Pipe::Service("22".into()))),
        ("127.0.0.1:22", Ok(endpoint("127.0.0.1:22"))),
        ("tcp:db.local:22", Ok(endpoint("db.local:22"))),
        ("[::1]:22", Ok(endpoint("[::1]:22"))),
        ("unix:/run/a", Ok(endpoint("unix:/run/a"))),
        ("", Err(address(AddressError::Empty))),
        ("SSH", Err(Problem::ServiceName)),
        ("unix:a", Err(address(AddressError::RelativePath))),
        ("udp:a:53", Err(Problem::UdpPipe)),
        ("a:0", Err(address(AddressError::PortZero))),
        ("a:22-23", Err(address(AddressError::Port))),
        (":22", Err(address(AddressError::NoHost))),
    ];
    for (given, expected) in cases {
        assert_eq!(pipe(given).map_err(|error| error.problem), expected, "{given}");
    }
}

#[test]
fn headers_go_to_the_services_that_are_named_or_to_all_with_streams() {
    let apply = |texts: &[&str]| {
        let mut services = services(&["web=80", "db=unix:/run/db", "dns=udp:53"]).unwrap();
        apply_proxy_protocol(texts, &mut services).map_err(|error| error.problem)?;
        Ok(services.iter().map(|service| service.proxy_protocol).collect::<Vec<_>>())
    };
    let (v1, v2) = (Some(ProxyProtocol::V1), Some(ProxyProtocol::V2));
    assert_eq!(apply(&[]), Ok(vec![None, None, None]));
    assert_eq!(apply(&["v1"]), Ok(vec![v1, v1, None]));
    assert_eq!(apply(&["db=v2"]), Ok(vec![None, v2, None]));
    assert_eq!(apply(&["db=v2", "v1"]), Ok(vec![v1, v2, None]));
    assert_eq!(apply(&["v3"]), Err(Problem::HeaderVersion));
    assert_eq!(apply(&["web="]), Err(Problem::HeaderVersion));
    assert_eq!(apply(&["dns=v1"]), Err(Problem::HeaderForUdp));
    assert_eq!(apply(&["ssh=v1"]), Err(Problem::NoSuchService("ssh".into())));
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

/// Texts that are nearly right: the pieces of the grammar in any order.
fn nearly_right() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just(":".to_owned()),
        2 => (0u16..).prop_map(|port| port.to_string()),
        1 => (1u16..65000, 0u16..4).prop_map(|(first, more)| format!("{first}-{}", first + more)),
        1 => prop::sample::select(vec!["udp:", "tcp:", "unix:", "/run/a.sock", "/", "=", "[::1]", "127.0.0.1", "a.b", "web", "*"])
            .prop_map(str::to_owned),
        1 => "[ -~é]{0,2}",
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), near in nearly_right()) {
        for text in [text, near] {
            let one = [text.as_str()];
            let mut shared = services(&["web=80"]).unwrap();
            let _ = (services(&one), locals(&one), dial(&text), reverse(&text), proxy(&text), pipe(&text));
            let _ = (apply_proxy_protocol(&one, &mut shared), rule(&text), reverse_rule(&text));
        }
    }

    #[test]
    fn services_come_back(text in nearly_right()) {
        if let Ok(found) = services(&[&text]) {
            let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
            prop_assert_eq!(services(&shown), Ok(found));
        }
    }

    #[test]
    fn dials_come_back(text in nearly_right()) {
        for forward in dial(&text).unwrap_or_default() {
            let LocalForward::Dial { bind, endpoint } = &forward else { panic!("{forward:?}") };
            prop_assert_eq!(bind.protocol(), endpoint.protocol());
            // A path may hold what would be read as the other half.
            let is_ambiguous = matches!(bind, Bind::Unix(_)) || matches!(endpoint, Endpoint::Unix(_));
            if !is_ambiguous {
                let target = endpoint.to_string();
                let again = format!("{bind}:{}", target.strip_prefix("udp:").unwrap_or(&target));
                prop_assert_eq!(dial(&again), Ok(vec![forward]), "{}", again);
            }
        }
    }
}
