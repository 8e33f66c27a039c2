use super::super::forwards::tests::nearly_right;
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

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), near in nearly_right()) {
        for text in [text, near] {
            let one = [text.as_str()];
            let mut shared = services(&["web=80"]).unwrap();
            let _ = (services(&one), locals(&one), apply_proxy_protocol(&one, &mut shared));
        }
    }

    #[test]
    fn services_come_back(text in nearly_right()) {
        if let Ok(found) = services(&[&text]) {
            let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
            prop_assert_eq!(services(&shown), Ok(found));
        }
    }
}
