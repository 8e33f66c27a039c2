//! A bare port is a port of localhost, whichever address that is: for dialling and listening, for streams and
//! datagrams.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::{echo, echo_once, serve, serve_on};
use crate::common::system::skipped;
use crate::common::{DEADLINE, connect, quiet_port, wait_until};

const BOTH: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Tells whether there is IPv6; a test without it says that it was skipped.
fn has_ipv6(test: &str) -> bool {
    let is_there = TcpListener::bind((BOTH[1], 0)).is_ok();
    if !is_there {
        skipped(test, "this machine has no ::1");
    }
    is_there
}

fn host(arguments: &[&str]) -> (Pinhole, String) {
    let mut host = Pinhole::start("host", &[&["host", "--json", "--no-stun"], arguments].concat());
    let url = host.url();
    (host, url)
}

fn client(url: &str, arguments: &[&str]) -> Pinhole {
    Pinhole::start("client", &[&["client", url, "--json", "--no-stun"], arguments].concat())
}

/// Where something appeared, without the protocol.
#[track_caller]
fn appeared(client: &mut Pinhole, service: &str) -> SocketAddr {
    let fits = |event: &Value| event["event"] == "forwarding" && event["service"] == service;
    let event = match client.events_so_far().into_iter().find(fits) {
        Some(event) => event,
        None => client.find(service, fits),
    };
    let local = text(&event, "local");
    local.strip_prefix("udp:").unwrap_or(&local).parse().unwrap()
}

#[track_caller]
fn check_streams(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
}

#[track_caller]
fn check_datagrams(address: SocketAddr, from: IpAddr) {
    let program = UdpSocket::bind((from, 0)).unwrap();
    program.connect(address).unwrap();
    program.set_read_timeout(Some(DEADLINE)).unwrap();
    program.send(b"hello").unwrap();
    let mut answer = [0; 9];
    assert_eq!(program.recv(&mut answer).unwrap(), 5, "{address}");
}

fn echo_datagrams(address: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind(address).unwrap();
    let bound = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((len, source)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..len], source).unwrap();
        }
    });
    bound
}

#[test]
fn a_service_is_found_on_whichever_address_it_is() {
    if !has_ipv6("a_service_is_found_on_whichever_address_it_is") {
        return;
    }
    for address in BOTH {
        let streams = serve_on(TcpListener::bind((address, 0)).unwrap(), echo_once);
        let datagrams = echo_datagrams((address, 0).into());
        let targets = [format!("tcp={}", streams.port()), format!("udp=udp:{}", datagrams.port())];
        let (mut host, url) = host(&[&targets[0], &targets[1]]);
        let mut client = client(&url, &["tcp=0", "udp=0"]);
        check_streams(appeared(&mut client, "tcp"));
        let warned = host.events_so_far().iter().any(|event| event["event"] == "warning");
        assert!(!warned, "somebody listens on {streams}");
        let mut second = Pinhole::start("client", &["client", &url, "udp=0", "--json", "--no-stun"]);
        check_datagrams(appeared(&mut second, "udp"), BOTH[0]);
        second.stop();
        client.stop();
        host.stop();
    }
}

#[test]
fn what_appears_at_a_port_appears_on_both_addresses() {
    if !has_ipv6("what_appears_at_a_port_appears_on_both_addresses") {
        return;
    }
    let (streams, datagrams) = (echo(), echo_datagrams((BOTH[0], 0).into()));
    let targets = [format!("tcp={streams}"), format!("udp=udp:{datagrams}")];
    let allow = format!("{streams}");
    let (mut host, url) = host(&[&targets[0], &targets[1], "--allow", &allow, "--allow-reverse", "*"]);
    let dialled = format!("0:{streams}");
    let mut client = client(&url, &["tcp=0", "udp=0", "-L", &dialled, "-D", "0", "-R", &dialled]);
    let reverse: SocketAddr = text(&host.event("reverse-forwarding"), "local").parse().unwrap();
    let [tcp, udp, named, proxy] = ["tcp", "udp", &allow, "proxy"].map(|service| appeared(&mut client, service));
    for address in BOTH {
        for port in [tcp.port(), named.port(), reverse.port()] {
            check_streams((address, port).into());
        }
        check_datagrams((address, udp.port()).into(), address);
        drop(connect((address, proxy.port()).into()));
    }
    // Each is said once.
    let said =
        |side: &mut Pinhole, name: &str| side.events_so_far().iter().filter(|event| event["event"] == name).count();
    assert_eq!((said(&mut client, "forwarding"), said(&mut host, "reverse-forwarding")), (4, 1));
    client.stop();
    host.stop();
}

