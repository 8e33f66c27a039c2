//! UDP through the tunnel: many programs at once, datagrams of any length, dig, iperf3.

use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pinhole::internals::net::limits::raise_descriptor_limit;
use serde_json::Value;

use crate::common::pinhole::{Pinhole, text};
use crate::common::system::{figure, program};
use crate::common::{DEADLINE, any_port, quiet_port, wait_until};

/// Answers every datagram with `answer` of it.
fn serve(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind(any_port()).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((len, source)) = socket.recv_from(&mut buffer) {
            socket.send_to(&answer(&buffer[..len]), source).unwrap();
        }
    });
    address
}

fn echo() -> SocketAddr {
    serve(<[u8]>::to_vec)
}

/// A host and a client, connected, and where the service appeared.
fn tunnel(service: SocketAddr, host: &[&str], client: &[&str]) -> (Pinhole, Pinhole, SocketAddr) {
    let target = format!("app=udp:{service}");
    let mut host = Pinhole::start("host", &[&["host", &target, "--json", "--no-stun"], host].concat());
    let url = host.url();
    let mut client = Pinhole::start("client", &[&["client", &url, "app=0", "--json", "--no-stun"], client].concat());
    let local = text(&client.event("forwarding"), "local");
    (host, client, local.strip_prefix("udp:").expect("it is one of datagrams").parse().unwrap())
}

fn socket(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(any_port()).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    socket
}

/// Asks until there is an answer: a datagram may be lost.
fn ask(socket: &UdpSocket, question: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; 65_535];
    let start = Instant::now();
    loop {
        socket.send(question).unwrap();
        match socket.recv(&mut answer) {
            Ok(len) => return answer[..len].to_vec(),
            Err(_) => assert!(start.elapsed() < DEADLINE, "no answer to {} bytes", question.len()),
        }
    }
}

#[test]
fn two_hundred_programs_get_their_own_answers() {
    for way in ["--no-relay", "--relay-only"] {
        let (mut host, mut client, local) = tunnel(echo(), &[], &[way]);
        let sockets: Vec<UdpSocket> = (0..200).map(|_| socket(local)).collect();
        for (number, socket) in sockets.iter().enumerate() {
            socket.send(format!("first {number}").as_bytes()).unwrap();
        }
        for (number, socket) in sockets.iter().enumerate() {
            let question = format!("again {number}");
            let answer = String::from_utf8(ask(socket, question.as_bytes())).unwrap();
            assert!(answer == question || answer == format!("first {number}"), "{answer} to {question}");
        }
        client.stop();
        host.stop();
    }
}

#[test]
fn datagrams_of_any_length_pass_in_one_piece() {
    for way in ["--no-relay", "--relay-only"] {
        let (mut host, mut client, local) = tunnel(echo(), &[], &[way]);
        let socket = socket(local);
        for len in [0, 1, 1200, 1500, 9000, 65_507] {
            let question: Vec<u8> = (0..len).map(|index: usize| (index * 7 + len) as u8).collect();
            assert!(ask(&socket, &question) == question, "{len} bytes {way}");
        }
        client.stop();
        host.stop();
    }
}

#[test]
fn a_flow_ends_when_it_is_idle_and_another_takes_its_place() {
    let (mut host, mut client, local) = tunnel(echo(), &["--udp-idle", "1"], &["--udp-idle", "1"]);
    let socket = socket(local);
    for _ in 0..2 {
        assert_eq!(ask(&socket, b"here"), b"here");
        client.event("stream-opened");
        client.event("stream-closed");
    }
    let is_over = |event: &Value| event["event"] == "stream-closed";
    host.find("the end of a flow", is_over);
    host.find("the end of another", is_over);
    client.stop();
    host.stop();
}

#[test]
fn a_target_that_is_not_there_yet_is_no_end() {
    let reserved = UdpSocket::bind(any_port()).unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let (mut host, mut client, local) = tunnel(address, &[], &[]);
    let socket = socket(local);
    socket.send(b"too early").unwrap();
    client.event("stream-opened");
    host.event("stream-opened");
    let late = UdpSocket::bind(address).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((len, source)) = late.recv_from(&mut buffer) {
            late.send_to(&buffer[..len], source).unwrap();
        }
    });
    // The first may have been under way until somebody was there.
    let answers = (0..2).map(|_| ask(&socket, b"now"));
    assert!(answers.into_iter().any(|answer| answer == b"now"));
    client.stop();
    host.stop();
}

