//! How sessions end: on a signal, in order or at once, with `--once`, and without notice.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::pinhole::{Pair, Pinhole, run, text};
use crate::common::services::echo;
use crate::common::system::figure;
use crate::common::{ReservedPort, connect, ping, wait_until};

/// A stream that is open on both sides.
fn open_stream(local: SocketAddr) -> TcpStream {
    let mut stream = connect(local);
    ping(&mut stream);
    stream
}

/// Tells whether nothing listens at the address.
fn is_free(local: SocketAddr) -> bool {
    TcpListener::bind(local).is_ok()
}

#[test]
fn a_host_that_ends_frees_the_clients_port_and_exits_0() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for (once, code) in [(&[][..], 1), (&["--once"][..], 0)] {
            let mut host = Pinhole::host(echo(), &[]);
            let mut client = Pinhole::client(&host.url(), once);
            let local = client.local();
            drop(open_stream(local));
            client.event("stream-closed");
            let start = Instant::now();
            host.signal(signal);
            wait_until("the client's port to be free", || is_free(local));
            figure(&format!("from {signal} on the host to the client's port being free: {:?}", start.elapsed()));
            assert_eq!(host.end().code, Some(0));
            let ended = client.end();
            assert_eq!(ended.code, Some(code), "{ended:?}");
            let events = client.events_so_far();
            let disconnected = events.iter().find(|event| event["event"] == "disconnected").unwrap();
            assert!(text(disconnected, "reason").contains("ended"), "{disconnected}");
            if code == 1 {
                let error = events.last().unwrap();
                assert_eq!((&error["event"], &error["code"]), (&"error".into(), &"host-ended".into()));
                assert_eq!(text(error, "message"), "the host ended the session");
            }
        }
    }
}

#[test]
fn a_person_is_told_that_the_host_ended_the_session() {
    let mut host = Pinhole::host(echo(), &[]);
    let mut client = Pinhole::start("client", &["client", &host.url(), "0"]);
    host.event("connected");
    host.stop();
    client.end().expect(1, &["the host ended the session"]);
}

#[test]
fn a_client_that_ends_exits_0_and_the_host_serves_the_next() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut client = Pinhole::client(&url, &[]);
        let _stream = open_stream(client.local());
        client.signal(signal);
        assert_eq!(client.end().code, Some(0));
        let disconnected = host.event("disconnected");
        assert!(text(&disconnected, "reason").contains("ended"), "{disconnected}");
    }
    host.stop();
}

#[test]
fn what_is_open_may_finish_when_a_host_ends() {
    let mut pair = Pair::of(echo());
    let mut stream = open_stream(pair.local);
    pair.host.signal(Signal::SIGINT);
    wait_until("the client's port to be free", || is_free(pair.local));
    ping(&mut stream);
    drop(stream);
    assert_eq!(pair.host.end().code, Some(0));
    let closed = pair.host.events_so_far().into_iter().find(|event| event["event"] == "stream-closed").unwrap();
    assert_eq!((&closed["reason"], &closed["sent"]), (&"closed".into(), &8.into()), "{closed}");
    assert_eq!(pair.client.end().code, Some(1));
}

#[test]
fn what_stays_open_is_reset_in_the_end() {
    let mut pair = Pair::of(echo());
    let mut stream = open_stream(pair.local);
    let start = Instant::now();
    pair.host.signal(Signal::SIGINT);
    let end = stream.read(&mut [0; 16]).map_err(|error| error.kind());
    figure(&format!("from SIGINT on the host to the reset of an open stream: {:?}", start.elapsed()));
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(pair.host.end().code, Some(0));
    assert_eq!(pair.client.end().code, Some(1));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut pair = Pair::of(echo());
    let _stream = open_stream(pair.local);
    pair.host.signal(Signal::SIGINT);
    wait_until("the client's port to be free", || is_free(pair.local));
    let start = Instant::now();
    pair.host.signal(Signal::SIGINT);
    assert_eq!(pair.host.end().code, Some(0));
    figure(&format!("from the second SIGINT to the end of the host: {:?}", start.elapsed()));
    // An end in order, which comes after two seconds, reports the end of the session.
    let events = pair.host.events_so_far();
    assert!(!events.iter().any(|event| event["event"] == "disconnected"), "{events:?}");
    assert_eq!(pair.client.end().code, Some(1));
}

#[test]
fn a_signal_before_there_is_a_session_ends_both_sides() {
    let mut host = Pinhole::host(echo(), &[]);
    host.url();
    host.signal(Signal::SIGINT);
    assert_eq!(host.end().code, Some(0));

    // Takes connections and never answers.
    let silent = TcpListener::bind(crate::common::any_port()).unwrap();
    let url = format!("ws://{}/ws?pin=1", silent.local_addr().unwrap());
    let mut client = Pinhole::client(&url, &[]);
    let _connection = silent.accept().unwrap();
    client.signal(Signal::SIGINT);
    assert_eq!(client.end().code, Some(0));
}

