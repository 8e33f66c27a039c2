//! Feeds texts to every parser of forwards and of names from peers, and asks the access list about the results.
//!
//! The input is one text per line; the first four lines are the rules.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pinhole::internals::access::{AccessList, ReverseAccess, ReverseRule, Rule, Verdict};
use pinhole::internals::address::{Bind, Endpoint, Protocol};
use pinhole::internals::cli::{forwards, quantity, services};
use pinhole::internals::config::{LocalForward, Rate, SharedService};

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').take(16).collect();
    lines.iter().for_each(|line| read(line));
    let (rules, asked) = lines.split_at(lines.len().min(4));
    let rules: Vec<Rule> = rules.iter().filter_map(|line| Rule::parse(line).ok()).collect();
    let reverse = rules_of_reverse(&lines);
    for line in asked {
        ask(&rules, line);
        if let Ok(bind) = line.parse::<Bind>()
            && let Ok(permitted) = reverse.check(&bind)
        {
            assert_eq!(reverse.check(&permitted).as_ref(), Ok(&permitted));
        }
    }
});

/// Parses a text in every way: what a value prints must parse to the same value.
fn read(text: &str) {
    if let Some(mut shared) = shared([text]) {
        let shown: Vec<String> = shared.iter().map(ToString::to_string).collect();
        assert_eq!(self::shared(shown.iter().map(String::as_str)).as_ref(), Some(&shared));
        let version = services::proxy_protocol(text).into_iter().collect();
        let _ = services::apply_proxy_protocol(version, &mut shared);
    }
    for forward in forwards::dial(text).unwrap_or_default() {
        let LocalForward::Dial { bind, endpoint } = forward else { panic!("{forward:?}") };
        assert_eq!(bind.protocol(), endpoint.protocol());
    }
    if let Ok(rule) = Rule::parse(text) {
        assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
    }
    if let Ok(rule) = ReverseRule::parse(text) {
        assert_eq!(ReverseRule::parse(&rule.to_string()), Ok(rule));
    }
    if let Ok(endpoint) = text.parse::<Endpoint>() {
        assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
    }
    if let Ok(bind) = text.parse::<Bind>() {
        assert_eq!(bind.to_string().parse(), Ok(bind));
    }
    if let Ok(rate) = quantity::rate(text) {
        assert!((Rate::MIN..=Rate::MAX).contains(&rate));
        assert_eq!(quantity::rate(&rate.to_string()), Ok(rate));
    }
    let _ = (services::local(text), forwards::reverse(text), forwards::proxy(text), forwards::pipe(text));
    let _ = (quantity::memory(text), quantity::max_streams(text));
}

/// Reads what a host shares, if all of it is right.
fn shared<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Vec<SharedService>> {
    let given: Result<Vec<_>, _> = texts.into_iter().map(services::service).collect();
    services::services(given.ok()?).ok()
}

fn rules_of_reverse(lines: &[&str]) -> ReverseAccess {
    ReverseAccess::new(lines.iter().take(4).filter_map(|line| ReverseRule::parse(line).ok()).collect())
}

/// Asks about a host by its text, at addresses that no name may lead to, and about a path.
fn ask(rules: &[Rule], line: &str) {
    let list = AccessList::new(rules.to_vec());
    let names_only = rules.iter().filter(|rule| !rule.to_string().starts_with(|c: char| c.is_ascii_digit() || c == '['));
    let names_only: Vec<Rule> = names_only.filter(|rule| !rule.to_string().starts_with("udp:")).cloned().collect();
    let names_only = AccessList::new(names_only);
    let (host, port) = match line.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(80)),
        None => (line, 80),
    };
    let special = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
        IpAddr::from(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
        IpAddr::from(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
        IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    for address in special {
        let permitted = list.check_address(Protocol::Tcp, host, address, port, |_| false).is_ok();
        assert!(!permitted || list.check_name(Protocol::Tcp, host, port) == Verdict::Resolve);
        assert!(names_only.check_address(Protocol::Tcp, host, address, port, |_| false).is_err());
    }
    if let Ok(path) = list.check_unix(Path::new(line)) {
        assert_eq!(list.check_unix(&path), Ok(path));
    }
}
