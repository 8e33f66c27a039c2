//! Messages that no pinhole would send, on the WebSockets of a server: the sender is told, and nobody else notices.

use std::io::{Read as _, Write as _};

use pinhole::internals::net::websocket::MAX_MESSAGE;
use pinhole::internals::signaling::rendezvous::{FromServer, Packet, Payload, instance};
use serde_json::json;

use crate::common::connect;
use crate::common::pinhole::{Pinhole, read_all};
use crate::common::system::figure;
use crate::lab::{Honest, Server};
use crate::raw::{Raw, Refused, conversation, register};

const REGISTERED_ONCE: &str = "a host registers once";
const NO_MESSAGE: &str = "a message has an unknown type, or a field is missing or out of range";

fn refused(code: &str, message: &str) -> Refused {
    Refused { code: code.to_owned(), message: message.to_owned() }
}

#[test]
fn a_name_that_nobody_has_is_said_to_be_unknown() {
    let mut server = Server::open(&[]);
    let honest = Honest::at(&server);
    let words = "no host is registered as nobody: is it running, and is the name right?";
    assert_eq!(Raw::client(server.address(), "nobody").refused(), refused("unknown-host", words));
    let url = format!("{}/ws/nobody?pin=1", server.url());
    let ended = Pinhole::client(&url, &[]).end();
    ended.expect(1, &[r#""code":"unknown-host""#, words]);
    for _ in 0..2 {
        let event = server.process.event("refused");
        assert_eq!((&event["code"], &event["message"]), (&json!("unknown-host"), &json!(words)));
    }
    honest.is_served();
    server.stop();
}

#[test]
fn a_host_that_does_not_begin_with_its_registration_is_refused() {
    let mut server = Server::open(&[]);
    let honest = Honest::at(&server);
    let good = register("myhost", None, instance());
    let rows = [
        (String::new(), "protocol"),
        ("hello".to_owned(), "protocol"),
        ("{}".to_owned(), "protocol"),
        (r#"{"type":"other"}"#.to_owned(), "protocol"),
        (r#"{"type":"register"}"#.to_owned(), "protocol"),
        (r#"{"type":"left","conversation":1}"#.to_owned(), "protocol"),
        (good.replace("myhost", "My Host"), "protocol"),
        (good.replace("[1]", "[]"), "version"),
        (good.replace("[1]", "[99]"), "version"),
        (good.replace("[1]", "[-1]"), "protocol"),
        (good.replace("myhost", &"x".repeat(60_000)), "protocol"),
        ("[".repeat(60_000), "protocol"),
    ];
    for (first, code) in rows {
        let mut host = Raw::connect(server.address(), "/host");
        host.text(first.clone());
        let refused = host.refused();
        let beginning: String = first.chars().take(80).collect();
        assert_eq!(refused.code, code, "{beginning} gave {refused:?}");
        assert_eq!(server.process.event("refused")["code"], code, "{beginning}");
    }
    for first in [vec![], vec![0; 5], vec![0; 60_000]] {
        let mut host = Raw::connect(server.address(), "/host");
        host.binary(first);
        assert_eq!(host.refused(), refused("protocol", "a host registers before it sends anything else"));
    }
    honest.is_served();
    server.stop();
}

#[test]
fn a_registered_host_that_makes_no_sense_is_given_up() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let texts = [
        (register("myhost", None, instance()), REGISTERED_ONCE),
        ("hello".to_owned(), "a message is not JSON"),
        (r#"{"type":"registered","version":1}"#.to_owned(), NO_MESSAGE),
        (r#"{"type":"left","conversation":-1}"#.to_owned(), NO_MESSAGE),
        (r#"{"type":"left","conversation":4294967296}"#.to_owned(), NO_MESSAGE),
    ];
    for (text, words) in texts {
        let mut host = Raw::host(server.address(), "myhost");
        host.text(text.clone());
        assert_eq!(host.refused(), refused("protocol", words), "{text}");
    }
    let packets = [
        vec![],
        vec![0; 4],
        vec![0, 0, 0, 1, 2],
        vec![0, 0, 0, 1, 0, 0xff],
        // The server has nothing to talk about with it.
        Packet { conversation: 0, payload: Payload::Binary(vec![1; 8].into()) }.encode().to_vec(),
        Packet { conversation: 0, payload: Payload::Text("hello".to_owned()) }.encode().to_vec(),
    ];
    for packet in packets {
        let mut host = Raw::host(server.address(), "myhost");
        host.binary(packet.clone());
        let refused = host.refused();
        assert_eq!(refused.code, "protocol", "{packet:?} gave {refused:?}");
    }
    honest.is_served();
    server.stop();
}

#[test]
fn conversations_that_are_none_are_nobodys() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let (mut host, mut client, number) = conversation(server.address());
    for other in [number + 1, 1000, u32::MAX] {
        host.say(other, "is anybody there?");
        host.text(format!(r#"{{"type":"left","conversation":{other}}}"#));
    }
    // Another host has a conversation of that number.
    let mut stranger = Raw::host(server.address(), "stranger");
    stranger.say(number, "not for you");
    host.say(number, "for you");
    assert_eq!(client.next_text(), "for you");

    host.text(format!(r#"{{"type":"left","conversation":{number}}}"#));
    host.say(number, "too late");
    assert_eq!(client.closed(), Some(1000));
    let mut client = Raw::client(server.address(), "myhost");
    client.text("hello again");
    assert_eq!(host.joined(), number + 1, "no number is given twice");
    honest.is_served();
    server.stop();
}

#[test]
fn messages_that_are_too_large_end_those_who_send_them() {
    let mut server = Server::open(&[]);
    let honest = Honest::at(&server);
    let (mut host, mut client, number) = conversation(server.address());
    // The largest that leaves room for the number of the conversation.
    let largest = vec![7; MAX_MESSAGE - 5];
    client.binary(largest.clone());
    assert_eq!(host.packet(), Packet { conversation: number, payload: Payload::Binary(largest.into()) });
    for len in [MAX_MESSAGE - 4, MAX_MESSAGE, MAX_MESSAGE + 1, 1024 * 1024] {
        let mut other = Raw::client(server.address(), "myhost");
        other.binary(vec![7; len]);
        let code = other.closed();
        let event = server.process.event("refused");
        assert_eq!(event["code"], "too-large", "{len} bytes");
        if len > MAX_MESSAGE {
            figure(&format!("a message of {len} bytes was answered by {code:?}"));
            assert!(matches!(code, Some(1009) | None), "{code:?}");
        }
    }
    client.text("hello");
    let hello = Packet { conversation: number, payload: Payload::Text("hello".to_owned()) };
    assert_eq!(host.packet(), hello, "its host is still there");
    let mut other = Raw::host(server.address(), "otherhost");
    other.binary(vec![7; 1024 * 1024]);
    assert!(matches!(other.closed(), Some(1009) | None));
    assert_eq!(server.process.event("refused")["code"], "too-large");
    honest.is_served();
    server.stop();
}

#[test]
fn clients_that_make_no_sense_to_their_host_are_refused_by_it() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    for first in ["", "hello", "{}", r#"{"type":"register"}"#, r#"{"type":"confirm","mac":""}"#] {
        let mut client = Raw::client(server.address(), "honest");
        client.text(first);
        let FromServer::Error(error) = client.next_from_server() else { panic!("{first} was understood") };
        assert_eq!(error.code.as_str(), "protocol", "{first}");
        assert_eq!(client.closed(), Some(1000));
    }
    let mut client = Raw::client(server.address(), "honest");
    client.binary([7; 100]);
    assert_eq!(client.closed(), Some(1000));
    honest.is_served();
    server.stop();
}

#[test]
fn what_a_client_says_once_its_host_left_it_reaches_nobody() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let (mut host, mut client, number) = conversation(server.address());
    // More than the system takes, and less than what makes the client a slow one.
    for _ in 0..70 {
        host.binary(Packet { conversation: number, payload: Payload::Binary(vec![7; 60_000].into()) }.encode());
    }
    host.text(format!(r#"{{"type":"left","conversation":{number}}}"#));
    host.0.close(None).unwrap();
    host.closed();
    // It may well have the place of the other, and it has a conversation of that number.
    let mut next = Raw::host(server.address(), "nexthost");
    let mut other = Raw::client(server.address(), "nexthost");
    other.text("from the right one");
    assert_eq!(next.joined(), number);
    client.text("from the wrong one");
    client.text("from the wrong one");
    for _ in 0..70 {
        assert!(client.next().is_binary(), "what was said before still comes");
    }
    assert_eq!(client.closed(), Some(1000));
    other.text("from the right one");
    for _ in 0..2 {
        let packet = Packet { conversation: number, payload: Payload::Text("from the right one".to_owned()) };
        assert_eq!(next.packet(), packet);
    }
    honest.is_served();
    server.stop();
}

#[test]
fn requests_that_lead_nowhere_are_answered() {
    let server = Server::open(&[]);
    let honest = Honest::at(&server);
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let rows = [
        ("GET / HTTP/1.1\r\n", "", 200),
        ("GET /healthz HTTP/1.1\r\n", "", 200),
        ("POST /healthz HTTP/1.1\r\n", "", 405),
        ("GET /hosts HTTP/1.1\r\n", "", 404),
        ("DELETE /hosts/honest HTTP/1.1\r\n", "", 404),
        ("GET /host HTTP/1.1\r\n", "", 426),
        ("GET /ws/honest HTTP/1.1\r\n", "", 426),
        ("GET /ws HTTP/1.1\r\n", upgrade, 404),
        ("GET /ws/ HTTP/1.1\r\n", upgrade, 404),
        ("GET /ws/ab HTTP/1.1\r\n", upgrade, 404),
        ("GET /ws/Honest HTTP/1.1\r\n", upgrade, 404),
        ("GET /ws/honest/more HTTP/1.1\r\n", upgrade, 404),
        ("GET /ws/../host HTTP/1.1\r\n", upgrade, 404),
        ("HELLO\r\n", "", 400),
        ("\x16\x03\x01\x02\x00\x01\r\n", "", 400),
    ];
    for (line, fields, status) in rows {
        let mut stream = connect(server.address());
        write!(stream, "{line}{fields}\r\n").unwrap();
        let (answer, _) = read_all(&mut stream);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line:?} gave {answer}");
    }
    // An address that was copied with a slash at its end brings in slashes too many.
    for path in ["//host", "/host/", "//ws/honest", "/ws//honest/"] {
        let mut stream = connect(server.address());
        write!(stream, "GET {path} HTTP/1.1\r\n{upgrade}\r\n").unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101", "{path}");
    }
    honest.is_served();
    server.stop();
}
