use proptest::prelude::*;
use stun_types::attribute::ErrorCode;
use stun_types::message::MessageWriteExt as _;

use super::*;

const LOCAL: &str = "192.168.1.2:5000";
const SERVERS: [&str; 2] = ["203.0.113.100:3478", "203.0.113.101:3478"];
/// A socket, a server, and the address the server answers with, if it answers.
type Given = (&'static str, &'static str, Option<&'static str>);

/// Builds the answer to a transaction.
type Build = fn(TransactionId) -> Vec<u8>;

const MAPPED: &str = "203.0.113.1:40000";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A gatherer with these sockets and servers, and its first requests.
fn gatherer(now: Instant, sockets: &[&str], servers: &[&str]) -> (Gatherer, Vec<Request>) {
    let mut gatherer = Gatherer::new();
    sockets.iter().for_each(|socket| gatherer.add_socket(now, address(socket)));
    servers.iter().for_each(|server| gatherer.add_server(now, address(server)));
    let mut requests = Vec::new();
    // All first requests go out long before any is repeated.
    gatherer.handle_timeout(now + FIRST_RTO / 2);
    while let Some(request) = gatherer.poll_transmit() {
        requests.push(request);
    }
    (gatherer, requests)
}

fn transaction(request: &Request) -> TransactionId {
    MessageHeader::from_bytes(&request.contents).unwrap().transaction_id()
}

fn success(transaction: TransactionId, mapped: &str) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.add_attribute(&XorMappedAddress::new(address(mapped), transaction)).unwrap();
    message.add_fingerprint().unwrap();
    message.finish()
}

fn without_address(transaction: TransactionId) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Success, BINDING);
    Message::builder(kind, transaction, MessageWriteVec::new()).finish()
}

fn error(transaction: TransactionId, code: u16) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Error, BINDING);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    message.add_attribute(&ErrorCode::new(code, "no").unwrap()).unwrap();
    message.finish()
}

fn answer(gatherer: &mut Gatherer, now: Instant, request: &Request, datagram: &[u8]) -> bool {
    gatherer.handle_datagram(now, request.source, request.destination, datagram)
}

/// Returns the findings for one socket if each server answers with its address, or not at all.
fn findings(answers: &[Given]) -> Findings {
    let now = Instant::now();
    let (mut gatherer, _) = gatherer(now, &[], &[]);
    for (local, server, _) in answers {
        gatherer.add_socket(now, address(local));
        gatherer.add_server(now, address(server));
    }
    gatherer.handle_timeout(now + FIRST_RTO / 2);
    while let Some(request) = gatherer.poll_transmit() {
        let given = answers
            .iter()
            .find(|(local, server, _)| (address(local), address(server)) == (request.source, request.destination));
        if let Some((_, _, Some(mapped))) = given {
            let datagram = success(transaction(&request), mapped);
            assert!(answer(&mut gatherer, now, &request, &datagram));
        }
    }
    assert_eq!(gatherer.findings().udp == Udp::Unknown, answers.iter().all(|(_, _, mapped)| mapped.is_none()));
    gatherer.handle_timeout(now + GIVE_UP * 2);
    assert!(gatherer.is_done());
    gatherer.findings()
}

#[test]
fn the_answer_to_a_check_says_how_the_peer_sees_us() {
    let transaction = TransactionId::from(1);
    let read = |datagram: &[u8]| mapped_address(datagram, address(LOCAL));
    assert_eq!(read(&success(transaction, MAPPED)), Some(address(MAPPED)));
    assert_eq!(read(&without_address(transaction)), None);
    assert_eq!(read(&error(transaction, 400)), None);
    assert_eq!(read(&[23; 1200]), None, "data");
    assert_eq!(read(&[]), None);
}

