//! Several servers as one: hosts at one, and clients, visitors and dials at another.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;

use nix::sys::signal::Signal;
use pinhole::internals::cluster::greeting::Dialler;
use pinhole::internals::cluster::{Here, Names, Sealing, Secrets, ServerId};
use pinhole::internals::signaling::binary::Binary;
use pinhole::internals::signaling::rendezvous::{FromServer, Packet, Payload, instance};
use tungstenite::Message;

use super::in_process::get;
use crate::common::pinhole::Pinhole;
use crate::common::services::{echo, serve};
use crate::common::{ReservedPort, connect, wait_until};
use crate::forwarder::Forwarder;
use crate::lab::{Client, Server, check_echo, registered};
use crate::members::{Balancer, Member, SECRET, Secret, at, cluster, knows, meets};
use crate::raw::Raw;

#[test]
fn clients_join_hosts_of_other_servers() {
    let secret = Secret::of("clients", SECRET);
    let [one, two, three] = cluster(&secret, &["--open"]);
    let host = one.server.host("myhost", echo(), &[]);
    for other in [&two, &three, &one] {
        knows(other, "myhost");
        let mut client = Client::of(&at(&host.url, &one, other), &["--relay-only"]);
        check_echo(client.local, 3_000_000);
        client.process.stop();
    }
    let client = Client::of(&at(&host.url, &one, &two), &["--no-relay"]);
    check_echo(client.local, 100_000);
    assert_eq!((one.metric("pinhole_hosts"), two.metric("pinhole_hosts")), (1, 0));
}

#[test]
fn servers_that_dial_each_other_have_one_link() {
    let secret = Secret::of("both", SECRET);
    let later = ReservedPort::new();
    let one = Member::start(&secret, &[later.address], &["--open"]);
    let listen = later.address.to_string();
    let url = format!("ws://{}", one.peers.address);
    let own = ["--open", "--peer-listen", &listen, "--cluster-secret-file", secret.path(), "--peer", &url];
    let two = Member { server: Server::start(&own), peers: later };
    one.has_links(1);
    two.has_links(1);
    let mut host = Raw::host(one.address(), "myhost");
    meets(two.address(), "myhost", &mut host);
}

