//! `pinhole check`: its findings, its words, and its exit codes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;

use pinhole::internals::net::interfaces::usable_addresses;
use serde_json::Value;
use stun_types::attribute::XorMappedAddress;
use stun_types::message::{
    BINDING, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec,
};

use crate::common::ReservedPort;
use crate::common::pinhole::{Ended, Pinhole, command, run};
use crate::common::proxy::{ConnectProxy, ESTABLISHED};
use crate::common::services::echo;

/// What a STUN server does with a request, given where it came from.
#[derive(Debug, Clone, Copy)]
enum Answers {
    /// Says this address.
    With(&'static str),
    /// Says where the request came from.
    Honestly,
    /// Sends bytes that are no answer.
    Nonsense,
    /// Says nothing.
    Never,
}

/// A STUN server on this machine. Sockets on loopback never ask, but the machine's other addresses reach it.
struct Stun(SocketAddr);

impl Stun {
    /// Starts a server at `127.0.0.last`: mappings show only by servers whose IP addresses differ.
    fn start(last: u8, answers: Answers) -> Stun {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((length, remote)) = socket.recv_from(&mut buffer) {
                let answer = match answers {
                    Answers::With(mapped) => answer(&buffer[..length], mapped.parse().unwrap()),
                    Answers::Honestly => answer(&buffer[..length], remote),
                    Answers::Nonsense => vec![0xff; 64],
                    Answers::Never => continue,
                };
                if socket.send_to(&answer, remote).is_err() {
                    break;
                }
            }
        });
        Stun(address)
    }

    fn name(&self) -> String {
        self.0.to_string()
    }
}

fn answer(request: &[u8], mapped: SocketAddr) -> Vec<u8> {
    let transaction = Message::from_bytes(request).unwrap().transaction_id();
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.add_attribute(&XorMappedAddress::new(mapped, transaction)).unwrap();
    message.finish()
}

/// Tells whether a server here can be asked at all; where not, the test says so and passes.
fn can_ask(test: &str) -> bool {
    let is_possible = cfg!(target_os = "linux") && usable_addresses(false).unwrap().iter().any(IpAddr::is_ipv4);
    if !is_possible {
        eprintln!("SKIPPED {test}: this machine has no IPv4 address but loopback, so no STUN server can be asked");
    }
    is_possible
}

/// Runs a check with these servers and further arguments.
#[track_caller]
fn check(servers: &[&Stun], more: &[&str]) -> Ended {
    let names: Vec<String> = servers.iter().map(|server| server.name()).collect();
    let mut arguments = vec!["check"];
    arguments.extend(names.iter().flat_map(|name| ["--stun", name]));
    if servers.is_empty() && !more.contains(&"--stun") {
        arguments.push("--no-stun");
    }
    arguments.extend(more);
    run(&arguments)
}

/// Starts a host that asks the STUN servers of its further arguments.
fn asking_host(more: &[&str]) -> Pinhole {
    Pinhole::start("host", &[&["host", &echo().to_string(), "--json"], more].concat())
}

