use std::time::Duration;

use super::*;
use crate::config::{
    AccessList, Approver, OtherServer, Proxy, ProxyProtocol, ProxyVariables, Rate, Reach, ReverseAccess, ReverseRule,
};
use crate::signaling::url::SignalingUrl;

fn service(text: &str) -> SharedService {
    let (name, endpoint) = text.split_once('=').unwrap();
    SharedService::new(name, endpoint.parse().unwrap())
}

fn url(text: &str) -> SignalingUrl {
    SignalingUrl::parse_server(text).unwrap()
}

fn proxy() -> Option<Proxy> {
    let variables = ProxyVariables::read(|name| (name == "ALL_PROXY").then(|| "http://p.example:1".into()));
    variables.find(true, "a.example", 443).unwrap()
}

fn registered() -> HostConfig {
    let (server, id) = (url("wss://a.example"), "office".parse().unwrap());
    HostConfig {
        services: vec![service("web=localhost:80"), service("dns=udp:localhost:53")],
        server: Some(Registration { public: Some(PublicService::new(0)), ..Registration::new(server, id) }),
        pin: Pin::new("1"),
        ..HostConfig::new()
    }
}

fn server(change: impl FnOnce(&mut Registration)) -> HostConfig {
    let mut config = registered();
    change(config.server.as_mut().unwrap());
    config
}

/// Returns what changes at once, and what is left, in words.
fn differ(wanted: HostConfig) -> (String, String) {
    let Plan { differences, .. } = compare(&registered(), Publication::of(&registered()).as_ref(), wanted);
    (differences.changed.join(", "), differences.left.join(", "))
}

#[test]
fn every_setting_counts_at_once_or_is_named() {
    let with = |change: fn(&mut HostConfig)| {
        let mut config = registered();
        change(&mut config);
        config
    };
    let cases = [
        (with(|_| {}), "", ""),
        (with(|config| config.services.push(service("db=unix:/run/db"))), "service db added", ""),
        (with(|config| config.public_url = Some(url("wss://b.example"))), "public-url changed", ""),
        (with(|config| drop(config.services.remove(1))), "service dns removed", ""),
        (
            with(|config| {
                config.services.swap(0, 1);
                config.server.as_mut().unwrap().public = Some(PublicService::new(1));
            }),
            "",
            "",
        ),
        (with(|config| config.services[0] = service("web=localhost:81")), "service web leads to localhost:81", ""),
        (
            with(|config| config.services[0].proxy_protocol = Some(ProxyProtocol::V2)),
            "proxy-protocol of web changed",
            "",
        ),
        (with(|config| config.allow = AccessList::parse(["a.example:1"]).unwrap()), "allow changed", ""),
        (
            with(|config| config.allow_reverse = ReverseAccess::new(vec![ReverseRule::parse("8000").unwrap()])),
            "allow-reverse changed",
            "",
        ),
        (with(|config| config.bounds.max_streams = Some(9)), "max-streams changed", ""),
        (with(|config| config.bounds.rate = Some(Rate::MIN)), "rate changed", ""),
        (with(|config| config.bounds.memory = Some(1 << 30)), "memory changed", ""),
        (with(|config| config.udp_idle = Duration::from_secs(9)), "udp-idle changed", ""),
        (with(|config| config.listen = None), "", "listen"),
        (with(|config| config.server = None), "", "server"),
        (with(|config| config.pin = None), "pin changed", ""),
        (with(|config| config.pin = Pin::new("2")), "pin changed", ""),
        (with(|config| config.once = true), "once changed", ""),
        (with(|config| config.max_sessions = 9), "max-sessions changed", ""),
        (with(|config| config.approver = Some(Approver::new(|_| true))), "", "ask"),
        (with(|config| config.reach = Reach::direct_only()), "no-relay changed", ""),
        (with(|config| config.reach = Reach::relay_only()), "relay-only changed", ""),
        (with(|config| config.reach.grace = Duration::from_secs(9)), "grace changed", ""),
        (with(|config| config.reach.p2p_timeout = Duration::from_secs(9)), "p2p-timeout changed", ""),
        (with(|config| config.stun = crate::config::default_stun_servers()), "stun changed", ""),
        (server(|server| server.server = url("wss://b.example")), "", "server"),
        (server(|server| server.others.push(OtherServer::new(url("wss://b.example")))), "", "server"),
        (
            server(|server| {
                server.others.push(OtherServer::new(url("wss://b.example")));
                server.token = Some("of-both".parse().unwrap());
            }),
            "",
            "server, token",
        ),
        (server(|server| server.id = "cellar".parse().unwrap()), "", "id"),
        (server(|server| server.token = Some("new".parse().unwrap())), "token changed", ""),
        (
            server(|server| {
                server.id = "cellar".parse().unwrap();
                server.token = Some("of-cellar".parse().unwrap());
            }),
            "",
            "id, token",
        ),
        (server(|server| server.public = None), "", "public"),
        (server(|server| server.public = Some(PublicService::new(1))), "", "public"),
        (
            server(|server| server.public.as_mut().unwrap().auth = Some(Credentials::parse("a:b").unwrap())),
            "",
            "public-auth",
        ),
        (server(|server| server.dial = true), "", "server-dial"),
        (server(|server| server.ca = Some("ca.pem".into())), "", "ca"),
        (server(|server| server.headers.push("a: b".parse().unwrap())), "", "header"),
        (server(|server| server.proxy = proxy()), "", "server"),
        (server(|server| server.retry = true), "retry changed", ""),
    ];
    for (number, (wanted, changed, left)) in cases.into_iter().enumerate() {
        assert_eq!(differ(wanted), (changed.to_owned(), left.to_owned()), "case {number}");
    }
}