#[test]
fn messages_of_any_size_pass_in_both_directions_in_order() {
    let secret = Secret::of("messages", SECRET);
    let [one, two] = cluster(&secret, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    let (mut client, number) = meets(two.address(), "myhost", &mut host);
    for len in [0, 1, 16_384, 60_000, 65_000] {
        let bytes = vec![7; len];
        client.binary(bytes.clone());
        assert_eq!(host.packet(), Packet { conversation: number, payload: Payload::Binary(bytes.clone().into()) });
        host.binary(Packet { conversation: number, payload: Payload::Binary(bytes.clone().into()) }.encode());
        assert_eq!(client.next(), Message::binary(bytes));
    }
    host.say(number, "bye");
    host.text(format!(r#"{{"type":"left","conversation":{number}}}"#));
    assert_eq!(client.next_text(), "bye", "what was said before the end arrives");
    assert_eq!(client.closed(), Some(1000));
    // And the other way round.
    let (client, number) = meets(two.address(), "myhost", &mut host);
    drop(client);
    assert_eq!(host.next_from_server(), FromServer::Left { conversation: number });
}

#[test]
fn visitors_reach_services_of_hosts_at_other_servers() {
    let secret = Secret::of("visitors", SECRET);
    let [one, two] = cluster(&secret, &["--open", "--gateway-domain", "p.test"]);
    let service = serve(|mut stream| {
        let head = crate::common::services::read_head(&mut stream)?;
        let body = format!("you asked for {}", head.lines().next().unwrap_or_default());
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    });
    let web = format!("web={service}");
    let mut host = one.server.start_host("web", service, &[&web, "--public", "web"]);
    registered(&mut host);
    let mut login = one.server.start_host("closed", service, &[&web, "--public", "web", "--public-auth", "u:p"]);
    registered(&mut login);
    for server in [&two, &one] {
        knows(server, "web");
        knows(server, "closed");
        let answer = get(server.address(), "web.p.test", "/page");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("you asked for GET /page"), "{answer}");
        assert!(get(server.address(), "closed.p.test", "/").starts_with("HTTP/1.1 401"));
        assert!(get(server.address(), "nobody.p.test", "/").starts_with("HTTP/1.1 404"));
    }
}

#[test]
fn dials_go_through_hosts_of_other_servers_and_are_checked_there() {
    use sha2::{Digest as _, Sha256};
    let secret = Secret::of("dials", SECRET);
    let hash = Sha256::digest("the-token").iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let tokens = Secret::of("tokens", &format!("[[token]]\nhash = \"{hash}\"\nids = [\"*\"]\ndial = true\n"));
    let none = Secret::of("fewer", &format!("[[token]]\nhash = \"{hash}\"\nids = [\"*\"]\n"));
    let mut one = Member::start(&secret, &[], &["--tokens", tokens.path()]);
    let own = ["--tokens", tokens.path(), "--proxy-listen", "127.0.0.1:0"];
    let two = Member::start(&secret, &[one.peers.address], &own);
    two.has_links(1);
    let target = echo();
    let more = ["--allow", &target.to_string(), "--server-dial", "--token", "the-token"];
    let mut host = one.server.start_host("myhost", target, &more);
    registered(&mut host);
    let proxy: SocketAddr = two.server.serving["proxy"].as_str().unwrap().parse().unwrap();
    let dial = || {
        use data_encoding::BASE64;
        let login = BASE64.encode(b"myhost:the-token");
        let mut stream = connect(proxy);
        write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {login}\r\n\r\n")
            .unwrap();
        let head = crate::common::services::read_head(&mut stream).unwrap();
        (stream, head)
    };
    wait_until("the host at the other server", || !dial().1.contains(" 404 "));
    let (mut stream, head) = dial();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    crate::common::ping(&mut stream);
    // The server of the host has the last word about a token.
    fs::copy(none.path(), tokens.path()).unwrap();
    one.server.process.signal(Signal::SIGHUP);
    one.server.process.event("reloaded");
    let (_, head) = dial();
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
}

#[test]
fn a_host_whose_server_dies_is_back_at_another_under_its_name() {
    let secret = Secret::of("killed", SECRET);
    let [mut one, two, three] = cluster(&secret, &["--open"]);
    let balancer = Balancer::to(one.address());
    let server = format!("ws://{}", balancer.address);
    let mut host = Pinhole::host(echo(), &["--server", &server, "--id", "myhost"]);
    let url = registered(&mut host).replace(&balancer.address.to_string(), &three.address().to_string());
    knows(&three, "myhost");
    let client = Client::of(&url, &["--relay-only"]);
    let mut stream = client.stream();
    one.kill();
    balancer.lead_to(vec![two.address()]);
    host.event("registered");
    // The stream was open all the time; the client was told to come again, and did.
    crate::common::ping(&mut stream);
    check_echo(client.local, 500_000);
}

#[test]
fn what_may_be_elsewhere_is_busy_and_never_unknown() {
    let secret = Secret::of("busy", SECRET);
    let mut one = Member::start(&secret, &[], &["--open", "--gateway-domain", "p.test"]);
    let two = Member::start(&secret, &[one.peers.address], &["--open", "--gateway-domain", "p.test"]);
    two.has_links(1);
    let asks = |id: &str| {
        let mut client = Raw::client(two.address(), id);
        client.text("hello");
        client.refused().code
    };
    wait_until("all hosts are named", || asks("nobody") == "unknown-host");
    let same = instance();
    let mut host = Raw::asking(one.address(), "myhost", None, same);
    host.is_registered();
    let (client, _) = meets(two.address(), "myhost", &mut host);
    one.kill();
    assert_eq!(client.refused().code, "busy");
    two.has_links(0);
    assert_eq!((asks("myhost"), asks("nobody")), ("busy".to_owned(), "busy".to_owned()));
    assert!(get(two.address(), "myhost.p.test", "/").starts_with("HTTP/1.1 503"));
    one.server.start_again();
    two.has_links(1);
    let mut host = Raw::asking(one.address(), "myhost", None, same);
    host.is_registered();
    meets(two.address(), "myhost", &mut host);
}

#[test]
fn a_name_has_one_holder_whichever_server_it_comes_to() {
    let secret = Secret::of("names", SECRET);
    let [one, two] = cluster(&secret, &["--open"]);
    let (same, other) = (instance(), instance());
    let register = |server: &Member, token: &str, instance| {
        let mut host = Raw::asking(server.address(), "myhost", Some(token), instance);
        match host.next_from_server() {
            FromServer::Registered { .. } => Ok(host),
            FromServer::Error(error) => Err(error.code.as_str().to_owned()),
            other => panic!("{other:?}"),
        }
    };
    let first = register(&one, "token-a", same).unwrap();
    knows(&two, "myhost");
    assert_eq!(register(&two, "token-b", other).err().as_deref(), Some("id-taken"));
    // The same process moves there and back, and is never told that it was replaced.
    let second = register(&two, "token-a", same).unwrap();
    assert_eq!(first.closed(), None, "dropped without a word");
    let third = register(&one, "token-a", same).unwrap();
    assert_eq!(second.closed(), None);
    let mut third = third;
    let (_, _) = meets(two.address(), "myhost", &mut third);
    // Another process with the same token takes over.
    let mut fourth = register(&two, "token-a", other).unwrap();
    assert_eq!(third.refused().code, "replaced");
    meets(one.address(), "myhost", &mut fourth);
}

#[test]
fn another_secret_and_another_version_are_refused_with_a_sentence() {
    let (secret, other) = (Secret::of("right", SECRET), Secret::of("wrong", "quite another secret"));
    let one = Member::start(&secret, &[], &["--open"]);
    let mut two = Member::start(&other, &[one.peers.address], &["--open"]);
    let said = two.server.process.problem("warning", "peer");
    assert!(said.contains("another cluster secret") && !said.contains("quite"), "{said}");
    let mut later = Raw::connect(one.peers.address, "/peer");
    let nonce = "A".repeat(43) + "=";
    later.text(format!(r#"{{"type":"hello","versions":[99],"server":"{}==","nonce":"{nonce}"}}"#, "A".repeat(22)));
    let refused = later.refused();
    assert_eq!(refused.code, "version");
    assert!(refused.message.contains("update the older"), "{}", refused.message);
    for nonsense in ["", "{}", "x"] {
        let mut stranger = Raw::connect(one.peers.address, "/peer");
        stranger.text(nonsense);
        assert_eq!(stranger.refused().code, "protocol", "{nonsense:?}");
    }
    let mut stranger = Raw::connect(one.peers.address, "/peer");
    stranger.binary([0; 1000]);
    assert_eq!(stranger.refused().code, "protocol");
    assert_eq!(one.metric("pinhole_cluster_links"), 0);
}

#[test]
fn a_url_that_leads_back_is_left_alone() {
    let secret = Secret::of("itself", SECRET);
    let own = ReservedPort::new();
    let (listen, url) = (own.address.to_string(), format!("ws://{}", own.address));
    let arguments = ["--open", "--peer-listen", &listen, "--cluster-secret-file", secret.path(), "--peer", &url];
    let mut one = Member { server: Server::start(&arguments), peers: own };
    assert!(one.server.process.problem("warning", "peer").contains("leads to this server itself"));
    let mut client = Raw::client(one.address(), "nobody");
    client.text("hello");
    assert_eq!(client.refused().code, "unknown-host", "nothing is missing");
}

#[test]
fn a_link_that_is_cut_is_made_again_and_streams_go_on() {
    let secret = Secret::of("cut", SECRET);
    let one = Member::start(&secret, &[], &["--open"]);
    let between = Forwarder::to(one.peers.address);
    let mut two = Member::start(&secret, &[between.address], &["--open"]);
    two.server.process.event("peer-linked");
    let host = one.server.host("myhost", echo(), &[]);
    knows(&two, "myhost");
    let client = Client::of(&at(&host.url, &one, &two), &["--relay-only"]);
    let mut stream = client.stream();
    // The server that was dialled does not notice.
    between.cut_near();
    two.server.process.event("peer-lost");
    two.server.process.event("peer-linked");
    crate::common::ping(&mut stream);
    check_echo(client.local, 500_000);
    one.has_links(1);
}

/// A server made by hand, which has proven itself.
fn proven(member: &Member) -> (Raw, Sealing) {
    let secrets = Secrets::parse(SECRET).unwrap();
    let mut peer = Raw::connect(member.peers.address, "/peer");
    let (dialler, hello) = Dialler::start(ServerId::random());
    peer.text(hello);
    let (proof, proven) = dialler.handle(&secrets, &peer.next_text()).unwrap();
    peer.text(proof);
    (peer, proven.sealing)
}

fn names(from: usize, count: usize) -> Payload {
    let tag = Binary([1; 32]);
    let here = (from..from + count).map(|number| Here {
        id: format!("host-{number}").parse().unwrap(),
        epoch: 1,
        owner: tag,
        instance: tag,
        public: None,
        dial: false,
        leaving: false,
    });
    Payload::Text(Names { here: here.collect(), complete: true, ..Names::default() }.to_text())
}

#[test]
fn a_server_that_floods_or_breaks_the_protocol_loses_its_link_and_nothing_else() {
    let secret = Secret::of("flood", SECRET);
    let one = Member::start(&secret, &[], &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    let (mut peer, mut sealing) = proven(&one);
    one.has_links(1);
    for part in 0..60 {
        peer.binary(sealing.seal(names(part * 100, 100)));
    }
    peer.is_taken();
    meets(one.address(), "myhost", &mut host);
    // A client of a host that it says it has waits, and is told to come again once the link is gone.
    let mut client = Raw::client(one.address(), "host-7");
    client.text("hello");
    peer.binary(sealing.seal(Payload::Text("{}".to_owned())));
    assert_eq!(peer.refused().code, "protocol");
    assert_eq!(client.refused().code, "busy");
    one.has_links(0);
    for wrong in [vec![0; 100], Vec::new()] {
        let (mut peer, _) = proven(&one);
        peer.binary(wrong);
        assert_eq!(peer.refused().code, "protocol");
    }
    // A tunnel message that is none ends the session, and so the link.
    let (mut peer, mut sealing) = proven(&one);
    peer.binary(sealing.seal(Payload::Binary(vec![0xff; 100].into())));
    peer.closed();
    meets(one.address(), "myhost", &mut host);
}

#[test]
fn a_client_that_does_not_read_stops_nobody_else() {
    let secret = Secret::of("slow", SECRET);
    let [one, two] = cluster(&secret, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    let (slow, number) = meets(two.address(), "myhost", &mut host);
    let (mut other, second) = meets(two.address(), "myhost", &mut host);
    let message = Packet { conversation: number, payload: Payload::Binary(vec![7; 60_000].into()) }.encode();
    // Far more than may wait: the conversation is ended, and the host told so.
    for round in 0..1000 {
        host.binary(message.clone());
        if round % 50 == 0 {
            host.say(second, "still there");
            assert_eq!(other.next_text(), "still there");
        }
    }
    assert_eq!(host.next_from_server(), FromServer::Left { conversation: number });
    host.say(second, "and after");
    assert_eq!(other.next_text(), "and after");
    drop(slow);
}
