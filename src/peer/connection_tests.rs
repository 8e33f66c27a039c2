use super::*;

/// First byte of the answer to a STUN check.
const STUN_ANSWER: u8 = 1;

/// Delivers datagrams until both sides are silent. Answers to the client's checks wait in `held` until the host's DTLS
/// has overtaken them.
fn deliver(now: Instant, host: &mut Connection, client: &mut Connection, held: &mut Option<Vec<Transmit>>) {
    host.settle();
    client.settle();
    while !(host.transmits.is_empty() && client.transmits.is_empty()) {
        while let Some(datagram) = host.transmits.pop_front() {
            match held {
                Some(held) if datagram.contents.first() == Some(&STUN_ANSWER) => {
                    held.push(datagram);
                    continue;
                }
                _ => {
                    client.handle_datagram(now, datagram.destination, datagram.source, &datagram.contents);
                }
            }
            if is_dtls(&datagram.contents) {
                host.transmits.extend(held.take().into_iter().flatten());
            }
        }
        while let Some(datagram) = client.transmits.pop_front() {
            host.handle_datagram(now, datagram.destination, datagram.source, &datagram.contents);
        }
    }
}

#[test]
fn a_handshake_that_overtakes_the_check_of_its_path_is_not_lost() {
    let start = Instant::now();
    let mut now = start;
    let (mut host, offer) = Connection::offer(now).unwrap();
    let (mut client, answer) = Connection::answer(now, &offer).unwrap();
    let candidate = host.add_local_candidate(now, "192.0.2.1:1000".parse().unwrap()).unwrap();
    assert!(client.add_remote_candidate(now, &candidate));
    let candidate = client.add_local_candidate(now, "192.0.2.2:1000".parse().unwrap()).unwrap();
    host.handle_answer(now, &answer).unwrap();
    assert!(host.add_remote_candidate(now, &candidate));
    let mut held = Some(Vec::new());
    while !(host.is_open && client.is_open) {
        deliver(now, &mut host, &mut client, &mut held);
        now = [host.poll_timeout(), client.poll_timeout()].into_iter().flatten().min().unwrap().max(now);
        host.handle_timeout(now);
        client.handle_timeout(now);
        // A lost flight of the handshake is repeated after 0.75 s at the earliest.
        assert!(now < start + Duration::from_millis(500), "the channel opens late");
    }
}

/// Two connections whose channels are open, and the time.
fn connected() -> (Connection, Connection, Instant) {
    let mut now = Instant::now();
    let (mut host, offer) = Connection::offer(now).unwrap();
    let (mut client, answer) = Connection::answer(now, &offer).unwrap();
    let candidate = host.add_local_candidate(now, "192.0.2.1:1000".parse().unwrap()).unwrap();
    client.add_remote_candidate(now, &candidate);
    let candidate = client.add_local_candidate(now, "192.0.2.2:1000".parse().unwrap()).unwrap();
    host.handle_answer(now, &answer).unwrap();
    host.add_remote_candidate(now, &candidate);
    let mut settled = None;
    // The last packet of the opening is acknowledged 0.2 s later.
    while settled.is_none_or(|at| now < at + Duration::from_secs(1)) {
        now = pass_time(now, &mut host, &mut client);
        settled = settled.or((host.is_open && client.is_open).then_some(now));
    }
    for side in [&mut host, &mut client] {
        while side.poll_event().is_some() {}
    }
    (host, client, now)
}

/// Delivers everything and lets the next timer expire.
fn pass_time(now: Instant, host: &mut Connection, client: &mut Connection) -> Instant {
    deliver(now, host, client, &mut None);
    let now = [host.poll_timeout(), client.poll_timeout()].into_iter().flatten().min().unwrap().max(now);
    host.handle_timeout(now);
    client.handle_timeout(now);
    now
}

/// Returns the messages and the datagrams that arrived.
fn received(side: &mut Connection) -> [Vec<Bytes>; 2] {
    let mut received = [Vec::new(), Vec::new()];
    while let Some(event) = side.poll_event() {
        match event {
            Event::Message(message) => received[0].push(message),
            Event::Datagram(datagram) => received[1].push(datagram),
            Event::Closed(reason) | Event::Violation(reason) => panic!("{reason}"),
            Event::Fault(fault) => panic!("{fault}"),
            Event::Open | Event::PathUp | Event::PathDown => {}
        }
    }
    received
}

