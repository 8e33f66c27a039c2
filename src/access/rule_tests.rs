use super::*;
use proptest::prelude::*;

/// The text of a rule after parsing.
fn shown(text: &str) -> Result<String, RuleError> {
    Rule::parse(text).map(|rule| rule.to_string())
}

#[test]
fn rules_are_understood_and_come_back_in_one_form() {
    let cases = [
        ("10.0.0.0/8:80,443", "10.0.0.0/8:80,443"),
        ("db.local:5432", "db.local:5432"),
        ("*.internal:8000-8999", "*.internal:8000-8999"),
        ("[2001:db8::/32]:22", "[2001:db8::/32]:22"),
        ("10.1.2.3:*", "10.1.2.3:*"),
        ("udp:10.0.0.53:53", "udp:10.0.0.53:53"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        (" tcp:DB.Local.:1-2,7 ", "db.local:1-2,7"),
        ("10.1.2.3/32:1", "10.1.2.3:1"),
        ("[2001:DB8:0::1]:1", "[2001:db8::1]:1"),
        ("[::1/128]:1", "[::1]:1"),
        ("[::ffff:10.0.0.1]:1", "10.0.0.1:1"),
        ("[::ffff:10.0.0.0/104]:1", "10.0.0.0/8:1"),
        ("0.0.0.0/0:443", "0.0.0.0/0:443"),
        ("[::/0]:443", "[::/0]:443"),
        ("tcp:udp:80", "tcp:udp:80"),
        ("udp:unix:80", "udp:unix:80"),
        ("unix://run/./app.sock/", "unix:/run/app.sock"),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        assert_eq!(shown(expected).as_deref(), Ok(expected), "{expected}");
    }
}

#[test]
fn wrong_rules_are_explained() {
    let address = RuleError::Address;
    let not_first = |text: &str| RuleError::NotFirst(text.parse().unwrap());
    let long = format!("unix:/{}", "x".repeat(107));
    let cases = [
        ("", address(AddressError::Empty)),
        ("http://a:80", address(AddressError::Url)),
        ("db.local", RuleError::NoPorts),
        ("10.0.0.0/8", RuleError::NoPorts),
        ("[::1]", RuleError::NoPorts),
        ("[2001:db8::]/32:22", RuleError::NoPorts),
        (":80", RuleError::NoHost),
        ("udp:53", RuleError::NoPorts),
        ("80", RuleError::NoPorts),
        ("db.local:", address(AddressError::Port)),
        ("db.local:http", address(AddressError::Port)),
        ("db.local:80,", address(AddressError::Port)),
        ("db.local:80, 443", address(AddressError::Port)),
        ("db.local:65536", address(AddressError::Port)),
        ("db.local:0", address(AddressError::PortZero)),
        ("db.local:0-80", address(AddressError::PortZero)),
        ("db.local:90-80", address(AddressError::RangeOrder)),
        ("db.local:*,80", address(AddressError::Port)),
        ("::1:80", address(AddressError::Brackets)),
        ("2001:db8::/32:80", address(AddressError::Brackets)),
        ("[10.0.0.1]:80", address(AddressError::Ipv6)),
        ("[fe80::1%eth0]:80", address(AddressError::Ipv6)),
        ("[::1:80", address(AddressError::Ipv6)),
        ("10.0.0.0/33:80", RuleError::Length { most: 32 }),
        ("10.0.0.0/:80", RuleError::Length { most: 32 }),
        ("10.0.0.0/+8:80", RuleError::Length { most: 32 }),
        ("10.0.0.0/255.0.0.0:80", RuleError::Length { most: 32 }),
        ("[::/129]:80", RuleError::Length { most: 128 }),
        ("10.0.0.1/8:80", not_first("10.0.0.0/8")),
        ("[2001:db8::1/32]:80", not_first("2001:db8::/32")),
        ("[::ffff:0:0/90]:80", not_first("::ffc0:0:0/90")),
        ("db.local/8:80", address(AddressError::Name)),
        ("10.0.0/8:80", address(AddressError::Name)),
        ("010.0.0.0/8:80", address(AddressError::Name)),
        ("127.1:80", address(AddressError::Name)),
        ("0x7f000001:80", address(AddressError::Name)),
        ("bücher.example:80", address(AddressError::NotAscii)),
        ("*:80", RuleError::AnyHost),
        ("*internal:80", RuleError::Star),
        ("a.*.internal:80", RuleError::Star),
        ("*.*.internal:80", RuleError::Star),
        ("*.10.0.0.1:80", RuleError::Star),
        ("*.1:80", address(AddressError::Name)),
        ("*.:80", RuleError::Star),
        ("unix:", address(AddressError::NoPath)),
        ("unix:app.sock", address(AddressError::RelativePath)),
        ("unix:./app.sock", address(AddressError::RelativePath)),
        ("unix:@app", address(AddressError::AbstractPath)),
        ("unix:/run/../app.sock", RuleError::Path),
        ("unix:/", RuleError::Path),
        ("unix:/run/*.sock", RuleError::PathPattern),
        ("unix:/run/a\0", address(AddressError::PathControl)),
        (long.as_str(), address(AddressError::PathLength)),
    ];
    for (text, expected) in cases {
        assert_eq!(Rule::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn surprising_rules_have_a_remark() {
    for text in ["localhost:80", "*.localhost:80", "0.0.0.0/0:443", "[::/0]:443", "126.0.0.0/7:1", "[::/127]:80"] {
        assert!(Rule::parse(text).unwrap().remark().is_some(), "{text}");
    }
    for text in ["127.0.0.1:80", "127.0.0.0/8:80", "[::1]:80", "10.0.0.0/8:*", "db.local:1", "unix:/localhost"] {
        assert_eq!(Rule::parse(text).unwrap().remark(), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = Rule::parse(&text);
    }

    #[test]
    fn what_parses_comes_back(text in r"(udp:|tcp:|unix:/|\[)?(\*\.)?[0-9a-z:./*\]-]{0,24}(:[0-9*,-]{1,8})?") {
        if let Ok(rule) = Rule::parse(&text) {
            prop_assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
        }
    }

    #[test]
    fn networks_hold_what_shares_their_bits(network in any::<u32>(), length in 0u32..=32, address in any::<u32>()) {
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let rule = format!("{}/{length}:1", Ipv4Addr::from(network & mask));
        let Ok(Rule(Inner::Port(rule))) = Rule::parse(&rule) else { panic!("{rule} is no rule") };
        for address in [address, network, (network & mask) | (address & !mask)] {
            let expected = address & mask == network & mask;
            prop_assert_eq!(rule.scope.has_address(Ipv4Addr::from(address).into()), expected);
        }
    }

    #[test]
    fn networks_of_ipv6_do_too(network in any::<u128>(), length in 0u32..=128, address in any::<u128>()) {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        prop_assume!(Ipv6Addr::from(network & mask).to_ipv4_mapped().is_none());
        let rule = format!("[{}/{length}]:1", Ipv6Addr::from(network & mask));
        let Ok(Rule(Inner::Port(rule))) = Rule::parse(&rule) else { panic!("{rule} is no rule") };
        for address in [address, network, (network & mask) | (address & !mask)] {
            let expected = address & mask == network & mask;
            prop_assert_eq!(rule.scope.has_address(Ipv6Addr::from(address).into()), expected);
        }
    }

    #[test]
    fn ports_are_those_that_are_listed(ranges in prop::collection::vec((1u16.., 0u16..500), 1..6), port in any::<u16>()) {
        let ranges: Vec<_> = ranges.iter().map(|(first, count)| (*first, first.saturating_add(*count))).collect();
        let text: Vec<_> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let ports = Ports::parse(&text.join(",")).unwrap();
        prop_assert_eq!(ports.contains(port), ranges.iter().any(|(first, last)| (*first..=*last).contains(&port)));
    }

    #[test]
    fn names_match_themselves_and_what_is_below(name in "[a-z][a-z0-9-]{0,8}(\\.[a-z][a-z0-9-]{0,8}){0,3}", sub in "[A-Z0-9]{1,5}") {
        let scope = |text: String| match Rule::parse(&text) {
            Ok(Rule(Inner::Port(rule))) => rule.scope,
            other => panic!("{text}: {other:?}"),
        };
        let (exact, below) = (scope(format!("{name}:1")), scope(format!("*.{name}:1")));
        let loud = format!("{}.", name.to_ascii_uppercase());
        prop_assert!(exact.has_name(&name) && exact.has_name(&loud));
        prop_assert!(!below.has_name(&name) && !below.has_name(&loud));
        for lower in [format!("{sub}.{name}"), format!("{sub}.x.{loud}")] {
            prop_assert!(below.has_name(&lower) && !exact.has_name(&lower), "{}", lower);
        }
        for other in [format!("{sub}{name}"), format!("{name}.{sub}.9x"), format!(".{name}"), String::new()] {
            prop_assert!(!exact.has_name(&other) && !below.has_name(&other), "{}", other);
        }
    }
}
