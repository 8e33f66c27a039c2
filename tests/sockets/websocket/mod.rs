//! WebSockets over real loopback sockets: our two sides against each other and against foreign ones, and what strangers
//! and front ends send instead.

mod front_ends;
mod lab;
mod proxy;
mod strangers;

use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::thread;

use bytes::Bytes;
use pinhole::internals::net::websocket::{MAX_MESSAGE, Phase, WebSocketError, WebSocketEvent};

use lab::{Connection, DEADLINE, Lab, text, upgrade};

#[test]
fn messages_go_both_ways_and_the_end_is_seen_by_both() {
    let mut lab = Lab::new();
    let client = lab.connect(lab.addr, None);
    assert_eq!(lab.socket(client).phase(), Phase::Connecting);
    assert!(matches!(lab.socket(client).send_text("x".into()), Err(WebSocketError::NotOpen(Phase::Connecting))));
    lab.wait_for(client, &WebSocketEvent::Open);

    let large = "ä".repeat(30 * 1024);
    lab.socket(client).send_text("hello".into()).unwrap();
    lab.socket(client).send_text(large.clone()).unwrap();
    lab.socket(client).send_binary(Bytes::from(vec![7; MAX_MESSAGE])).unwrap();
    lab.wait_for(client, &WebSocketEvent::Binary(vec![7; MAX_MESSAGE].into()));
    assert_eq!(lab.log(client)[1..3], [text("hello"), text(&large)]);

    let before = lab.socket(client).received();
    lab.socket(client).send_ping().unwrap();
    lab.run_until("a pong", |lab| lab.socket(client).received() > before);
    assert!(lab.socket(client).is_flushed());

    lab.socket(client).close(1000, "done");
    let server = 1;
    lab.wait_for(server, &WebSocketEvent::Closed { code: 1000, reason: "done".into() });
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1000, reason: "done".into() });
    assert_eq!(lab.socket(client).phase(), Phase::Closed);
    assert!(matches!(lab.socket(server).send_text("x".into()), Err(WebSocketError::NotOpen(Phase::Closed))));
}

#[test]
fn the_server_may_close_first() {
    let mut lab = Lab::new();
    let client = lab.connect(lab.addr, None);
    lab.wait_for(client, &WebSocketEvent::Open);
    lab.run_until("the server's side", |lab| matches!(lab.connections.get(1), Some(Connection::Socket { .. })));
    lab.socket(1).close(1001, "bye");
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1001, reason: "bye".into() });
    lab.wait_for(1, &WebSocketEvent::Closed { code: 1001, reason: "bye".into() });
}

#[test]
fn what_a_slow_peer_does_not_take_is_bounded_and_arrives_in_the_end() {
    let mut lab = Lab::new();
    lab.echo = false;
    let client = lab.connect(lab.addr, None);
    lab.wait_for(client, &WebSocketEvent::Open);
    // Without a turn of the loop the server reads nothing.
    let mut sent = 0;
    let full = loop {
        match lab.socket(client).send_text("x".repeat(60_000)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    let WebSocketError::Full { waiting } = full else { panic!("{full}") };
    assert!((190_000..=256 * 1024).contains(&waiting), "{waiting} bytes wait");
    assert!(!lab.socket(client).is_flushed());
    lab.run_until("every message", |lab| lab.log(1).len() == sent);
    assert!(lab.socket(client).is_flushed());
    assert_eq!(lab.socket(client).buffered(), 0);
    let error = lab.socket(client).send_text("x".repeat(MAX_MESSAGE + 1)).unwrap_err();
    assert!(matches!(error, WebSocketError::TooLarge { .. }), "{error}");
    lab.socket(client).send_text("still open".into()).unwrap();
    lab.wait_for(1, &text("still open"));
}

#[test]
fn a_flood_does_not_hold_the_loop() {
    let mut lab = Lab::new();
    let addr = lab.addr;
    let request = upgrade("/ws");
    let flood = thread::spawn(move || {
        let mut stream = StdStream::connect(addr).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        // Unsolicited pongs need no answer, so nothing slows the sender.
        let pongs = b"\x8a\x80\0\0\0\0".repeat(10_000);
        while stream.write_all(&pongs).is_ok() {}
    });
    lab.run_until("a paused turn", |lab| {
        lab.connections.iter().any(|c| matches!(c, Connection::Socket { socket, .. } if socket.is_ready()))
    });
    lab.connections.clear();
    flood.join().unwrap();
}

#[test]
fn many_idle_connections_do_not_disturb_one_that_works() {
    let mut lab = Lab::new();
    let addr = lab.addr;
    let idle: Vec<StdStream> = (0..200).map(|_| StdStream::connect(addr).unwrap()).collect();
    for (index, mut stream) in idle.iter().enumerate() {
        match index % 3 {
            0 => {}
            1 => stream.write_all(b"GET /ws HTTP/1.1\r\nHo").unwrap(),
            _ => stream.write_all(upgrade("/ws").as_bytes()).unwrap(),
        }
    }
    lab.run_until("everybody", |lab| lab.connections.len() == 200);
    let client = lab.connect(addr, None);
    lab.wait_for(client, &WebSocketEvent::Open);
    lab.socket(client).send_text("works".into()).unwrap();
    lab.wait_for(client, &text("works"));
    drop(idle);
}

#[test]
fn a_foreign_client_is_served() {
    let mut lab = Lab::new();
    let addr = lab.addr;
    lab.serve(thread::spawn(move || {
        use tungstenite::client::IntoClientRequest as _;
        let mut request = format!("ws://{addr}/ws").into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", "pinhole-signal.1".parse().unwrap());
        let stream = StdStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (mut socket, response) = tungstenite::client(request, stream).unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "pinhole-signal.1");
        for message in ["hello".to_owned(), "x".repeat(60 * 1024)] {
            socket.send(tungstenite::Message::text(message.clone())).unwrap();
            assert_eq!(socket.read().unwrap().into_text().unwrap().as_str(), message);
        }
        socket.send(tungstenite::Message::Ping(Bytes::from_static(b"p"))).unwrap();
        assert_eq!(socket.read().unwrap(), tungstenite::Message::Pong(Bytes::from_static(b"p")));
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    }));
    lab.wait_for(0, &WebSocketEvent::Closed { code: 1005, reason: String::new() });
}

/// tungstenite's own server, on any stream; sends back one text, then says goodbye.
fn foreign_server(stream: impl Read + Write) -> Result<(), tungstenite::Error> {
    let mut socket = tungstenite::accept(stream).map_err(|error| tungstenite::Error::Utf8(error.to_string()))?;
    socket.send(tungstenite::Message::Ping(Bytes::from_static(b"p")))?;
    loop {
        let message = socket.read()?;
        if message.is_text() {
            socket.send(message)?;
            socket.close(None)?;
        }
    }
}

#[test]
fn a_foreign_server_is_used() {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || foreign_server(listener.accept().unwrap().0));
    let mut lab = Lab::new();
    let client = lab.connect(addr, None);
    lab.wait_for(client, &WebSocketEvent::Open);
    lab.socket(client).send_text("y".repeat(60 * 1024)).unwrap();
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1005, reason: String::new() });
    assert_eq!(lab.log(client)[1], text(&"y".repeat(60 * 1024)));
    assert!(matches!(lab.serve(server), Err(tungstenite::Error::ConnectionClosed)));
}
