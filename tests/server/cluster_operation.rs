//! Several servers as one, and whoever runs them: a server that ends, secrets that are replaced, what is shown.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc;

use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::{FromServer, Instance, instance};
use serde_json::Value;

use super::in_process::get;
use crate::common::pinhole::Pinhole;
use crate::common::services::{echo, read_head, serve};
use crate::common::{connect, wait_until};
use crate::lab::{Client, Transfer, registered};
use crate::members::{Balancer, Member, SECRET, Secret, cluster, knows, meets};
use crate::raw::Raw;

const ADMINISTERED: [&str; 3] = ["--open", "--admin-listen", "127.0.0.1:0"];

/// What the administration says of the cluster.
fn overview(member: &Member) -> Value {
    member.server.shown("/cluster")
}

#[test]
fn a_server_that_ends_sends_its_hosts_to_others_and_cuts_nothing_that_can_end() {
    let secret = Secret::of("drain", SECRET);
    let [mut one, two] = cluster(&secret, &[&ADMINISTERED[..], &["--gateway-domain", "p.test"]].concat());
    let balancer = Balancer::to(one.address());
    let server = format!("ws://{}", balancer.address);
    let (asked, is_asked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = std::sync::Arc::new(std::sync::Mutex::new(may_go_on));
    let service = serve(move |mut stream| {
        read_head(&mut stream)?;
        let _ = asked.send(());
        let _ = may_go_on.lock().unwrap().recv();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ndone")
    });
    let web = format!("web={service}");
    let slow = ["--server", &server, "--id", "slow", &web, "--public", "web"];
    let mut slow = Pinhole::host(service, &slow);
    registered(&mut slow);
    let mut host = Pinhole::host(echo(), &["--server", &server, "--id", "myhost"]);
    let url = registered(&mut host).replace(&balancer.address.to_string(), &two.address().to_string());
    knows(&two, "slow");
    knows(&two, "myhost");
    let mut client = Client::of(&url, &["--relay-only"]);
    let mut transfer = Transfer::start(client.local, 3_000_000);
    transfer.take(1_000_000);
    let mut visitor = connect(two.address());
    visitor.write_all(b"GET / HTTP/1.1\r\nHost: slow.p.test\r\n\r\n").unwrap();
    is_asked.recv().unwrap();
    balancer.lead_to(vec![two.address()]);
    one.server.process.signal(Signal::SIGTERM);
    let draining = one.server.process.event("draining");
    assert_eq!((&draining["hosts"], &draining["clients"]), (&2.into(), &1.into()));
    assert!(get(one.server.admin(), "localhost", "/readyz").starts_with("HTTP/1.1 503"));
    // The one through which nothing is under way comes back while the other is still served.
    host.event("registered");
    transfer.finish();
    assert_eq!(overview(&one)["hosts"], 1, "one host is still here");
    assert!(get(two.address(), "slow.p.test", "/").starts_with("HTTP/1.1 503"), "nothing new goes there");
    go_on.send(()).unwrap();
    let head = read_head(&mut visitor).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut body = [0; 4];
    visitor.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"done");
    slow.event("registered");
    let ended = one.server.process.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let events = client.process.events_so_far();
    assert!(events.iter().all(|event| event["event"] != "disconnected" && event["event"] != "error"), "{events:?}");
    drop(go_on);
}

#[test]
fn hosts_of_a_server_that_ends_leave_one_after_the_other_and_are_never_unknown() {
    let secret = Secret::of("one-by-one", SECRET);
    let [mut one, two] = cluster(&secret, &["--open"]);
    let mut hosts: Vec<(String, Instance, Raw)> = (0..40)
        .map(|number| {
            let (id, instance) = (format!("host-{number}"), instance());
            let mut host = Raw::asking(one.address(), &id, None, instance);
            host.is_registered();
            (id, instance, host)
        })
        .collect();
    one.server.process.signal(Signal::SIGTERM);
    let second = two.address();
    let asks = |id: &str| {
        let mut client = Raw::client(second, id);
        client.text("hello");
        let FromServer::Error(error) = client.next_from_server() else { panic!("no host answers") };
        error.code.as_str().to_owned()
    };
    let mut back = Vec::new();
    for (id, instance, mut host) in hosts.drain(..) {
        let FromServer::Error(error) = host.next_from_server() else { panic!("it is told why") };
        assert_eq!((error.code.as_str(), error.retry_after), ("restart", Some(1)));
        assert_eq!(host.closed(), Some(1001));
        assert_eq!(asks(&id), "busy", "{id}");
        let mut host = Raw::asking(second, &id, None, instance);
        host.is_registered();
        back.push(host);
    }
    assert_eq!((one.server.process.end().code, back.len()), (Some(0), 40));
    assert_eq!(two.metric("pinhole_hosts"), 40);
}

#[test]
fn a_server_is_ready_once_it_knows_all_hosts_and_whatever_happens_to_others_later() {
    let secret = Secret::of("ready", SECRET);
    let [mut one, two] = cluster(&secret, &ADMINISTERED);
    let ready = |member: &Member| get(member.address(), "localhost", "/readyz").starts_with("HTTP/1.1 200");
    wait_until("both are ready", || ready(&one) && ready(&two));
    assert!(get(two.server.admin(), "localhost", "/readyz").starts_with("HTTP/1.1 200"));
    one.kill();
    two.has_links(0);
    assert!(ready(&two));
    // One that is started while another is missing waits for it a little.
    let three = Member::start(&secret, &[one.peers.address], &["--open"]);
    assert!(get(three.address(), "localhost", "/readyz").contains("waiting for the hosts of other servers"));
    wait_until("it serves without the other", || ready(&three));
}