#[test]
fn what_is_left_stays_in_the_settings_so_that_it_is_named_again() {
    let mut wanted = server(|server| {
        server.dial = true;
        server.token = Some("new".parse().unwrap());
    });
    wanted.listen = None;
    let Plan { config, .. } = compare(&registered(), Publication::of(&registered()).as_ref(), wanted.clone());
    let own = config.server.as_ref().unwrap();
    assert_eq!((own.dial, own.token.is_some()), (false, true));
    assert!(config.listen.is_some());
    let again = compare(&config, Publication::of(&registered()).as_ref(), wanted);
    assert_eq!(
        (again.differences.changed.len(), again.differences.left),
        (0, vec!["server-dial".into(), "listen".into()])
    );
}

#[test]
fn a_published_service_is_found_by_its_name() {
    let mut wanted = registered();
    wanted.services.insert(0, service("first=localhost:1"));
    wanted.server.as_mut().unwrap().public = Some(PublicService::new(1));
    let Plan { config, differences, .. } = compare(&registered(), Publication::of(&registered()).as_ref(), wanted);
    let public = config.server.as_ref().and_then(|server| server.public.as_ref()).unwrap();
    assert_eq!((public.service, config.service_name(public.service)), (1, Some("web")));
    assert!(differences.left.is_empty());
    // It is gone, or is one of datagrams now, and so nothing is published.
    for services in [vec![service("dns=udp:localhost:53")], vec![service("web=udp:localhost:80")]] {
        let mut wanted = registered();
        wanted.services = services;
        wanted.server.as_mut().unwrap().public = None;
        let Plan { config, differences, .. } = compare(&registered(), Publication::of(&registered()).as_ref(), wanted);
        assert!(config.server.as_ref().unwrap().public.is_none());
        assert_eq!(differences.left, ["public"]);
        // When it is back, so is its publication.
        let Plan { config, differences, .. } = compare(&config, Publication::of(&registered()).as_ref(), registered());
        assert_eq!(Publication::of(&config).unwrap().name, "web");
        assert!(differences.left.is_empty(), "{:?}", differences.left);
    }
}
