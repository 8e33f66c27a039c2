use super::*;
use proptest::prelude::*;

fn address(error: AddressError) -> Problem {
    Problem::Address(error)
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
    let endpoint = |text: &str| StreamTarget::Dial(text.parse().unwrap());
    let cases = [
        ("ssh", Ok(StreamTarget::Service("ssh".into()))),
        ("22", Ok(StreamTarget::Service("22".into()))),
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

/// Texts that are nearly right: the pieces of the grammar in any order.
pub(in crate::cli) fn nearly_right() -> impl Strategy<Value = String> {
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
            let _ = (dial(&text), reverse(&text), proxy(&text), pipe(&text));
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