#[test]
fn each_socket_asks_each_server_of_its_family_once() {
    let sockets = [LOCAL, LOCAL, "10.0.0.1:1", "[fd00::2]:7", "127.0.0.1:9", "[::1]:9", "169.254.1.1:9", "[fe80::1]:9"];
    let servers = [SERVERS[0], SERVERS[0], "[2001:db8::1]:3478", "0.0.0.0:1", "224.0.0.1:1", "192.0.2.1:0"];
    let (_, requests) = gatherer(Instant::now(), &sockets, &servers);
    let pairs: Vec<_> = requests.iter().map(|r| (r.source.to_string(), r.destination.to_string())).collect();
    let expected = [(LOCAL, SERVERS[0]), ("10.0.0.1:1", SERVERS[0]), ("[fd00::2]:7", "[2001:db8::1]:3478")];
    assert_eq!(pairs.len(), expected.len(), "{pairs:?}");
    for (socket, server) in expected {
        assert!(pairs.contains(&(socket.to_owned(), server.to_owned())), "{pairs:?}");
    }
}

#[test]
fn a_request_is_a_bare_binding_request() {
    let (_, requests) = gatherer(Instant::now(), &[LOCAL], &SERVERS[..1]);
    let contents = &requests[0].contents;
    assert_eq!(contents.len(), 20);
    assert_eq!(contents[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
}

#[test]
fn what_is_asked_is_bounded() {
    let sockets: Vec<String> = (1..=30).map(|n| format!("10.0.0.{n}:1")).collect();
    let servers: Vec<String> = (1..=30).map(|n| format!("192.0.2.{n}:3478")).collect();
    let mut gatherer = Gatherer::new();
    let now = Instant::now();
    servers.iter().for_each(|server| gatherer.add_server(now, address(server)));
    sockets.iter().for_each(|socket| gatherer.add_socket(now, address(socket)));
    assert_eq!(gatherer.queries.len(), MAX_SOCKETS * MAX_SERVERS);
    assert_eq!(gatherer.requests.len(), 1, "first requests are paced");
    gatherer.handle_timeout(now + PACE);
    assert_eq!(gatherer.requests.len(), 2);
}

#[test]
fn requests_are_repeated_ever_more_slowly_and_given_up() {
    let start = Instant::now();
    let mut gatherer = Gatherer::new();
    gatherer.add_server(start, address(SERVERS[0]));
    assert!(gatherer.is_done(), "nobody asks yet");
    gatherer.add_socket(start, address(LOCAL));
    let mut sent = Vec::new();
    let mut now = start;
    loop {
        while let Some(request) = gatherer.poll_transmit() {
            sent.push(((now - start).as_millis(), request));
        }
        let Some(at) = gatherer.poll_timeout() else { break };
        assert!(!gatherer.is_done() && at > now);
        assert_eq!(gatherer.findings().udp, Udp::Unknown);
        now = at;
        gatherer.handle_timeout(now);
    }
    assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 500, 1500, 3500]);
    assert!(sent.iter().all(|(_, request)| *request == sent[0].1), "it is the same request each time");
    assert_eq!(now - start, GIVE_UP);
    assert!(gatherer.is_done());
    assert_eq!(gatherer.findings(), Findings { udp: Udp::Blocked, mapping: Mapping::Unknown, ipv6: false });
    let late = success(transaction(&sent[0].1), MAPPED);
    assert!(answer(&mut gatherer, now, &sent[0].1, &late), "it is ours");
    assert_eq!((gatherer.poll_mapped(), gatherer.ignored()), (None, 1));
}

