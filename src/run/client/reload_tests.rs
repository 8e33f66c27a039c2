use std::time::Duration;

use super::*;
use crate::config::{OtherServer, Proxy, ProxyVariables, Rate, Reach, ServiceBind};
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

fn url(text: &str) -> SignalingUrl {
    SignalingUrl::parse(text).unwrap().0
}

fn pin(text: &str) -> Pin {
    Pin::new(text).unwrap()
}

fn proxy() -> Option<Proxy> {
    let variables = ProxyVariables::read(|name| (name == "ALL_PROXY").then(|| "http://p.example:1".into()));
    variables.find(true, "a.example", 443).unwrap()
}

fn client() -> ClientConfig {
    let dial =
        |bind: &str| LocalForward::Dial { bind: bind.parse().unwrap(), endpoint: "a.example:1".parse().unwrap() };
    ClientConfig {
        forwards: vec![dial("localhost:8001"), LocalForward::Service { name: "web".to_owned(), bind: None }],
        reverse: vec![ReverseForward::new("localhost:9000".parse().unwrap(), "localhost:1".parse().unwrap())],
        dynamic: vec!["127.0.0.1:1080".parse().unwrap()],
        ..ClientConfig::new(url("wss://a.example/ws"), pin("1"))
    }
}

#[test]
fn every_setting_counts_at_once_or_is_named() {
    let with = |change: fn(&mut ClientConfig)| {
        let mut config = client();
        change(&mut config);
        config
    };
    let web = |bind| LocalForward::Service { name: "web".to_owned(), bind: Some(bind) };
    let unix = web(ServiceBind::Unix("/run/web".into()));
    let mut moved = client();
    moved.forwards[1] = unix;
    let cases = [
        (with(|_| {}), "", ""),
        (with(|config| config.url = url("wss://b.example/ws")), "", "url"),
        (ClientConfig { url: url("wss://b.example/ws"), pin: pin("2"), ..client() }, "", "pin, url"),
        (with(|config| config.others.push(OtherServer::new(url("wss://b.example")))), "", "server"),
        (with(|config| config.pin = pin("2")), "pin changed", ""),
        (with(|config| drop(config.forwards.remove(0))), "forward of localhost:8001 to a.example:1 removed", ""),
        (moved, "service web at unix:/run/web added, service web removed", ""),
        (with(|config| config.forwards.push(LocalForward::Every)), "every service added", ""),
        (with(|config| config.forwards.swap(0, 1)), "", ""),
        (
            with(|config| config.reverse[0].endpoint = "localhost:2".parse().unwrap()),
            "reverse forward of localhost:9000 to localhost:2 added, reverse forward of localhost:9000 to localhost:1 removed",
            "",
        ),
        (with(|config| config.bounds.max_streams = Some(9)), "max-streams changed", ""),
        (with(|config| config.bounds.rate = Some(Rate::MIN)), "rate changed", ""),
        (with(|config| config.bounds.memory = Some(1 << 30)), "memory changed", ""),
        (with(|config| config.dynamic.clear()), "proxy at 127.0.0.1:1080 removed", ""),
        (with(|config| config.credentials = Some(Credentials::parse("a:b").unwrap())), "proxy-auth changed", ""),
        (with(|config| config.udp_idle = Duration::from_secs(9)), "udp-idle changed", ""),
        (with(|config| config.ca = Some("ca.pem".into())), "", "ca"),
        (with(|config| config.headers.push("a: b".parse().unwrap())), "", "header"),
        (with(|config| config.proxy = proxy()), "", "url"),
        (with(|config| config.once = true), "once changed", ""),
        (with(|config| config.retry = true), "retry changed", ""),
        (with(|config| config.reach = Reach::direct_only()), "no-relay changed", ""),
        (with(|config| config.stun = crate::config::default_stun_servers()), "stun changed", ""),
    ];
    for (number, (wanted, changed, left)) in cases.into_iter().enumerate() {
        let Plan { differences, .. } = compare(&client(), wanted);
        let said = (differences.changed.join(", "), differences.left.join(", "));
        assert_eq!(said, (changed.to_owned(), left.to_owned()), "case {number}");
    }
}
