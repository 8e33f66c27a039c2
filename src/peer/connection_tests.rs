use super::*;

/// First byte of the answer to a STUN check.
const STUN_ANSWER: u8 = 1;

/// Hands each side what the other sent until both are silent. Answers to the client's checks wait in `held` until
/// the host's DTLS has overtaken them.
fn deliver(now: Instant, host: &mut Connection, client: &mut Connection, held: &mut Option<Vec<Transmit>>) {
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