#[test]
fn an_answer_tells_the_address_and_the_time() {
    let start = Instant::now();
    let (mut gatherer, requests) = gatherer(start, &[LOCAL], &SERVERS);
    let later = start + Duration::from_millis(520);
    gatherer.handle_timeout(later);
    let datagram = success(transaction(&requests[0]), MAPPED);
    assert!(answer(&mut gatherer, later, &requests[0], &datagram));
    let mapped = Mapped {
        local: address(LOCAL),
        server: address(SERVERS[0]),
        mapped: address(MAPPED),
        round_trip: Duration::from_millis(520),
    };
    assert_eq!(gatherer.poll_mapped(), Some(mapped));
    assert!(answer(&mut gatherer, later, &requests[0], &datagram), "the answer to the repeated request");
    assert_eq!(gatherer.poll_mapped(), None);
    assert!(!gatherer.is_done(), "the other server has not answered");
    assert_eq!(gatherer.findings(), Findings { udp: Udp::Open, mapping: Mapping::Unknown, ipv6: false });
}

#[test]
fn the_mapping_is_judged_by_what_different_servers_see() {
    let [one, two] = SERVERS;
    let (six, other_six) = ("[2001:db8::1]:3478", "[2001:db8::2]:3478");
    let (ula, global) = ("[fd00::2]:7", "[2001:db8::7]:7");
    let elsewhere = "203.0.113.1:40001";
    let rows: &[(&[Given], Mapping)] = &[
        (&[(LOCAL, one, Some(LOCAL))], Mapping::None),
        (&[(LOCAL, one, Some(LOCAL)), (LOCAL, two, Some(LOCAL))], Mapping::None),
        (&[(LOCAL, one, Some(MAPPED))], Mapping::Unknown),
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, two, None)], Mapping::Unknown),
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, two, Some(MAPPED))], Mapping::Independent),
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, two, Some(elsewhere))], Mapping::Dependent),
        // The same server on another port proves nothing if it sees the same address, and enough if it sees another.
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, "203.0.113.100:3479", Some(MAPPED))], Mapping::Unknown),
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, "203.0.113.100:3479", Some(elsewhere))], Mapping::Dependent),
        // A server in our own network.
        (&[(LOCAL, one, Some(LOCAL)), (LOCAL, two, Some(MAPPED))], Mapping::Unknown),
        // The socket with the best chances counts.
        (
            &[
                (LOCAL, one, Some(MAPPED)),
                (LOCAL, two, Some(elsewhere)),
                ("10.0.0.1:1", one, Some("198.51.100.1:1")),
                ("10.0.0.1:1", two, Some("198.51.100.1:1")),
            ],
            Mapping::Independent,
        ),
        // IPv4 counts first; IPv6 where there is no IPv4 answer.
        (&[(LOCAL, one, Some(MAPPED)), (LOCAL, two, Some(elsewhere)), (global, six, Some(global))], Mapping::Dependent),
        (&[(LOCAL, one, None), (global, six, Some(global))], Mapping::None),
        (&[(ula, six, Some(global)), (ula, other_six, Some(global))], Mapping::Independent),
    ];
    for (answers, expected) in rows {
        let found = findings(answers);
        assert_eq!((found.mapping, found.udp), (*expected, Udp::Open), "{answers:?}");
        let ipv6 = answers.iter().any(|(_, server, mapped)| address(server).is_ipv6() && mapped.is_some());
        assert_eq!(found.ipv6, ipv6, "{answers:?}");
    }
    assert_eq!(findings(&[(LOCAL, one, None), (LOCAL, two, None)]).udp, Udp::Blocked);
}

#[test]
fn forged_and_damaged_answers_change_nothing() {
    let now = Instant::now();
    let (mut gatherer, requests) = gatherer(now, &[LOCAL, "10.0.0.1:1"], &SERVERS);
    let request = &requests[0];
    let right = success(transaction(request), MAPPED);
    assert!(!gatherer.handle_datagram(now, request.source, address("198.51.100.9:3478"), &right), "wrong source");
    assert!(!gatherer.handle_datagram(now, requests[3].source, request.destination, &right), "wrong socket");
    assert!(!answer(&mut gatherer, now, request, &success(TransactionId::generate(), MAPPED)), "wrong transaction");
    assert!(answer(&mut gatherer, now, request, &request.contents), "our own request comes back");
    for length in 0..right.len() {
        answer(&mut gatherer, now, request, &right[..length]);
    }
    let mut damaged = right.clone();
    damaged[28] ^= 1;
    assert!(answer(&mut gatherer, now, request, &damaged), "the fingerprint does not match");
    assert_eq!(gatherer.findings().udp, Udp::Unknown);
    assert!(gatherer.ignored() > 3);
    assert!(answer(&mut gatherer, now, request, &right), "the true answer still counts");
    assert_eq!(gatherer.poll_mapped().map(|mapped| mapped.mapped), Some(address(MAPPED)));
}

