//! Several servers as one, and those who are no good servers: strangers at the port for servers, and servers of the
//! cluster that flood, do not read, or have another clock.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pinhole::internals::cluster::greeting::{Dialler, Listener, Step};
use pinhole::internals::cluster::{Arrived, Sealing, Secrets, ServerId};
use pinhole::internals::signaling::rendezvous::{FromServer, Payload};
use pinhole::internals::tunnel::frame::{self, kind};
use pinhole::internals::tunnel::{ConnectTarget, Generation, Hello, Role, Sequence, Trail};
use tungstenite::{Error, Message};

use crate::common::pinhole::{Pinhole, command};
use crate::common::system::{resident_kib, skipped};
use crate::common::{ReservedPort, connect, wait_until};
use crate::members::{Member, SECRET, Secret, cluster, meets};
use crate::raw::Raw;

/// Number of streams of one server that another takes: a quarter more than the 8,192 that it tells it.
const MAX_STREAMS: u64 = 10_240;

fn secrets() -> Secrets {
    Secrets::parse(SECRET).unwrap()
}

/// A server made by hand that proves itself under an id. Returns its link and what the other one is called.
fn proven(member: &Member, own: ServerId) -> (Raw, Sealing, ServerId) {
    let mut peer = Raw::connect(member.peers.address, "/peer");
    let (dialler, hello) = Dialler::start(own);
    peer.text(hello);
    let (proof, proven) = dialler.handle(&secrets(), &peer.next_text()).unwrap();
    peer.text(proof);
    (peer, proven.sealing, proven.server)
}