#[test]
fn what_the_client_names_is_asked_if_it_is_allowed() {
    let service = echo();
    let rule = format!("udp:127.0.0.1:{}", service.port());
    let mut host = Pinhole::start("host", &["host", "--json", "--no-stun", "--allow", &rule]);
    let (good, bad) = (format!("udp:0:{service}"), "udp:0:127.0.0.1:1");
    let mut client = Pinhole::start("client", &["client", &host.url(), "--json", "--no-stun", "-L", &good, "-L", bad]);
    let mut locals = || {
        let event = client.event("forwarding");
        let local: SocketAddr = text(&event, "local").trim_start_matches("udp:").parse().unwrap();
        (text(&event, "service"), local)
    };
    let (first, second) = (locals(), locals());
    let (good, bad) = if first.0.ends_with(":1") { (second.1, first.1) } else { (first.1, second.1) };
    assert_eq!(ask(&socket(good), b"here"), b"here");
    socket(bad).send(b"there").unwrap();
    assert!(host.problem("warning", "denied").contains("udp:127.0.0.1:1"));
    client.stop();
    host.stop();
}

#[test]
fn dig_is_answered() {
    let Some(dig) = program("dig", "DNS through the tunnel") else { return };
    // The question comes back as an answer with one address (RFC 1035, section 4).
    let (mut host, mut client, local) = tunnel(
        serve(|question| {
            let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let head = [&question[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]].concat();
            [&head, &question[12..end], &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]].concat()
        }),
        &[],
        &[],
    );
    let output = Command::new(dig)
        .args(["@127.0.0.1", "-p", &local.port().to_string(), "+short", "+tries=10", "+time=2", "pinhole.test", "A"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "192.0.2.7", "{output:?}");

    let socket = socket(local);
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            ask(&socket, &[b"ab", &[0; 10][..], b"\x07pinhole\0\0\x01\0\x01"].concat());
            start.elapsed()
        })
        .collect();
    times.sort();
    figure(&format!("a question of DNS through the tunnel on loopback: median {:?}", times[times.len() / 2]));
    client.stop();
    host.stop();
}

#[test]
fn iperf3_loses_little() {
    let Some(iperf3) = program("iperf3", "UDP at 50 Mbit/s") else { return };
    let port = quiet_port().to_string();
    let mut server =
        Command::new(&iperf3).args(["-s", "-1", "-p", &port]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let (control, data) = (format!("control={port}"), format!("data=udp:{port}"));
    let mut host = Pinhole::start("host", &["host", &control, &data, "--json", "--no-stun"]);
    // Both have one port here, too: iperf3 knows no other way.
    let local = quiet_port().to_string();
    let (control, data) = (format!("control={local}"), format!("data=udp:{local}"));
    let mut client = Pinhole::start("client", &["client", &host.url(), &control, &data, "--json", "--no-stun"]);
    client.event("forwarding");
    wait_until("iperf3 to listen", || std::net::TcpListener::bind(("127.0.0.1", port.parse().unwrap())).is_err());
    let output = Command::new(iperf3)
        .args(["-c", "127.0.0.1", "-p", &local, "-u", "-b", "50M", "-l", "1200", "-t", "3", "-J"])
        .output();
    let result: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let lost = result["end"]["sum"]["lost_percent"].as_f64();
    figure(&format!("iperf3 -u -b 50M on loopback: {lost:?} % lost"));
    // The figure of a release build on a quiet machine is in docs/performance.md; this only finds what is broken.
    assert!(lost.is_some_and(|lost| lost < 20.0), "{result}");
    client.stop();
    host.stop();
    server.kill().ok();
    server.wait().unwrap();
}

#[test]
fn flows_beyond_those_of_a_host_take_the_places_of_the_largest_session() {
    raise_descriptor_limit().unwrap();
    let (mut host, client, local) = tunnel(echo(), &[], &[]);
    let url = text(&host.events_so_far()[0], "url");
    let mut other = Pinhole::start("other", &["client", &url, "app=0", "--json", "--no-stun"]);
    let others = text(&other.event("forwarding"), "local").strip_prefix("udp:").unwrap().parse().unwrap();
    let few: Vec<UdpSocket> = (0..24).map(|_| socket(others)).collect();
    assert!(few.iter().all(|socket| ask(socket, b"few") == b"few"));
    // A client itself lets programs have no more than that.
    let many: Vec<UdpSocket> = (0..1024).map(|_| socket(local)).collect();
    assert!(many.iter().all(|socket| ask(socket, b"many") == b"many"), "the newest are served");
    // Those of the other session are still the same ones.
    assert!(few.iter().all(|socket| ask(socket, b"still") == b"still"));
    let count = |events: Vec<Value>, name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(count(other.events_so_far(), "stream-opened"), 24);
    wait_until("the host ended what is beyond its bound", || count(host.events_so_far(), "stream-closed") == 24);
    assert_eq!(count(host.events_so_far(), "stream-opened"), 24 + 1024);
    for mut process in [client, other, host] {
        process.stop();
    }
}