#[track_caller]
fn events(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// The first event that has these fields.
#[track_caller]
fn find(ended: &Ended, fields: &[(&str, &str)]) -> Value {
    let events = events(ended);
    let found = events.iter().find(|event| fields.iter().all(|(name, value)| event[*name] == *value));
    found.unwrap_or_else(|| panic!("no {fields:?} in {ended:?}")).clone()
}

#[test]
fn servers_that_agree_show_a_nat_that_keeps_its_mapping() {
    if !can_ask("servers_that_agree_show_a_nat_that_keeps_its_mapping") {
        return;
    }
    let mapped = "203.0.113.7:4000";
    let servers = [Stun::start(1, Answers::With(mapped)), Stun::start(2, Answers::With(mapped))];
    let ended = check(&[&servers[0], &servers[1]], &["--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let server = find(&ended, &[("event", "stun"), ("server", &servers[0].name())]);
    assert_eq!((&server["result"], &server["mapped"]), (&"answered".into(), &mapped.into()), "{server}");
    assert!(server["rtt_ms"].as_f64().unwrap() >= 0.0);
    let network = find(&ended, &[("event", "network"), ("side", "here")]);
    assert_eq!((&network["udp"], &network["mapping"]), (&"open".into(), &"independent".into()), "{network}");
    let address = find(&ended, &[("event", "interface")])["address"].as_str().unwrap().parse::<IpAddr>().unwrap();
    assert!(usable_addresses(false).unwrap().contains(&address));
}

#[test]
fn servers_that_disagree_show_a_symmetric_nat() {
    if !can_ask("servers_that_disagree_show_a_symmetric_nat") {
        return;
    }
    let servers =
        [Stun::start(1, Answers::With("203.0.113.7:4000")), Stun::start(2, Answers::With("203.0.113.7:4001"))];
    let ended = check(&[&servers[0], &servers[1]], &[]);
    ended.expect(
        0,
        &[
            "interface",
            "IPv4 answers in",
            "sees 203.0.113.7:4000",
            "network     a symmetric NAT, no IPv6 answer: direct",
        ],
    );
    assert_eq!(ended.stderr, "");
}

#[test]
fn an_honest_server_beside_bad_ones_is_enough() {
    if !can_ask("an_honest_server_beside_bad_ones_is_enough") {
        return;
    }
    let servers = [
        Stun::start(1, Answers::Nonsense),
        Stun::start(2, Answers::With("0.0.0.0:0")),
        Stun::start(3, Answers::Honestly),
    ];
    let more = ["--stun", "pinhole.invalid:3478", "--json"];
    let ended = check(&[&servers[0], &servers[1], &servers[2]], &more);
    let result = |server: &str| find(&ended, &[("event", "stun"), ("server", server)])["result"].clone();
    assert_eq!((result(&servers[0].name()), result(&servers[1].name())), ("silent".into(), "silent".into()));
    assert_eq!((result(&servers[2].name()), result("pinhole.invalid:3478")), ("answered".into(), "not-found".into()));
    let network = find(&ended, &[("event", "network")]);
    assert_eq!((&network["udp"], &network["mapping"]), (&"open".into(), &"none".into()), "{network}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn no_answer_at_all_means_that_udp_is_blocked_and_sessions_are_relayed() {
    if !can_ask("no_answer_at_all_means_that_udp_is_blocked_and_sessions_are_relayed") {
        return;
    }
    let servers = [Stun::start(1, Answers::Never), Stun::start(2, Answers::Never)];
    let ended = check(&[&servers[0], &servers[1]], &[]);
    ended.expect(0, &["IPv4 no answer", "UDP does not leave the network", "sessions are relayed"]);
}

#[test]
fn without_names_that_resolve_it_says_what_it_does_not_know() {
    let ended = check(&[], &["--stun", "pinhole.invalid:3478"]);
    let words = ["pinhole.invalid:3478", "cannot be found", "no STUN server could be asked"];
    // A machine that has only loopback fails for that reason.
    ended.expect(if usable_addresses(false).unwrap().is_empty() { 1 } else { 0 }, &words);
}

#[test]
fn signaling_that_does_not_answer_is_explained_and_fails() {
    let closed = ReservedPort::new();
    let ended = check(&[], &[&format!("ws://{}/ws?pin=1", closed.address)]);
    ended.expect(1, &["does not answer", "error: cannot reach the host: cannot connect to", "is pinhole host still"]);
    let ended = check(&[], &["ws://pinhole.invalid/ws", "--json"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(find(&ended, &[("event", "signaling")])["ok"], false);
    find(&ended, &[("event", "error"), ("code", "unreachable")]);
    // The system takes the connection, and nobody answers on it.
    let silent = ReservedPort::new().listen();
    let ended = check(&[], &[&format!("ws://{}/ws", silent.local_addr().unwrap())]);
    ended.expect(1, &["does not answer", "error: cannot reach the host: "]);
    let page = echo();
    check(&[], &[&format!("ws://{page}/ws")]).expect(1, &["does not follow the protocol"]);
}

#[test]
fn without_a_pin_the_hosts_signaling_alone_is_looked_at() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let (url, _) = url.split_once('?').unwrap();
    let ended = check(&[], &[url, "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let signaling = find(&ended, &[("event", "signaling")]);
    assert_eq!((&signaling["ok"], &signaling["url"]), (&true.into(), &url.into()));
    assert!(signaling["open_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(events(&ended).last(), Some(&signaling), "the host is not asked about");
    host.stop();
}

#[test]
fn a_wrong_pin_fails_and_counts_as_a_guess() {
    let mut host = Pinhole::host(echo(), &["--pin", "right"]);
    let url = host.url();
    let (url, _) = url.split_once('?').unwrap();
    let ended = check(&[], &[url, "--pin", "wrong", "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    find(&ended, &[("event", "error"), ("code", "bad-pin")]);
    host.problem("warning", "bad-pin");
    host.stop();
}

#[test]
fn wrong_usage_is_exit_code_2() {
    run(&["check", "--pin", "1"]).expect(2, &["URL"]);
    run(&["check", "--stun", "a"]).expect(2, &["--stun 'a'"]);
    run(&["check", "--stun", "a:1", "--no-stun"]).expect(2, &["--no-stun"]);
    run(&["check", "ftp://h"]).expect(2, &["wss://"]);
}

#[test]
fn a_host_is_asked_and_not_alarmed() {
    if !can_ask("a_host_is_asked_and_not_alarmed") {
        return;
    }
    let servers = [Stun::start(1, Answers::Honestly), Stun::start(2, Answers::Honestly)];
    let names = [servers[0].name(), servers[1].name()];
    let mut host = asking_host(&["--once", "--stun", &names[0], "--stun", &names[1]]);
    let url = host.url();
    let ended = check(&[&servers[0], &servers[1]], &[&url, "--json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let network = find(&ended, &[("event", "network"), ("side", "host")]);
    assert_eq!((&network["udp"], &network["mapping"]), (&"open".into(), &"none".into()), "{network}");
    let verdict = find(&ended, &[("event", "verdict")]);
    assert_eq!((&verdict["direct"], &verdict["relay"]), (&"yes".into(), &true.into()), "{verdict}");
    assert_eq!(verdict["message"], "you: no NAT, host: no NAT: direct should work");
    // The visit was no session: a client is still served, and then the host has served its one.
    let mut client = Pinhole::client(&url, &["--once"]);
    client.local();
    let said = host.events_so_far();
    assert!(said.iter().all(|event| event["event"] != "warning" && event["event"] != "disconnected"), "{said:?}");
    client.stop();
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_host_that_relays_only_connects_all_the_same() {
    let mut host = Pinhole::host(echo(), &["--relay-only"]);
    let ended = check(&[], &[&host.url()]);
    ended.expect(0, &["direct paths are switched off (--relay-only)", "direct is not tried; relayed works"]);
    host.stop();
}

#[test]
fn no_direct_path_and_no_relay_is_a_failure() {
    if !can_ask("no_direct_path_and_no_relay_is_a_failure") {
        return;
    }
    let honest = Stun::start(1, Answers::Honestly);
    let mut host = asking_host(&["--no-relay", "--stun", &honest.name()]);
    let ended = check(&[&Stun::start(2, Answers::Never)], &[&host.url(), "--json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = find(&ended, &[("event", "error"), ("code", "no-path")]);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("UDP does not leave") && message.contains("--no-relay"), "{message}");
    host.stop();
}

#[test]
fn signaling_is_looked_at_through_the_proxy_that_the_environment_names() {
    let mut host = Pinhole::host(echo(), &["--relay-only"]);
    let url = host.url();
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let proxy = ConnectProxy::to(address.parse().unwrap(), vec![ESTABLISHED.into()]);
    // Only the proxy knows where that is (RFC 6761).
    let mut command = command(&["check", "--no-stun", &url.replace(address, "pinhole.invalid:5000")]);
    command.env("http_proxy", format!("http://{}", proxy.address));
    let ended = Pinhole::spawn("check", command).end();
    ended.expect(0, &["ws://pinhole.invalid:5000/ws answers", "relayed works"]);
    host.stop();
}
