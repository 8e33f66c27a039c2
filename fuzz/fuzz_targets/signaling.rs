//! Feeds texts to every parser of the signaling WebSocket and of the protocol between host and server, and to the URL
//! parser.
//!
//! The input is one text per line; the same lines go to both handshakes, to both ends of a ticket, and to an opener.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole::internals::signaling::handshake::{ClientHandshake, ClientStep, Established, HostHandshake, HostStep};
use pinhole::internals::signaling::message::{ClientMessage, HostMessage, Inner, Outer};
use pinhole::internals::signaling::pin::Pin;
use pinhole::internals::signaling::rendezvous::{FromHost, FromServer, Packet};
use pinhole::internals::signaling::resume::{ClientResume, HostResume};
use pinhole::internals::signaling::url::SignalingUrl;

fuzz_target!(|text: &str| {
    if let Ok((url, _)) = SignalingUrl::parse(text) {
        let printed = url.to_string();
        // Percent-encoding may have made it too long to parse.
        if printed.len() < 8 * 1024 {
            assert_eq!(SignalingUrl::parse(&printed), Ok((url, None)));
        }
    }
    let _ = Inner::parse(text);
    for text in [text, text.lines().next().unwrap_or_default()] {
        if let Ok(message) = FromHost::parse(text) {
            assert_eq!(FromHost::parse(&message.to_text()), Ok(message));
        }
        if let Ok(message) = FromServer::parse(text) {
            assert_eq!(FromServer::parse(&message.to_text()), Ok(message));
        }
    }
    if let Ok(packet) = Packet::decode(text.as_bytes().to_vec().into()) {
        assert_eq!(packet.encode(), text.as_bytes());
    }
    let lines: Vec<&str> = text.lines().take(8).collect();
    // A key exchange costs a thousand times as much as parsing, so only messages get one.
    if !lines
        .iter()
        .any(|line| ClientMessage::parse(line).is_ok() || HostMessage::parse(line).is_ok())
    {
        return;
    }
    let Some(pin) = Pin::new("123456") else { return };
    let (mut client, _) = ClientHandshake::start(&pin);
    let mut host = HostHandshake::new();
    let Established { mut opener, ticket, .. } = established(&pin);
    for line in lines {
        let returned = ClientResume::with_ticket(&ticket).0.handle_returned(line);
        assert!(returned.is_err(), "a host's proof was forged");
        if let Ok(Outer::Resume(request)) = ClientMessage::parse(line) {
            let (host, answer) = HostResume::answer(ticket.key.clone(), &request);
            assert!(host.handle_returning(line).is_err(), "a client's proof was forged");
            let (host, _) = HostResume::answer(ticket.key.clone(), &request);
            assert!(host.handle_returning(&answer).is_err(), "a host's proof served a client");
        }
        let _ = client.handle_text(line);
        if let Ok(HostStep::Verify) = host.handle_text(line, &pin) {
            assert!(host.verify().is_err(), "a confirm was forged");
        }
        assert!(opener.open(line).is_err(), "a sealed message was forged");
    }
});

/// Returns the result of a host for a client that proved the pin.
fn established(pin: &Pin) -> Established {
    let (mut client, hello) = ClientHandshake::start(pin);
    let mut host = HostHandshake::new();
    let Ok(HostStep::Send(hello)) = host.handle_text(&hello, pin) else {
        panic!("no hello")
    };
    let Ok(ClientStep::Send(confirm)) = client.handle_text(&hello) else {
        panic!("no confirm")
    };
    let Ok(HostStep::Verify) = host.handle_text(&confirm, pin) else {
        panic!("nothing to verify")
    };
    let Ok((_, established)) = host.verify() else {
        panic!("not established")
    };
    established
}
