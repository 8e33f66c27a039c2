//! Hosts and clients that know several servers of a cluster: servers that die, freeze and drain, and names of which not
//! every address answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::pinhole::Pinhole;
use crate::common::services::echo;
use crate::common::system::skipped;
use crate::common::{ping, quiet_port};
use crate::forwarder::Forwarder;
use crate::lab::{Client, Transfer, check_echo, registered};
use crate::members::{SECRET, Secret, at, cluster, knows};

/// How a server is taken away, and how long its host may take to be elsewhere.
const WAYS: [(Signal, Duration); 3] = [
    (Signal::SIGKILL, Duration::from_secs(5)),
    (Signal::SIGTERM, Duration::from_secs(5)),
    // It is noticed after 10 to 15 seconds; then one of the others has to answer.
    (Signal::SIGSTOP, Duration::from_secs(20)),
];

fn url(server: SocketAddr) -> String {
    format!("ws://{server}")
}

/// Starts a host that knows these servers, and waits until it is registered. Returns its URL, too.
fn host_at(servers: &[SocketAddr]) -> (Pinhole, String) {
    let urls: Vec<String> = servers.iter().map(|server| url(*server)).collect();
    let servers: Vec<&str> = urls.iter().flat_map(|url| ["--server", url]).collect();
    let mut host = Pinhole::host(echo(), &[&servers[..], &["--id", "myhost", "--token", "the-token"]].concat());
    let url = registered(&mut host);
    (host, url)
}

#[test]
fn sessions_outlive_the_server_of_their_host_however_it_is_lost() {
    let secret = Secret::of("failover", SECRET);
    for (signal, limit) in WAYS {
        let [mut one, two] = cluster(&secret, &["--open"]);
        let (mut host, at_one) = host_at(&[one.address(), two.address()]);
        assert!(at_one.starts_with(&url(one.address())), "{at_one}");
        knows(&two, "myhost");
        let other = url(two.address());
        let mut direct = Client::of(&at_one, &["--no-relay", "--server", &other]);
        let relayed = Client::of(&at_one, &["--relay-only", "--server", &other]);
        let across = Client::of(&at(&at_one, &one, &two), &["--relay-only"]);
        let mut held = direct.stream();
        let mut transfers = [&relayed, &across].map(|client| Transfer::start(client.local, 3_000_000));
        transfers.iter_mut().for_each(|transfer| transfer.take(100_000));

        let begin = Instant::now();
        one.server.process.signal(signal);
        let moved = registered(&mut host);
        let took = begin.elapsed();
        assert!(took <= limit, "{signal}: {took:?}");
        assert!(moved.starts_with(&other), "{moved}");
        transfers.into_iter().for_each(Transfer::finish);
        for client in [&relayed, &across, &direct] {
            check_echo(client.local, 100_000);
        }
        ping(&mut held);
        direct.is_undisturbed();
        // Whoever comes now finds it, although the first server of its list is gone.
        let mut late = Client::of(&at_one, &["--relay-only", "--server", &other]);
        check_echo(late.local, 10_000);
        late.process.stop();
        one.kill();
    }
}

#[test]
fn a_frozen_server_that_goes_on_does_not_get_its_host_back() {
    let secret = Secret::of("thaw", SECRET);
    let [one, two] = cluster(&secret, &["--open"]);
    let (mut host, _) = host_at(&[one.address(), two.address()]);
    knows(&two, "myhost");
    one.server.process.signal(Signal::SIGSTOP);
    let moved = registered(&mut host);
    assert!(moved.starts_with(&url(two.address())), "{moved}");
    one.server.process.signal(Signal::SIGCONT);
    one.has_links(1);
    // Through both, the host is where it went.
    for server in [&one, &two] {
        knows(server, "myhost");
        let mut client = Client::of(&at(&moved, &two, server), &["--relay-only", "--retry"]);
        check_echo(client.local, 10_000);
        client.process.stop();
    }
    let events = host.events_so_far();
    assert!(events.iter().all(|event| event["event"] != "error"), "{events:?}");
    host.stop();
}

#[test]
fn a_host_that_changes_servers_all_the_time_is_never_replaced() {
    let secret = Secret::of("laptop", SECRET);
    let [one, two] = cluster(&secret, &["--open"]);
    let ways = [&one, &two].map(|member| Forwarder::to(member.address()));
    let (mut host, mut present) = host_at(&[ways[0].address, ways[1].address]);
    for round in 0..10 {
        // The server does not notice, and still has the host when that comes to the other one.
        ways[round % 2].cut_near();
        present = registered(&mut host);
        assert!(present.starts_with(&url(ways[(round + 1) % 2].address)), "{round}: {present}");
    }
    let client = Client::of(&present, &["--relay-only"]);
    check_echo(client.local, 100_000);
    assert!(host.events_so_far().iter().all(|event| event["event"] != "error"));
    host.stop();
}

#[test]
fn a_client_comes_to_the_server_that_is_left() {
    let secret = Secret::of("clients", SECRET);
    let [mut one, two] = cluster(&secret, &["--open"]);
    let (host, at_two) = host_at(&[two.address()]);
    one.kill();
    let at_one = at(&at_two, &two, &one);
    let client = Client::of(&at_one, &["--relay-only", "--server", &url(two.address())]);
    check_echo(client.local, 100_000);
    // No server knows this one: each is asked once.
    one.server.start_again();
    two.has_links(1);
    let nobody = at_one.replace("/myhost", "/nobody");
    let ended = Pinhole::client(&nobody, &["--server", &url(two.address())]).end();
    ended.expect(1, &["unknown-host", "trying another server"]);
    drop(host);
}

#[test]
fn every_address_of_a_name_is_tried() {
    let port = quiet_port();
    let [silent, alive] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].map(|ip| SocketAddr::new(ip, port));
    if TcpListener::bind(alive).is_err() {
        return skipped("every address of a name is tried", "there is no IPv6 here");
    }
    // The first address of localhost takes connections and says nothing.
    let silent = TcpListener::bind(silent).unwrap();
    let mut server = Pinhole::start("server", &["server", "--open", "--json", "--listen", &alive.to_string()]);
    server.event("serving");
    let mut host = Pinhole::host(echo(), &["--server", &format!("ws://localhost:{port}"), "--id", "myhost"]);
    let url = registered(&mut host);
    let client = Client::of(&url, &["--relay-only"]);
    check_echo(client.local, 10_000);
    silent.set_nonblocking(true).unwrap();
    let tried = std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(tried, 2, "the host's and the client's");
}