#[test]
fn an_answer_without_a_usable_address_ends_the_request() {
    let now = Instant::now();
    let answers: [(&str, Build); 9] = [
        ("unspecified", |transaction| success(transaction, "0.0.0.0:5")),
        ("multicast", |transaction| success(transaction, "224.0.0.1:5")),
        ("broadcast", |transaction| success(transaction, "255.255.255.255:5")),
        ("loopback", |transaction| success(transaction, "127.0.0.1:5")),
        ("link-local", |transaction| success(transaction, "169.254.1.1:5")),
        ("no port", |transaction| success(transaction, "203.0.113.1:0")),
        ("IPv6", |transaction| success(transaction, "[2001:db8::1]:5")),
        ("none", without_address),
        ("an error", |transaction| error(transaction, 500)),
    ];
    for (name, datagram) in answers {
        let (mut gatherer, requests) = gatherer(now, &[LOCAL], &SERVERS[..1]);
        assert!(answer(&mut gatherer, now, &requests[0], &datagram(transaction(&requests[0]))), "{name}");
        assert!(gatherer.is_done(), "{name}");
        assert_eq!((gatherer.poll_mapped(), gatherer.ignored()), (None, 1), "{name}");
        assert_eq!((gatherer.findings().udp, gatherer.findings().mapping), (Udp::Open, Mapping::Unknown), "{name}");
    }
}

#[test]
fn what_is_no_stun_is_left_alone() {
    let now = Instant::now();
    let (mut gatherer, requests) = gatherer(now, &[LOCAL], &SERVERS[..1]);
    for datagram in [&[][..], &[0; 19], &[0; 40], &[22; 40], &[0xff; 1200]] {
        assert!(!answer(&mut gatherer, now, &requests[0], datagram));
    }
    assert_eq!(gatherer.ignored(), 0);
}

#[test]
fn addresses_behind_a_nat_are_not_public() {
    for inside in ["192.168.1.2:5", "10.1.1.1:5", "172.16.0.1:5", "100.64.0.1:5", "100.127.9.9:5", "[fd00::2]:5"] {
        assert!(!is_public(address(inside)), "{inside}");
    }
    for outside in ["203.0.113.1:5", "100.63.0.1:5", "100.128.0.1:5", "172.32.0.1:5", "[2001:db8::1]:5"] {
        assert!(is_public(address(outside)), "{outside}");
    }
}

proptest! {
    #[test]
    fn any_datagram_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        is_ours in any::<bool>(),
        from_server in any::<bool>(),
    ) {
        let now = Instant::now();
        let (mut gatherer, requests) = gatherer(now, &[LOCAL], &SERVERS);
        let mut datagram = bytes;
        if is_ours && datagram.len() >= 20 {
            datagram[0] &= 1;
            datagram[4..20].copy_from_slice(&requests[0].contents[4..20]);
        }
        let remote = address(if from_server { SERVERS[0] } else { SERVERS[1] });
        let is_taken = gatherer.handle_datagram(now, address(LOCAL), remote, &datagram);
        prop_assert!(!is_taken || (is_ours && from_server));
        if let Some(found) = gatherer.poll_mapped() {
            prop_assert!(found.mapped.is_ipv4() && found.mapped.port() != 0 && may_be_seen(found.mapped));
        }
        prop_assert!(gatherer.requests.len() + gatherer.mapped.len() <= 4);
    }
}
