//! Several servers as one, of which some stand still, or cannot hear each other.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::instance;

use super::in_process::get;
use crate::common::connect;
use crate::common::services::{echo, serve};
use crate::forwarder::{Forwarder, Half};
use crate::lab::{Client, check_echo};
use crate::members::{Member, SECRET, Secret, at, cluster, knows, meets};
use crate::raw::Raw;

/// What a client is told that asks for a host.
fn asks(member: &Member, id: &str) -> String {
    let mut client = Raw::client(member.address(), id);
    client.text("hello");
    client.refused().code
}

/// Begins a request, and returns the connection before there is an answer.
fn begin_request(member: &Member, host: &str) -> TcpStream {
    let mut stream = connect(member.address());
    write!(stream, "GET /slow HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

#[test]
fn hosts_of_a_server_that_stands_still_are_busy_and_there_again_once_it_goes_on() {
    let secret = Secret::of("still", SECRET);
    let [one, mut two] = cluster(&secret, &["--open", "--gateway-domain", "p.test"]);
    let host = one.server.host("myhost", echo(), &[]);
    knows(&two, "myhost");
    let client = Client::of(&at(&host.url, &one, &two), &["--relay-only"]);
    let mut stream = client.stream();
    one.server.process.signal(Signal::SIGSTOP);
    two.server.process.event("peer-lost");
    assert_eq!((asks(&two, "myhost"), asks(&two, "nobody")), ("busy".to_owned(), "busy".to_owned()));
    assert!(get(two.address(), "myhost.p.test", "/").starts_with("HTTP/1.1 503"));
    one.server.process.signal(Signal::SIGCONT);
    two.server.process.event("peer-linked");
    // The stream was open all the time.
    crate::common::ping(&mut stream);
    check_echo(client.local, 500_000);
}

#[test]
fn a_request_that_is_under_way_to_a_server_that_stands_still_is_answered() {
    let secret = Secret::of("answered", SECRET);
    let [one, mut two] = cluster(&secret, &["--open", "--gateway-domain", "p.test"]);
    let (asked, is_asked) = std::sync::mpsc::channel();
    let service = serve(move |mut stream| {
        crate::common::services::read_head(&mut stream)?;
        let _ = asked.send(());
        // Until the other side ends.
        std::io::copy(&mut stream, &mut std::io::sink()).map(|_| ())
    });
    let web = format!("web={service}");
    let _host = one.server.host("web", service, &[&web, "--public", "web"]);
    knows(&two, "web");
    let mut visitor = begin_request(&two, "web.p.test");
    is_asked.recv().unwrap();
    one.server.process.signal(Signal::SIGSTOP);
    two.server.process.event("peer-lost");
    let head = crate::common::services::read_head(&mut visitor).unwrap();
    assert!(head.starts_with("HTTP/1.1 50"), "{head}");
    one.server.process.signal(Signal::SIGCONT);
}

#[test]
fn a_way_that_passes_nothing_in_one_direction_is_no_link() {
    for half in [Half::FromNear, Half::FromFar] {
        let secret = Secret::of(&format!("{half:?}"), SECRET);
        let mut one = Member::start(&secret, &[], &["--open"]);
        let between = Forwarder::to(one.peers.address);
        let mut two = Member::start(&secret, &[between.address], &["--open"]);
        two.server.process.event("peer-linked");
        one.server.process.event("peer-linked");
        let mut host = Raw::host(one.address(), "myhost");
        meets(two.address(), "myhost", &mut host);
        between.swallow(Some(half));
        two.server.process.event("peer-lost");
        one.server.process.event("peer-lost");
        assert_eq!(asks(&two, "myhost"), "busy");
        // No greeting gets through, so nothing is announced.
        let until = Instant::now() + Duration::from_secs(7);
        while Instant::now() < until {
            assert_eq!((one.metric("pinhole_cluster_links"), two.metric("pinhole_cluster_links")), (0, 0));
            thread::park_timeout(Duration::from_millis(50));
        }
        between.swallow(None);
        two.server.process.event("peer-linked");
        meets(two.address(), "myhost", &mut host);
    }
}

#[test]
fn a_link_that_is_busy_in_one_direction_is_not_taken_for_dead() {
    let secret = Secret::of("bulk", SECRET);
    let [one, mut two] = cluster(&secret, &["--open"]);
    let host = one.server.host("myhost", crate::common::services::source(), &[]);
    knows(&two, "myhost");
    let client = Client::of(&at(&host.url, &one, &two), &["--relay-only"]);
    let mut stream = connect(client.local);
    writeln!(stream, "100000000000").unwrap();
    let (mut piece, until) = (vec![0; 256 * 1024], Instant::now() + Duration::from_secs(7));
    let mut taken = 0;
    while Instant::now() < until {
        taken += std::io::Read::read(&mut stream, &mut piece).unwrap();
    }
    assert!(taken > 1_000_000, "{taken}");
    assert!(two.server.process.events_so_far().iter().all(|event| event["event"] != "peer-lost"));
}

#[test]
fn a_host_that_is_alive_is_told_that_it_was_replaced_at_another_server_and_one_that_is_not_is_dropped() {
    let secret = Secret::of("alive", SECRET);
    let [mut one, two] = cluster(&secret, &["--open"]);
    let register = |server: &Member| {
        let mut host = Raw::asking(server.address(), "myhost", Some("token"), instance());
        host.is_registered();
        host
    };
    // It does not read, and so does not answer.
    let silent = register(&one);
    knows(&two, "myhost");
    let mut alive = register(&two);
    // The other one need not wait for that.
    meets(two.address(), "myhost", &mut alive);
    let left = one.server.process.event("host-left");
    assert!(left["reason"].as_str().unwrap().contains("did not answer"), "{left}");
    assert_eq!(silent.closed(), None, "without a word");
    meets(one.address(), "myhost", &mut alive);
    let mut third = register(&one);
    assert_eq!(alive.refused().code, "replaced");
    meets(two.address(), "myhost", &mut third);
}

#[test]
fn a_host_is_known_at_every_server_once_it_was_told_that_it_is_registered() {
    let secret = Secret::of("known", SECRET);
    let [one, two, three] = cluster(&secret, &["--open"]);
    let mut unknown = 0;
    let hosts: Vec<Raw> = (0..200)
        .map(|number| {
            let id = format!("host-{number}");
            let host = Raw::host(one.address(), &id);
            for other in [&two, &three] {
                let mut client = Raw::client(other.address(), &id);
                client.text("hello");
                client.0.send(tungstenite::Message::Ping("known?".into())).unwrap();
                unknown += usize::from(!matches!(client.0.read(), Ok(tungstenite::Message::Pong(_))));
            }
            host
        })
        .collect();
    assert_eq!((unknown, hosts.len()), (0, 200));
}