#[test]
fn who_has_the_other_address_is_told() {
    if !has_ipv6("who_has_the_other_address_is_told") {
        return;
    }
    let service = echo();
    let port = quiet_port();
    let _other = TcpListener::bind((BOTH[1], port)).unwrap();
    let bare = port.to_string();
    let (mut host, url) = host(&[&format!("web={service}"), "--allow-reverse", "*"]);
    let mut asked = client(&url, &[&bare]);
    let message = asked.problem("warning", "port-shared");
    assert!(message.contains(&format!("[::1]:{port}")), "{message}");
    assert_eq!(appeared(&mut asked, "web"), (BOTH[0], port).into());
    check_streams((BOTH[0], port).into());
    asked.stop();
    // An address that was named is all that is wanted.
    let mut named = client(&url, &[&format!("127.0.0.1:{port}")]);
    appeared(&mut named, "web");
    let is_warning = |event: &Value| event["event"] == "warning";
    assert!(!named.events_so_far().iter().any(is_warning));
    named.stop();
    let mut reverse = client(&url, &["-R", &format!("{port}:{service}")]);
    host.problem("warning", "port-shared");
    host.event("reverse-forwarding");
    reverse.stop();
    host.stop();
}

#[test]
fn a_services_own_port_is_taken_where_nobody_else_has_it() {
    if !has_ipv6("a_services_own_port_is_taken_where_nobody_else_has_it") {
        return;
    }
    // The service has one of the two addresses, and host and client are on one machine.
    let service = serve_on(TcpListener::bind((BOTH[1], 0)).unwrap(), echo_once);
    let port = service.port();
    let (mut host, url) = host(&[&port.to_string()]);
    let mut client = client(&url, &[]);
    let local = appeared(&mut client, &port.to_string());
    assert_ne!(local.port(), port);
    check_streams(local);
    client.stop();
    host.stop();
}

#[test]
fn one_number_serves_both_protocols() {
    let (streams, datagrams) = (echo(), echo_datagrams((BOTH[0], 0).into()));
    let targets = [format!("dns={streams}"), format!("dnsu=udp:{datagrams}")];
    let (mut host, url) = host(&[&targets[0], &targets[1]]);
    let free = quiet_port();
    for order in [["dns", "dnsu"], ["dnsu", "dns"]] {
        let locals = order.map(|name| format!("{name}={free}"));
        let mut client = client(&url, &[&locals[0], &locals[1]]);
        check_streams(appeared(&mut client, "dns"));
        check_datagrams(appeared(&mut client, "dnsu"), BOTH[0]);
        client.stop();
    }
    host.stop();
    // Two of one protocol cannot, and it is said which two.
    let targets = [format!("a={streams}"), format!("b={streams}")];
    let (mut host, url) = self::host(&[&targets[0], &targets[1]]);
    let ended = client(&url, &[&format!("a={free}"), &format!("b={free}")]).end();
    ended.expect(1, &["a and b are both of TCP"]);
    host.stop();
}

#[test]
fn a_port_without_a_name_is_two_services() {
    let datagrams = echo_datagrams((BOTH[0], 0).into());
    let port = datagrams.port();
    let (mut host, url) = host(&[&port.to_string(), &format!("udp:{port}")]);
    let mut client = client(&url, &[]);
    check_datagrams(appeared(&mut client, &format!("{port}-udp")), BOTH[0]);
    client.stop();
    host.stop();
}

#[test]
fn datagrams_are_answered_from_the_address_that_was_asked() {
    let service = echo_datagrams((BOTH[0], 0).into());
    let (mut host, url) = host(&[&format!("u=udp:{service}")]);
    let wildcards: &[&str] = if TcpListener::bind((BOTH[1], 0)).is_ok() { &["0.0.0.0", "[::]"] } else { &["0.0.0.0"] };
    for wildcard in wildcards {
        let port = quiet_port();
        let mut client = client(&url, &[&format!("u={wildcard}:{port}")]);
        assert_eq!(appeared(&mut client, "u").port(), port);
        for asked in ["127.0.0.1", "127.0.0.2", "127.9.9.9"] {
            check_datagrams((asked.parse::<IpAddr>().unwrap(), port).into(), BOTH[0]);
        }
        if wildcard.contains("[::]") {
            check_datagrams((BOTH[1], port).into(), BOTH[1]);
        }
        client.stop();
    }
    host.stop();
}

#[test]
fn a_pipe_needs_a_stream_and_a_place_for_what_comes() {
    let datagrams = echo_datagrams((BOTH[0], 0).into());
    // Says something, and waits for the other side to go.
    let streams = serve(|mut stream| {
        stream.write_all(b"hello")?;
        stream.read(&mut [0]).map(drop)
    });
    let (mut host, url) = host(&[&format!("u=udp:{datagrams}"), &format!("t={streams}")]);
    let ended = Pinhole::start("client", &["client", &url, "--no-stun", "-W", "u"]).end();
    ended.expect(1, &["datagrams (UDP)", "u=5353"]);
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return skipped("a_pipe_needs_a_place_for_what_comes", "there is no /dev/full");
    };
    let mut pipe = command(&["client", &url, "--no-stun", "-W", "t"]);
    // stdin stays open: nothing but the disk ends it.
    let mut child = pipe.stdin(Stdio::piped()).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the end of a pipe onto a full disk", || child.try_wait().unwrap().is_some());
    let ended = child.wait_with_output().unwrap();
    let words = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{words}");
    assert!(words.contains("stdout takes no more"), "{words}");
    host.stop();
}