#[test]
fn secrets_are_replaced_without_a_restart_and_without_losing_a_link() {
    let (secret, next) = (Secret::of("rotated", SECRET), "the secret that follows");
    let [mut one, mut two] = cluster(&secret, &["--open"]);
    let same = instance();
    let mut host = Raw::asking(one.address(), "myhost", Some("token"), same);
    host.is_registered();
    knows(&two, "myhost");
    for lines in [format!("{SECRET}\n{next}"), format!("{next}\n{SECRET}"), next.to_owned()] {
        fs::write(secret.path(), &lines).unwrap();
        for member in [&mut one, &mut two] {
            member.server.process.signal(Signal::SIGHUP);
            member
                .server
                .process
                .find("secrets", |event| event["event"] == "reloaded" && event["what"] == "cluster-secret");
        }
        meets(two.address(), "myhost", &mut host);
    }
    // Nonsense changes nothing.
    fs::write(secret.path(), "short").unwrap();
    one.server.process.signal(Signal::SIGHUP);
    let said = one.server.process.problem("warning", "reload");
    assert!(said.contains("the cluster's secrets stay as they were") && !said.contains("short"), "{said}");
    fs::write(secret.path(), next).unwrap();
    // Whoever has the new one only belongs to them, and whoever has the old one does not.
    let three = Member::start(&secret, &[one.peers.address, two.peers.address], &["--open"]);
    three.has_links(2);
    let old = Secret::of("old", SECRET);
    let mut late = Member::start(&old, &[one.peers.address], &["--open"]);
    assert!(late.server.process.problem("warning", "peer").contains("another cluster secret"));
    // Its owner and its process are known by the new tags.
    let register = |server: SocketAddr, token, instance| {
        let mut host = Raw::asking(server, "myhost", Some(token), instance);
        (host.next_from_server(), host)
    };
    let (answer, _) = register(three.address(), "other", instance());
    assert!(matches!(&answer, FromServer::Error(error) if error.code.as_str() == "id-taken"), "{answer:?}");
    let (answer, mut moved) = register(three.address(), "token", same);
    assert!(matches!(answer, FromServer::Registered { .. }), "{answer:?}");
    assert_eq!(host.closed(), None, "it moved, and is not told that it was replaced");
    meets(two.address(), "myhost", &mut moved);
    for member in [&mut one, &mut two] {
        let events = member.server.process.events_so_far();
        assert!(events.iter().all(|event| event["event"] != "peer-lost"), "{events:?}");
    }
}

#[test]
fn the_administration_shows_links_and_dials_and_the_metrics_count_what_crosses_them() {
    let secret = Secret::of("shown", SECRET);
    let mut one = Member::start(&secret, &[], &ADMINISTERED);
    let nobody = crate::common::ReservedPort::new().address;
    let two = Member::start(&secret, &[one.peers.address, nobody], &ADMINISTERED);
    one.has_links(1);
    let mut host = Raw::host(one.address(), "myhost");
    let (client, _) = meets(two.address(), "myhost", &mut host);
    let mut stranger = Raw::client(two.address(), "nobody");
    stranger.text("hello");
    assert_eq!(stranger.refused().code, "busy", "one server is missing");
    let (first, second) = (overview(&one), overview(&two));
    let (peer, dials) = (&second["peers"][0], second["dials"].as_array().unwrap());
    assert_eq!((&peer["server"], &peer["hosts"], &peer["dialled"]), (&first["server"], &1.into(), &true.into()));
    assert_eq!((&first["peers"][0]["server"], &first["peers"][0]["dialled"]), (&second["server"], &false.into()));
    assert!(peer["streams"].as_u64() >= Some(1) && peer["linked_ms"].is_u64() && peer["waiting_bytes"].is_u64());
    assert_eq!((&dials[0]["state"], &dials[0]["server"]), (&"linked".into(), &first["server"]));
    assert!(dials[1]["state"] != "linked" && dials[1]["url"].as_str().unwrap().contains(&nobody.to_string()));
    wait_until("why it cannot be reached", || overview(&two)["dials"][1]["error"].is_string());
    assert_eq!((&second["complete"], &first["complete"]), (&false.into(), &true.into()));
    assert_eq!(two.metric("pinhole_cluster_conversations_total{direction=\"to_peers\"}"), 1);
    assert_eq!(one.metric("pinhole_cluster_conversations_total{direction=\"from_peers\"}"), 1);
    assert!(two.metric("pinhole_cluster_bytes_total{direction=\"to_peers\"}") > 100);
    assert!(two.metric("pinhole_lookups_total{result=\"elsewhere\"}") >= 1);
    assert!(two.metric("pinhole_lookups_total{result=\"away\"}") >= 1);
    assert_eq!(two.metric("pinhole_lookups_total{result=\"nowhere\"}"), 0, "not as long as one is missing");
    drop(client);
    wait_until("its stream is over", || overview(&two)["peers"][0]["streams"] == 0);
    one.kill();
    wait_until("the loss is shown", || overview(&two)["dials"][0]["error"].is_string());
    assert_eq!(overview(&two)["peers"], Value::Array(Vec::new()));
    let alone = crate::lab::Server::start(&ADMINISTERED);
    assert_eq!(alone.administer("GET", "/cluster").status, 404);
}
