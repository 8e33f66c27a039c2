//! Long exchanges: WebSockets, and events that a service sends one by one.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocket};
use tungstenite::{Error, Message};

use super::http::{Answer, Request, get, ok};
use super::rig::Server;
use super::tls::Authority;
use crate::common::connect;
use crate::common::services::{one_shot, serve};
use crate::common::system::figure;

/// Messages through a WebSocket, and how many are under way at any time.
const MESSAGES: usize = 10_000;
const AHEAD: usize = 50;

/// Events in a row.
const EVENTS: usize = 100;

/// How many requests take as long as an event may be under way. It takes a part of one; what waits for an
/// acknowledgement that is delayed takes dozens.
const PROMPT: u32 = 5;

fn message(index: usize) -> Message {
    match index % 2 {
        0 => Message::text(format!("message {index} ").repeat(index % 20 + 1)),
        _ => Message::binary(vec![index as u8; index * 37 % 2_000]),
    }
}

/// Sends and reads messages, some of them under way at any time, and closes in order.
fn chat<S: Read + Write>(mut websocket: WebSocket<S>, messages: usize) {
    for index in 0..messages + AHEAD {
        if index < messages {
            websocket.send(message(index)).unwrap();
        }
        if index >= AHEAD {
            assert_eq!(websocket.read().unwrap(), message(index - AHEAD));
        }
    }
    let reason = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
    websocket.close(Some(reason.clone())).unwrap();
    assert_eq!(websocket.read().unwrap(), Message::Close(Some(reason)));
    assert!(matches!(websocket.read(), Err(Error::ConnectionClosed)));
}

/// Sends back every message; gives their number and how it ended.
fn echo_messages(stream: std::net::TcpStream) -> (usize, Option<CloseFrame>, bool) {
    let mut websocket = tungstenite::accept(stream).unwrap();
    let (mut count, mut reason) = (0, None);
    loop {
        match websocket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                websocket.send(message).unwrap();
                count += 1;
            }
            Ok(Message::Close(frame)) => reason = frame,
            Ok(_) => {}
            Err(error) => return (count, reason, matches!(error, Error::ConnectionClosed)),
        }
    }
}

#[test]
fn ten_thousand_messages_through_a_websocket() {
    let (service, echo) = one_shot(echo_messages);
    let mut server = Server::start();
    let _host = server.publish("myhost", service);
    let start = Instant::now();
    let url = format!("ws://{}/chat?secret", server.authority("myhost"));
    let (websocket, _) = tungstenite::client(url, connect(server.gateway)).unwrap();
    chat(websocket, MESSAGES);
    figure(&format!("{MESSAGES} WebSocket messages and back: {:?}", start.elapsed()));
    let (count, reason, is_closed) = echo.result();
    assert_eq!((count, reason.map(|frame| frame.reason.to_string())), (MESSAGES, Some("enough".to_owned())));
    assert!(is_closed, "the service saw no closing handshake");
    let event = server.logged();
    assert_eq!((&event["status"], &event["path"]), (&101.into(), &"/chat".into()), "{event}");
    let bytes: u64 = (0..MESSAGES).map(|index| message(index).len() as u64).sum();
    for field in ["sent", "received"] {
        let counted = event[field].as_u64().unwrap();
        assert!((bytes..bytes + 8 * MESSAGES as u64 + 1000).contains(&counted), "{field}: {bytes} bytes, {event}");
    }
}

#[test]
fn a_websocket_through_tls() {
    let (service, echo) = one_shot(echo_messages);
    let authority = Authority::new("websocket");
    let server = authority.server(&["--open"]);
    let _host = authority.publish(&server, "myhost", service, &[]);
    let url = format!("ws://{}/chat", server.authority("myhost"));
    let (websocket, _) = tungstenite::client(url, authority.connect(server.gateway, "myhost.p.test")).unwrap();
    chat(websocket, 1000);
    assert_eq!(echo.result().0, 1000);
}

/// A service whose only answer is events, each sent when it is told to. They say when they were sent.
struct Source {
    address: SocketAddr,
    wanted: Sender<()>,
    epoch: Instant,
}

impl Source {
    fn start() -> Source {
        let (wanted, told): (Sender<()>, Receiver<()>) = unbounded();
        let epoch = Instant::now();
        let address = serve(move |mut stream| {
            let mut input = BufReader::new(stream.try_clone()?);
            loop {
                match Request::read(&mut input)? {
                    Some(request) if request.path() == "/events" => break,
                    Some(_) => stream.write_all(&ok("here"))?,
                    None => return Ok(()),
                }
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            while told.recv().is_ok() {
                let event = format!("data: {}\n\n", epoch.elapsed().as_micros());
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            }
            stream.write_all(b"0\r\n\r\n")
        });
        Source { address, wanted, epoch }
    }

    /// Has events sent, each of which must be here before the next is, and compares how long they were under way with
    /// requests over connections of their own.
    #[track_caller]
    fn listen<S: Read + Write>(self, connect: impl Fn() -> S, authority: &str, what: &str) {
        let mut stream = BufReader::new(connect());
        stream.get_mut().write_all(get(authority, "/events", "").as_bytes()).unwrap();
        let (mut times, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..EVENTS {
            self.wanted.send(()).unwrap();
            let mut line = String::new();
            let sent = loop {
                line.clear();
                assert_ne!(stream.read_line(&mut line).unwrap(), 0);
                if let Some(sent) = line.strip_prefix("data: ") {
                    break Duration::from_micros(sent.trim().parse().unwrap());
                }
            };
            times.push(self.epoch.elapsed() - sent);
            // Events come now and then, so each finds all quiet.
            let start = Instant::now();
            let mut request = BufReader::new(connect());
            request.get_mut().write_all(get(authority, "/", "").as_bytes()).unwrap();
            assert_eq!(Answer::read(&mut request).unwrap().text(), "here");
            requests.push(start.elapsed());
        }
        drop(self.wanted);
        let mut rest = String::new();
        while !rest.ends_with("0\r\n\r\n") {
            assert_ne!(stream.read_line(&mut rest).unwrap(), 0);
        }
        times.sort();
        requests.sort();
        let (median, maximum, request) = (times[EVENTS / 2], times[EVENTS - 1], requests[EVENTS / 2]);
        figure(&format!(
            "{what}: {EVENTS} events under way for {median:?} (median), {maximum:?} (maximum), a request takes {request:?}"
        ));
        assert!(median < PROMPT * request, "{times:?}, requests {requests:?}");
    }
}

#[test]
fn events_arrive_one_by_one() {
    let source = Source::start();
    let server = Server::start();
    let _host = server.publish("myhost", source.address);
    source.listen(|| connect(server.gateway), &server.authority("myhost"), "server-sent events");
}

#[test]
fn events_arrive_one_by_one_through_tls() {
    let source = Source::start();
    let authority = Authority::new("events");
    let server = authority.server(&["--open"]);
    let _host = authority.publish(&server, "myhost", source.address, &[]);
    let connect = || authority.connect(server.gateway, "myhost.p.test");
    source.listen(connect, &server.authority("myhost"), "server-sent events through TLS");
}