#[test]
fn a_host_with_once_ends_after_its_first_established_session() {
    let mut host = Pinhole::host(echo(), &["--once", "--pin", "123456"]);
    let url = host.url();
    run(&["client", &url.replace("123456", "1"), "0"]).expect(1, &["the pin does not match"]);
    host.problem("warning", "bad-pin");
    let mut client = Pinhole::client(&url, &[]);
    drop(open_stream(client.local()));
    client.stop();
    assert_eq!(host.end().code, Some(0));
    let names: Vec<_> = host.events_so_far().iter().map(|event| text(event, "event")).collect();
    assert_eq!(names.last().map(String::as_str), Some("disconnected"), "{names:?}");
}

#[test]
fn a_peer_that_was_killed_is_noticed() {
    let mut widowed_client = Pair::start(echo(), &["--grace", "6"]);
    let mut widowed_host = Pair::start(echo(), &["--grace", "6"]);
    let url = text(&widowed_host.host.events_so_far()[0], "url");
    let stream = open_stream(widowed_client.local);
    let _other = open_stream(widowed_host.local);
    let start = Instant::now();
    widowed_client.host.signal(Signal::SIGKILL);
    widowed_host.client.signal(Signal::SIGKILL);

    let mut next = Pinhole::client(&url, &[]);
    drop(open_stream(next.local()));

    widowed_client.client.event("recovering");
    figure(&format!("from kill -9 of the host until the client notices: {:?}", start.elapsed()));
    widowed_host.host.event("recovering");
    figure(&format!("from kill -9 of the client until the host notices: {:?}", start.elapsed()));
    let disconnected = widowed_client.client.event("disconnected");
    assert!(text(&disconnected, "reason").contains("path"), "{disconnected}");
    assert!(is_reset(stream), "the local program learns it");
    widowed_client.client.event("reconnecting");
    let waiting = connect(widowed_client.local);
    assert!(is_reset(waiting), "who waits for a session in vain learns it");
    widowed_client.client.stop();
    let disconnected = widowed_host.host.event("disconnected");
    assert!(text(&disconnected, "reason").contains("path"), "{disconnected}");

    next.stop();
    let mut last = Pinhole::client(&url, &[]);
    drop(open_stream(last.local()));
    last.stop();
    widowed_host.host.stop();
}

#[test]
fn a_host_that_is_started_again_is_found_again() {
    let service = echo();
    let (target, listen) = (service.to_string(), ReservedPort::new());
    let arguments = ["host", &target, "--json", "--no-stun", "--pin", "1", "--listen", &listen.address.to_string()];
    let start = || Pinhole::start("host", &arguments);
    drop(listen);
    let mut host = start();
    let url = host.url();
    let mut client = Pinhole::client(&url, &[]);
    let local = client.local();
    let stream = open_stream(local);
    let killed = Instant::now();
    host.signal(Signal::SIGKILL);
    client.event("recovering");
    figure(&format!("from kill -9 of the host until the client says so: {:?}", killed.elapsed()));
    let restarted = Instant::now();
    let mut host = start();
    host.url();
    client.event("disconnected");
    assert!(is_reset(stream), "a stream of the process that is gone");
    client.event("connected");
    drop(open_stream(local));
    figure(&format!("from the host's new start until the client forwards: {:?}", restarted.elapsed()));
    client.stop();
    host.stop();
}

#[test]
fn a_host_that_is_full_makes_room_for_who_has_a_path() {
    let mut host = Pinhole::host(echo(), &["--max-sessions", "1"]);
    let url = host.url();
    let mut gone = Pinhole::client(&url, &[]);
    gone.local();
    let mut refused = Pinhole::client(&url, &[]);
    refused.end().expect(1, &[r#""code":"full""#]);
    gone.signal(Signal::SIGKILL);
    host.event("recovering");
    // A session that only just lost its path is not thrown out.
    let mut refused = Pinhole::client(&url, &[]);
    refused.end().expect(1, &[r#""code":"full""#]);
    let mut admitted = None;
    wait_until("the host to make room", || {
        let mut next = Pinhole::client(&url, &[]);
        let is_admitted = text(&next.next(), "event") == "connected";
        admitted = is_admitted.then_some(next);
        is_admitted
    });
    let mut next = admitted.expect("one was let in");
    drop(open_stream(next.local()));
    next.stop();
    host.stop();
}

#[test]
fn a_wrong_pin_after_a_restart_ends_the_client() {
    let (target, listen) = (echo().to_string(), ReservedPort::new());
    let address = listen.address.to_string();
    drop(listen);
    let host =
        |pin| Pinhole::start("host", &["host", &target, "--json", "--no-stun", "--pin", pin, "--listen", &address]);
    let mut first = host("1");
    let mut client = Pinhole::client(&first.url(), &[]);
    client.local();
    first.signal(Signal::SIGKILL);
    client.event("recovering");
    let mut second = host("2");
    second.url();
    client.end().expect(1, &["the pin does not match"]);
    second.stop();
}

fn is_reset(mut stream: TcpStream) -> bool {
    stream.read(&mut [0; 16]).is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
}
