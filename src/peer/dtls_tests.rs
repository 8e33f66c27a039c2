use super::*;
use crate::peer::{Connection, Event};
use Processor::{WithAes, WithoutAes};

const AES_128: u16 = 0xC02B;
const CHACHA20: u16 = 0xCCA9;

/// Returns the suite of a ServerHello, if a datagram begins with one.
fn chosen(datagram: &[u8]) -> Option<u16> {
    let is_server_hello = datagram.len() > 13 && datagram[0] == 22 && datagram[3..5] == [0, 0] && datagram[13] == 2;
    let (_, rest) = datagram.split_at_checked(13 + 12 + 34).filter(|_| is_server_hello)?;
    Some(u16::from_be_bytes(*after_short(rest)?.first_chunk()?))
}

/// Connects a host and a client, and lets the client send a message. Returns the suite they agreed on.
fn agreed(host: Processor, client: Processor) -> u16 {
    let mut now = Instant::now();
    let (mut host, offer) = Connection::offer_on(host, now).unwrap();
    let (mut client, answer) = Connection::answer_on(client, now, &offer).unwrap();
    let candidate = host.add_local_candidate(now, "192.0.2.1:1000".parse().unwrap()).unwrap();
    client.add_remote_candidate(now, &candidate);
    let candidate = client.add_local_candidate(now, "192.0.2.2:1000".parse().unwrap()).unwrap();
    host.handle_answer(now, &answer).unwrap();
    host.add_remote_candidate(now, &candidate);
    let (start, mut suite) = (now, None);
    loop {
        let mut is_silent = false;
        while !std::mem::replace(&mut is_silent, true) {
            for is_host in [true, false] {
                let (from, to) = if is_host { (&mut host, &mut client) } else { (&mut client, &mut host) };
                while let Some(datagram) = from.poll_transmit() {
                    is_silent = false;
                    suite = suite.or(chosen(&datagram.contents));
                    to.handle_datagram(now, datagram.destination, datagram.source, &datagram.contents);
                }
            }
        }
        while let Some(event) = client.poll_event() {
            if matches!(event, Event::Open) {
                client.send(now, b"a message");
            }
        }
        while let Some(event) = host.poll_event() {
            if let Event::Message(message) = event {
                assert_eq!(&message[..], b"a message");
                return suite.unwrap();
            }
        }
        now = [host.poll_timeout(), client.poll_timeout()].into_iter().flatten().min().unwrap().max(now);
        assert!(now < start + std::time::Duration::from_secs(1), "no flight of the handshake may be repeated");
        host.handle_timeout(now);
        client.handle_timeout(now);
    }
}

#[test]
fn each_pair_of_processors_uses_the_cipher_that_suits_both() {
    assert_eq!(agreed(WithAes, WithAes), AES_128);
    assert_eq!(agreed(WithAes, WithoutAes), CHACHA20);
    assert_eq!(agreed(WithoutAes, WithAes), CHACHA20);
    assert_eq!(agreed(WithoutAes, WithoutAes), CHACHA20);
}

/// One end of DTLS as str0m gets it.
fn end(processor: Processor, now: Instant) -> Box<dyn DtlsInstance> {
    let provider = crypto(processor).dtls_provider;
    provider.new_dtls(&provider.generate_certificate().unwrap(), now, DtlsVersion::Dtls12, Some(1150)).unwrap()
}

/// Returns the datagrams that an end sends now, and whether it is connected.
fn output(end: &mut dyn DtlsInstance) -> (Vec<Vec<u8>>, bool) {
    let (mut sent, mut is_connected) = (Vec::new(), false);
    loop {
        match end.poll_output(&mut [0; 2000]) {
            DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
            DtlsOutput::Connected => is_connected = true,
            DtlsOutput::Timeout(_) => return (sent, is_connected),
            _ => {}
        }
    }
}

/// Which part of the peer's first flight arrives first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Arrival {
    InOrder,
    /// A ClientHello's last fragment before the first.
    Reversed,
}

/// Connects a host without AES to a peer that offers these suites. Returns the suite they agreed on.
fn agreed_with(offered: &[Dtls12CipherSuite], mtu: usize, arrival: Arrival) -> u16 {
    let mut now = Instant::now();
    let mut server = end(WithoutAes, now);
    server.set_active(false);
    server.handle_timeout(now).unwrap();
    let certificate = from_feature_flags().dtls_provider.generate_certificate().unwrap();
    let config = Config::builder().dtls12_cipher_suites(offered).mtu(mtu).build().unwrap();
    let mut client = Dtls::new_12(Arc::new(config), certificate, now);
    client.set_active(true);
    client.handle_timeout(now).unwrap();
    let mut client = End { dtls: client, with_chacha20: None, now };
    let (mut suite, mut connected, mut is_first) = (None, [false, false], true);
    for _ in 0..10 {
        let (mut flight, is_connected) = output(&mut client);
        connected[0] |= is_connected;
        if std::mem::take(&mut is_first) && arrival == Arrival::Reversed {
            assert!(flight.len() > 1, "there are fragments");
            flight.reverse();
        }
        flight.iter().for_each(|datagram| server.handle_packet(datagram).unwrap());
        let (flight, is_connected) = output(&mut *server);
        connected[1] |= is_connected;
        for datagram in flight {
            suite = suite.or(chosen(&datagram));
            client.handle_packet(&datagram).unwrap();
        }
        if connected == [true, true] {
            return suite.unwrap();
        }
        now += std::time::Duration::from_secs(2);
        client.handle_timeout(now).unwrap();
        server.handle_timeout(now).unwrap();
    }
    panic!("not connected: {connected:?}");
}

#[test]
fn a_host_without_aes_takes_chacha20_wherever_it_stands_and_shuts_nobody_out() {
    use Dtls12CipherSuite as Suite;
    let aes = [Suite::ECDHE_ECDSA_AES128_GCM_SHA256, Suite::ECDHE_ECDSA_AES256_GCM_SHA384];
    let all = [aes[0], aes[1], Suite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256];
    assert_eq!(agreed_with(&all, 1150, Arrival::InOrder), CHACHA20);
    assert_eq!(agreed_with(&aes, 1150, Arrival::InOrder), AES_128);
    // In several datagrams, as from a browser with a post-quantum key.
    assert_eq!(agreed_with(&all, 90, Arrival::InOrder), CHACHA20);
    assert_eq!(agreed_with(&all, 90, Arrival::Reversed), CHACHA20);
    assert_eq!(agreed_with(&aes, 90, Arrival::Reversed), AES_128);
}

#[test]
fn what_is_no_client_hello_offers_nothing() {
    let now = Instant::now();
    let mut client = end(WithAes, now);
    client.set_active(true);
    client.handle_timeout(now).unwrap();
    let (flight, _) = output(&mut *client);
    let hello = &flight[0];
    let suites = offered(hello).unwrap();
    assert_eq!(suites, [[0xC0, 0x2B], [0xC0, 0x2C], super::CHACHA20].concat());
    let end = suites.as_ptr() as usize + suites.len() - hello.as_ptr() as usize;
    for len in 0..end {
        assert_eq!(offered(&hello[..len]), None, "{len} bytes");
    }
    for (place, byte) in [(0, 23), (4, 1), (13, 2), (21, 1), (59, 255)] {
        let mut other = hello.clone();
        other[place] = byte;
        assert_eq!(offered(&other), None, "byte {place}");
    }
}