/// The text that names all hosts of a server without any.
fn no_hosts() -> Payload {
    Payload::Text(r#"{"type":"names","complete":true}"#.to_owned())
}

fn hello() -> Payload {
    let hello = Hello {
        versions: vec![1],
        agent: "hostile".to_owned(),
        role: Role::Client.as_str().to_owned(),
        initial_credit: 65_536,
        max_payload: 16_384,
        max_streams: 65_535,
        services: Vec::new(),
        features: Vec::new(),
    };
    let mut message = Vec::new();
    frame::encode_session(&mut message, kind::HELLO, &hello.encode());
    Payload::Binary(message.into())
}

/// Answers the other side's first PING, so that the session is under way.
fn answer(peer: &mut Raw, sealing: &mut Sealing) {
    loop {
        let Message::Binary(bytes) = peer.next() else { panic!("all is sealed") };
        if let Arrived::Tunnel(message) = sealing.open(bytes).unwrap()
            && message[0] == kind::PING
        {
            let mut pong = Vec::new();
            frame::encode_session(&mut pong, kind::PONG, &message[frame::HEADER_LEN..]);
            return peer.binary(sealing.seal(Payload::Binary(pong.into())));
        }
    }
}

/// Opens a stream for a client of a host.
fn order(id: u16) -> Payload {
    let order = r#"{"id":"myhost","epoch":1,"to":{"client":"192.0.2.1:7"}}"#;
    let mut message = frame::header(kind::CONNECT, Generation(0), id, Sequence(0)).to_vec();
    frame::encode_connect(&mut message, &ConnectTarget::Tcp(order.to_owned()), &Trail::default());
    Payload::Binary(message.into())
}

/// Waits until a server says how it ended a link, whatever else it said before.
fn is_ended(peer: &mut Raw) {
    while peer.0.read().is_ok() {}
}

#[test]
fn a_server_that_opens_more_streams_than_it_may_disturbs_nobody() {
    let secret = Secret::of("streams", SECRET);
    let mut one = Member::start(&secret, &[], &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    let (mut peer, mut sealing, _) = proven(&one, ServerId::random());
    one.has_links(1);
    let before = resident_kib(one.server.process.pid());
    for message in [no_hosts(), hello()] {
        peer.binary(sealing.seal(message));
    }
    answer(&mut peer, &mut sealing);
    // A dialler's streams have odd numbers.
    for id in (1..=u16::MAX).step_by(2) {
        peer.binary(sealing.seal(order(id)));
    }
    peer.is_taken();
    let taken = "pinhole_cluster_conversations_total{direction=\"from_peers\"}";
    wait_until("as many as may be", || one.metric(taken) == MAX_STREAMS);
    assert_eq!(one.metric("pinhole_cluster_streams"), MAX_STREAMS);
    let held = resident_kib(one.server.process.pid()) - before;
    assert!(held < 128 * 1024, "{held} KiB");
    // None of these clients says anything. The host does not know them, and others come in.
    meets(one.address(), "myhost", &mut host);
    drop(peer);
    one.server.process.event("peer-lost");
    meets(one.address(), "myhost", &mut host);
}

#[test]
fn a_server_that_neither_reads_nor_speaks_loses_its_link_within_seconds() {
    let secret = Secret::of("silent", SECRET);
    let mut one = Member::start(&secret, &[], &["--open"]);
    let (peer, _, _) = proven(&one, ServerId::random());
    one.server.process.event("peer-linked");
    let lost = one.server.process.event("peer-lost");
    assert!(lost["reason"].as_str().unwrap().contains("nothing came from it"), "{lost}");
    drop(peer);
}

#[test]
fn a_server_that_never_reads_has_little_waiting_for_it() {
    let secret = Secret::of("unread", SECRET);
    let one = Member::start(&secret, &[], &["--open", "--admin-listen", "127.0.0.1:0"]);
    let (mut peer, mut sealing, _) = proven(&one, ServerId::random());
    one.has_links(1);
    let tag = "A".repeat(43) + "=";
    let victim = format!(
        r#"{{"type":"names","here":[{{"id":"victim","epoch":1,"owner":"{tag}","instance":"{tag}"}}],"complete":true}}"#
    );
    for message in [Payload::Text(victim), hello()] {
        peer.binary(sealing.seal(message));
    }
    answer(&mut peer, &mut sealing);
    // It lives, and reads nothing from now on.
    let peer = thread::spawn(move || {
        while peer.0.send(Message::Ping("".into())).is_ok() {
            thread::park_timeout(Duration::from_millis(200));
        }
    });
    let before = resident_kib(one.server.process.pid());
    let clients: Vec<Raw> = (0..300)
        .map(|_| {
            let mut client = Raw::client(one.address(), "victim");
            client.stream().set_nonblocking(true).unwrap();
            // As much as the server takes at once.
            for _ in 0..10 {
                let _ = client.0.send(Message::binary(vec![7; 60_000]));
            }
            client
        })
        .collect();
    let mut host = Raw::host(one.address(), "myhost");
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        meets(one.address(), "myhost", &mut host);
        thread::park_timeout(Duration::from_millis(200));
    }
    let page = one.server.shown("/cluster");
    let waiting = page["peers"][0]["waiting_bytes"].as_u64().unwrap_or_else(|| panic!("{page}"));
    assert!(waiting < 1024 * 1024, "{waiting}");
    let held = resident_kib(one.server.process.pid()).saturating_sub(before);
    assert!(held < 128 * 1024, "{held} KiB");
    assert!(!peer.is_finished() && clients.len() == 300);
}

#[test]
fn strangers_at_the_port_for_servers_keep_no_server_out() {
    let secret = Secret::of("strangers", SECRET);
    let one = Member::start(&secret, &[], &["--open"]);
    let silent: Vec<_> = (0..200).map(|_| connect(one.peers.address)).collect();
    let mut welcomed: Vec<Raw> = (0..200)
        .map(|_| {
            let mut stranger = Raw::connect(one.peers.address, "/peer");
            stranger.text(Dialler::start(ServerId::random()).1);
            stranger.next_text();
            stranger
        })
        .collect();
    let two = Member::start(&secret, &[one.peers.address], &["--open"]);
    two.has_links(1);
    // Nobody waits for those for ever.
    let last = welcomed.pop().unwrap();
    assert_eq!(last.refused().code, "protocol");
    wait_until("the others are gone, too", || one.metric("pinhole_connections") < 20);
    drop(silent);
}

#[test]
fn ids_that_others_have_gain_nothing() {
    let secret = Secret::of("ids", SECRET);
    let [one, mut two] = cluster(&secret, &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    meets(two.address(), "myhost", &mut host);
    let (mut peer, _, id) = proven(&one, ServerId::random());
    // The server's own id.
    let mut mirror = Raw::connect(one.peers.address, "/peer");
    let (dialler, hello) = Dialler::start(id);
    mirror.text(hello);
    assert!(dialler.handle(&secrets(), &mirror.next_text()).is_err());
    // What one server says proves nothing to another.
    let mut between = Raw::connect(one.peers.address, "/peer");
    between.text(Dialler::start(ServerId::random()).1);
    let welcome = between.next_text();
    let forged = welcome.replace("welcome", "proof");
    between.text(forged);
    assert_eq!(between.refused().code, "denied");
    is_ended(&mut peer);
    // Two that share an id replace each other's links, and nobody else's.
    let id = ServerId::random();
    let (first, _, _) = proven(&two, id);
    let (second, mut sealing, _) = proven(&two, id);
    assert_eq!(first.closed(), Some(1000), "there is one link to each id");
    let mut second = second;
    second.binary(sealing.seal(no_hosts()));
    second.is_taken();
    meets(two.address(), "myhost", &mut host);
    assert!(
        two.server.process.events_so_far().iter().all(|event| {
            event["event"] != "peer-lost" || !event["reason"].as_str().unwrap().contains("nothing came")
        })
    );
}

#[test]
fn a_listener_that_claims_every_id_and_the_highest_epoch_breaks_no_other_link() {
    let secret = Secret::of("claims", SECRET);
    let [one, mut two] = cluster(&secret, &["--open"]);
    let (mut peer, mut sealing, _) = proven(&one, ServerId::random());
    let tag = "A".repeat(43) + "=";
    let highest = (1_u64 << 62) - 1;
    let claims = format!(
        r#"{{"type":"names","here":[{{"id":"other","epoch":{highest},"owner":"{tag}","instance":"{tag}"}}],"complete":true}}"#
    );
    peer.binary(sealing.seal(Payload::Text(claims)));
    peer.is_taken();
    let mut late = Raw::host(one.address(), "late");
    meets(two.address(), "late", &mut late);
    let mut host = Raw::host(two.address(), "later");
    meets(one.address(), "later", &mut host);
    assert!(two.server.process.events_so_far().iter().all(|event| event["event"] != "peer-lost"));
    // One more than that is no epoch.
    let too_high = format!(
        r#"{{"type":"names","here":[{{"id":"other","epoch":{},"owner":"{tag}","instance":"{tag}"}}]}}"#,
        highest + 1
    );
    peer.binary(sealing.seal(Payload::Text(too_high)));
    assert_eq!(peer.refused().code, "protocol");
}

#[test]
fn clocks_that_differ_by_ten_minutes_do_not_matter() {
    let Ok(faketime) = Command::new("faketime").args(["-f", "+0s", "printenv", "LD_PRELOAD"]).output() else {
        return skipped("clocks_that_differ_by_ten_minutes_do_not_matter", "there is no faketime");
    };
    let library = String::from_utf8(faketime.stdout).unwrap();
    let secret = Secret::of("clocks", SECRET);
    let mut one = Member::start(&secret, &[], &["--open"]);
    for offset in ["+600s", "-600s"] {
        let port = ReservedPort::new();
        let (listen, url) = (port.address.to_string(), format!("ws://{}", one.peers.address));
        let own = ["server", "--json", "--open", "--listen", &listen];
        let mut command = command(&[&own, &["--cluster-secret-file", secret.path(), "--peer", &url][..]].concat());
        command.env("LD_PRELOAD", library.trim()).env("FAKETIME", offset);
        let mut two = Pinhole::spawn("server", command);
        two.event("peer-linked");
        let mut host = Raw::host(port.address, "myhost");
        meets(one.address(), "myhost", &mut host);
        let mut back = Raw::host(one.address(), "other");
        meets(port.address, "other", &mut back);
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            meets(one.address(), "myhost", &mut host);
            thread::park_timeout(Duration::from_millis(100));
        }
        assert!(two.events_so_far().iter().all(|event| event["event"] != "peer-lost"), "the link lives");
        two.stop();
        one.server.process.event("peer-lost");
    }
}

#[test]
fn a_listener_that_does_not_say_anything_after_the_proof_is_no_link() {
    let secret = Secret::of("mute", SECRET);
    let port = ReservedPort::new();
    let address = port.address;
    let listener = port.listen();
    let two = Member::start(&secret, &[address], &["--open"]);
    // It proves itself, and then falls silent.
    let (stream, _) = listener.accept().unwrap();
    #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
    let answer = |_: &tungstenite::handshake::server::Request,
                  mut response: tungstenite::handshake::server::Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", "pinhole-signal.1".parse().unwrap());
        Ok(response)
    };
    let mut silent = tungstenite::accept_hdr(stream, answer).unwrap();
    let Message::Text(hello) = silent.read().unwrap() else { panic!("a server greets") };
    let step = Listener::New(ServerId::random()).handle(&secrets(), &hello).unwrap();
    let Step::Welcome(_, welcome) = step else { panic!("it is welcome") };
    silent.send(Message::text(welcome)).unwrap();
    assert!(matches!(silent.read().unwrap(), Message::Text(_)), "its proof");
    assert_eq!(two.metric("pinhole_cluster_links"), 0);
    loop {
        match silent.read() {
            Ok(Message::Text(text)) => assert!(matches!(FromServer::parse(&text), Ok(FromServer::Error(_))), "{text}"),
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_) | Error::Io(_)) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(two.metric("pinhole_cluster_links"), 0);
}