#[test]
fn both_channels_carry_messages_of_up_to_64_kib_and_tell_them_apart() {
    let (mut host, mut client, mut now) = connected();
    for len in [8, 1200, 65_515] {
        let bytes = Bytes::from(vec![len as u8; len]);
        host.send_datagram(now, &bytes);
        client.send_datagram(now, &bytes);
        client.send(now, b"a message");
        for _ in 0..50 {
            now = pass_time(now, &mut host, &mut client);
        }
        assert_eq!(received(&mut client), [vec![], vec![bytes.clone()]]);
        assert_eq!(received(&mut host), [vec![Bytes::from_static(b"a message")], vec![bytes]]);
    }
    assert_eq!((host.dropped_datagrams(), host.buffered_amount()), (0, 0));
}

#[test]
fn a_lost_datagram_is_given_up_and_a_lost_message_sent_again() {
    for is_datagram in [true, false] {
        let (mut host, mut client, mut now) = connected();
        if is_datagram {
            host.send_datagram(now, &[7; 1000]);
        } else {
            host.send(now, &[7; 1000]);
        }
        host.settle();
        // One byte while anything is unacknowledged; with str0m's own SCTP, all of it.
        assert!(
            [1, 1000].contains(&host.buffered_amount())
                && host.transmits.drain(..).any(|lost| lost.contents.len() > 1000)
        );
        let (end, mut longest, mut count) = (now + Duration::from_secs(5), 0, 0);
        while now < end {
            for transmit in host.transmits.iter().filter(|transmit| is_dtls(&transmit.contents)) {
                longest = longest.max(transmit.contents.len());
                count += 1;
            }
            now = pass_time(now, &mut host, &mut client);
        }
        // For a datagram, only a short note goes out that it must not be waited for (FORWARD-TSN, RFC 3758).
        assert!(count > 0 && (longest > 1000) != is_datagram, "{count} DTLS datagrams, the longest of {longest} bytes");
        let [messages, datagrams] = received(&mut client);
        assert_eq!((messages.len(), datagrams.len()), (usize::from(!is_datagram), 0));
        assert_eq!(host.buffered_amount(), 0);
        host.send_datagram(now, b"next");
        pass_time(now, &mut host, &mut client);
        assert_eq!(received(&mut client)[1], [Bytes::from_static(b"next")]);
    }
}

/// An offer with its user name replaced, and the host that made it.
fn offer_with_user_name(now: Instant, name: &str) -> (Connection, String) {
    let (host, offer) = Connection::offer(now).unwrap();
    let line = |line: &str| match line.strip_prefix("a=ice-ufrag:") {
        Some(_) => format!("a=ice-ufrag:{name}\r\n"),
        None => format!("{line}\r\n"),
    };
    (host, offer.lines().map(line).collect())
}

/// Makes ICE check the address of a peer.
fn check(now: Instant, connection: &mut Connection) {
    connection.add_local_candidate(now, "192.0.2.2:1000".parse().unwrap());
    connection.add_remote_candidate(now, "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host");
}

#[test]
fn the_longest_user_name_that_is_taken_can_be_checked_with() {
    let now = Instant::now();
    let (_, offer) = offer_with_user_name(now, &"u".repeat(111));
    let (mut client, _) = Connection::answer(now, &offer).unwrap();
    check(now, &mut client);
    assert!(client.transmits.iter().any(|check| check.contents.starts_with(&BINDING_REQUEST)));
    let (_, offer) = offer_with_user_name(now, &"u".repeat(112));
    assert!(matches!(Connection::answer(now, &offer), Err(PeerError::Description(_))));
}

#[test]
fn a_panic_of_the_stack_is_the_end_of_its_connection_and_of_nothing_else() {
    let (mut host, mut client, now) = connected();
    // `answer_to` skips our check of descriptions.
    let (_, offer) = offer_with_user_name(now, &"u".repeat(200));
    let (mut broken, _) = Connection::answer_to(Processor::WithAes, now, &offer).unwrap();
    check(now, &mut broken);
    assert!(broken.rtc.is_none() && broken.poll_timeout().is_none());
    assert!(matches!(broken.poll_event(), Some(Event::Fault(_))));
    // No call may panic now.
    assert!(!broken.handle_datagram(now, "192.0.2.2:1000".parse().unwrap(), "192.0.2.1:9".parse().unwrap(), &[0, 1]));
    broken.handle_timeout(now);
    broken.send(now, b"message");
    broken.send_datagram(now, b"datagram");
    assert_eq!((broken.room(now), broken.buffered_amount()), (0, 0));
    assert!(matches!(broken.handle_answer(now, ""), Err(PeerError::Unasked)));
    broken.close(now);
    assert!(broken.poll_event().is_none(), "it is reported once");
    host.send(now, b"others go on");
    pass_time(now, &mut host, &mut client);
    assert_eq!(received(&mut client)[0], [Bytes::from_static(b"others go on")]);
}

#[test]
fn an_address_that_is_no_machines_is_no_candidate() {
    let now = Instant::now();
    let (mut host, _) = Connection::offer(now).unwrap();
    for address in ["0.0.0.0 9", "224.0.0.1 9", "255.255.255.255 9", ":: 9", "ff02::1 9", "192.0.2.1 0"] {
        assert!(!host.add_remote_candidate(now, &format!("candidate:1 1 udp 1 {address} typ host")), "{address}");
    }
    assert!(host.add_remote_candidate(now, "candidate:1 1 udp 1 192.0.2.1 9 typ host"));
}

/// The peer's checks, each from another address: a hostile peer sends these, and a restarting NAT looks the same.
#[test]
fn addresses_that_requests_come_from_are_learned_up_to_a_bound_that_grows_slowly() {
    let (mut host, mut client, mut now) = connected();
    let local: SocketAddr = "192.0.2.1:1000".parse().unwrap();
    let learn = |host: &mut Connection, now: Instant, request: &[u8], ports: std::ops::Range<u16>| {
        ports
            .filter(|port| host.handle_datagram(now, local, SocketAddr::from(([192, 0, 2, 9], *port)), request))
            .count()
    };
    let request = loop {
        client.transmits.clear();
        now = client.poll_timeout().unwrap().max(now);
        client.handle_timeout(now);
        if let Some(check) = client.transmits.iter().find(|check| check.contents.starts_with(&BINDING_REQUEST)) {
            break check.contents.to_vec();
        }
    };
    assert_eq!(learn(&mut host, now, &request, 1..5000), 64);
    assert_eq!(learn(&mut host, now, &request, 1..5000), 64, "known addresses are taken again");
    assert!(host.handle_datagram(now, local, "192.0.2.2:1000".parse().unwrap(), &request), "the path's, too");
    assert_eq!(learn(&mut host, now + Duration::from_secs(180), &request, 5000..5010), 3, "one a minute");
}

#[test]
fn among_many_pairs_the_one_that_works_is_not_forgotten() {
    let start = Instant::now();
    let mut now = start;
    let (mut host, offer) = Connection::offer(now).unwrap();
    let (mut client, answer) = Connection::answer(now, &offer).unwrap();
    host.handle_answer(now, &answer).unwrap();
    // Container bridges on both sides, behind the one interface that leads to the network.
    for number in 1..=8 {
        let candidate = host.add_local_candidate(now, format!("192.0.2.{number}:1000").parse().unwrap()).unwrap();
        assert!(client.add_remote_candidate(now, &candidate));
        let candidate = client.add_local_candidate(now, format!("198.51.100.{number}:1000").parse().unwrap()).unwrap();
        assert!(host.add_remote_candidate(now, &candidate));
    }
    let path: [SocketAddr; 2] = ["192.0.2.1:1000".parse().unwrap(), "198.51.100.1:1000".parse().unwrap()];
    let (mut heard_at, mut longest) = (None, Duration::ZERO);
    while now < start + Duration::from_secs(10) {
        for is_host in [true, false] {
            let (from, to) = if is_host { (&mut host, &mut client) } else { (&mut client, &mut host) };
            for datagram in from.transmits.drain(..) {
                if path.contains(&datagram.source) && path.contains(&datagram.destination) {
                    to.handle_datagram(now, datagram.destination, datagram.source, &datagram.contents);
                    if is_host && to.is_open {
                        longest = longest.max(heard_at.map_or(Duration::ZERO, |at| now - at));
                        heard_at = Some(now);
                    }
                }
            }
        }
        let next = [host.poll_timeout(), client.poll_timeout()].into_iter().flatten().min().unwrap();
        now = next.max(now + Duration::from_millis(1));
        host.handle_timeout(now);
        client.handle_timeout(now);
    }
    assert!(host.is_open && client.is_open);
    assert!(longest < Duration::from_millis(1500), "nothing came for {longest:?}");
}
