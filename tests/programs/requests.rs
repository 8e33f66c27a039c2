//! Plain HTTP requests at a `-D` port, as programs send them that are told of an HTTP proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use super::forwards::{appeared, client, host};
use crate::common::bytes::{pattern_digest, write_pattern};
use crate::common::http::{Answer, Connection, Request, ask, get, ok, service};
use crate::common::pinhole::Pinhole;
use crate::common::services::{read_head, serve};
use crate::common::system::program;
use crate::common::{ReservedPort, connect, wait_until};

/// A host that allows some destinations, and a client with a proxy.
struct Rig {
    host: Pinhole,
    client: Pinhole,
    proxy: SocketAddr,
}

impl Rig {
    fn new(allowed: &[SocketAddr], more: &[&str]) -> Rig {
        let allow: Vec<String> = allowed.iter().flat_map(|target| ["--allow".to_owned(), target.to_string()]).collect();
        let (host, url) = host(&allow.iter().map(String::as_str).collect::<Vec<_>>());
        let mut client = client(&url, &[&["-D", "0"], more].concat());
        let proxy = appeared(&mut client, "proxy").parse().unwrap();
        Rig { host, client, proxy }
    }

    fn stop(mut self) {
        self.client.stop();
        self.host.stop();
    }
}

/// A request for a whole URL, with further fields.
fn absolute(target: SocketAddr, path: &str, fields: &str) -> String {
    get(&target.to_string(), &format!("http://{target}{path}"), fields)
}

/// A service that says what it was asked, and on which of its connections.
fn mirror() -> SocketAddr {
    let count = Arc::new(AtomicUsize::new(0));
    serve(move |mut stream| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mut input = std::io::BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            let mut body = Vec::new();
            request.read_body(&mut input, &mut body)?;
            stream.write_all(&ok(format!("connection {number}: {request:?} {}\n", body.len())))?;
        }
        Ok(())
    })
}

#[test]
fn curl_needs_no_more_than_the_variable() {
    let Some(curl) = program("curl", "http_proxy") else { return };
    let mirror = mirror();
    let large = serve(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for _ in 0..100 {
            stream.write_all(b"2710\r\n")?;
            write_pattern(&mut stream, 10_000)?;
            stream.write_all(b"\r\n")?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let rig = Rig::new(&[mirror, large], &[]);
    let run = |arguments: &[&str]| {
        let proxy = format!("http://{}", rig.proxy);
        let output = Command::new(&curl)
            .args(["-q", "-sS", "--max-time", "60"])
            .args(arguments)
            .env_clear()
            .env("http_proxy", proxy)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (first, second) = (format!("http://{mirror}/a?q"), format!("http://localhost:{}/b", mirror.port()));
    let said = String::from_utf8(run(&[&first, &first, &second])).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains("GET /a?q HTTP/1.1") && lines[0].contains(&format!(r#"("host", "{mirror}")"#)), "{said}");
    assert!(lines[0].starts_with("connection 0:") && lines[1].starts_with("connection 0:"), "not kept: {said}");
    assert!(lines[2].contains("GET /b HTTP/1.1"), "another destination: {said}");
    assert!(!said.contains("proxy-"), "fields for the proxy reached the service: {said}");
    let said = run(&["-H", "Transfer-Encoding: chunked", "--data", "12345", &first]);
    assert!(String::from_utf8(said).unwrap().ends_with(" 5\n"));
    let said = run(&["-I", &first]);
    assert!(said.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let chunks: Vec<u8> = run(&[&format!("http://{large}/")]);
    assert_eq!(chunks.len(), 1_000_000);
    let mut expected = Vec::new();
    write_pattern(&mut expected, 10_000).unwrap();
    assert!(chunks.chunks(10_000).all(|chunk| chunk == expected), "{}", pattern_digest(10_000));
    rig.stop();
}

#[test]
fn one_connection_reaches_several_destinations_in_turn_and_a_pipe_in_the_end() {
    let (first, second) = (mirror(), service(|_, body| ok(format!("second {}", body.len()))));
    let rig = Rig::new(&[first, second], &[]);
    let mut connection = Connection::to(rig.proxy);
    for round in 0..3 {
        connection.send(absolute(first, "/", ""));
        let said = connection.answer().text();
        assert!(said.starts_with(&format!("connection {round}:")), "{said}");
        connection.send(absolute(second, "/", "Content-Length: 3\r\n") + "abc");
        assert_eq!(connection.answer().text(), "second 3");
    }
    // Two at once, then a CONNECT.
    connection.send(absolute(second, "/", "") + &absolute(second, "/", ""));
    assert_eq!((connection.answer().status, connection.answer().status), (200, 200));
    connection.send(format!("CONNECT {first} HTTP/1.1\r\nHost: {first}\r\n\r\n"));
    assert_eq!(Answer::read(&mut connection.stream).unwrap().status, 200);
    connection.send(get("through", "/piped", ""));
    assert!(connection.answer().text().contains("GET /piped HTTP/1.1"));
    rig.stop();
}

#[test]
fn a_websocket_goes_through() {
    let chat = serve(|stream| {
        let mut websocket = tungstenite::accept(stream).map_err(std::io::Error::other)?;
        while let Ok(message @ (Message::Text(_) | Message::Binary(_))) = websocket.read() {
            websocket.send(message).map_err(std::io::Error::other)?;
        }
        Ok(())
    });
    let rig = Rig::new(&[chat], &[]);
    let mut stream = connect(rig.proxy);
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream.write_all(absolute(chat, "/chat", fields).as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    let mut websocket = WebSocket::from_raw_socket(stream, Role::Client, None);
    for number in 0..100 {
        let message = Message::text(format!("message {number}").repeat(number * 10 + 1));
        websocket.send(message.clone()).unwrap();
        assert_eq!(websocket.read().unwrap(), message);
    }
    websocket.close(None).unwrap();
    while websocket.read().is_ok() {}
    rig.stop();
}

#[test]
fn what_cannot_be_had_is_answered_with_a_sentence() {
    let here = service(|_, _| ok("here"));
    let nobody = ReservedPort::new();
    let mut rig = Rig::new(&[here, nobody.address], &[]);
    let elsewhere = service(|_, _| ok("elsewhere"));
    let whole = |first: &str, fields: &str| format!("{first}\r\nHost: {here}\r\n{fields}\r\n");
    let rows = [
        (absolute(here, "/", ""), 200, "here"),
        (absolute(elsewhere, "/", ""), 403, "The pinhole host does not allow this destination."),
        (absolute(nobody.address, "/", ""), 502, "The destination refused the pinhole host's connection."),
        (get("a.test", "/", ""), 400, "This is an HTTP proxy, not a web server"),
        (get("a.test", "https://a.test/", ""), 400, "for https:// programs ask it by CONNECT"),
        (get("a.test", "ftp://a.test/", ""), 400, "This proxy fetches http:// addresses"),
        (get("a.test", "http://me@a.test/", ""), 400, "The request's target is malformed."),
        (get("a.test", "http://127.1/", ""), 400, "The request's target is malformed."),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n".to_owned(), 400, "This is not an HTTP request."),
        (whole(&format!("GET http://{here}/ HTTP/2.0"), ""), 505, "Only HTTP/1.1 and HTTP/1.0"),
        (absolute(here, "/", &format!("A: {}\r\n", "b".repeat(70_000))), 431, "head is larger than 64 KiB"),
        (absolute(here, "/", &"A: b\r\n".repeat(101)), 431, "more than 100 fields"),
        (absolute(here, &"/a".repeat(9000), ""), 414, "address is longer than 16 KiB"),
        (absolute(here, "/", "Content-Length: 1\r\nContent-Length: 2\r\n"), 400, "The request has "),
        (absolute(here, "/", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "The request has "),
        (absolute(here, "/", "Broken : b\r\n"), 400, "A field of the request's head is malformed."),
    ];
    for (request, status, words) in rows {
        let answer = ask(rig.proxy, &request);
        let text = answer.text();
        assert!(answer.status == status && text.contains(words), "{:.80}: {} {text}", request, answer.status);
    }
    // Programs get JSON.
    let json = ask(rig.proxy, absolute(elsewhere, "/", "Accept: application/json\r\n")).text();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["error"]["code"], &json["error"]["status"]), (&"denied".into(), &403.into()));
    rig.client.problem("warning", "stream-refused");
    rig.stop();
}

#[test]
fn each_request_logs_in() {
    let here = mirror();
    let mut rig = Rig::new(&[here], &["--proxy-auth", "me:secret"]);
    let login = |pair: &str| format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(pair.as_bytes()));
    let mut connection = Connection::to(rig.proxy);
    for _ in 0..2 {
        connection.send(absolute(here, "/", &login("me:secret")));
        let answer = connection.answer();
        assert!(answer.status == 200 && !answer.text().contains("proxy-authorization"), "{}", answer.text());
    }
    connection.send(absolute(here, "/", ""));
    let refused = connection.answer();
    assert_eq!(refused.status, 407);
    assert!(refused.field("proxy-authenticate").is_some() && refused.text().contains("--proxy-auth"));
    for fields in [login("me:wrong"), login("me:secret").repeat(2), login("me:secret").replace("Proxy-", "")] {
        assert_eq!(ask(rig.proxy, absolute(here, "/", &fields)).status, 407, "{fields}");
    }
    rig.client.problem("warning", "proxy-refused");
    // Wrong ones make the next wait for their turn, and the right one is served nevertheless.
    for _ in 0..5 {
        assert_eq!(ask(rig.proxy, absolute(here, "/", &login("me:guess"))).status, 407);
    }
    assert_eq!(ask(rig.proxy, absolute(here, "/", &login("me:secret"))).status, 200);
    rig.stop();
}

#[test]
fn a_part_of_an_answer_never_looks_whole() {
    let (begun, waits) = crossbeam_channel::bounded::<()>(1);
    let stuck = serve(move |mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")?;
        let _ = begun.send(());
        stream.read(&mut [0]).map(drop)
    });
    let here = mirror();
    let mut rig = Rig::new(&[stuck, here], &[]);
    let half = |proxy| -> TcpStream {
        let mut stream = connect(proxy);
        stream.write_all(absolute(stuck, "/", "").as_bytes()).unwrap();
        read_head(&mut stream).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        waits.recv().unwrap();
        stream
    };
    let mut kept = Connection::to(rig.proxy);
    kept.send(absolute(here, "/", ""));
    assert_eq!(kept.answer().status, 200);
    let mut stream = half(rig.proxy);
    rig.host.stop();
    assert!(stream.read(&mut [0]).is_err(), "the end of the session looked like the end of the answer");
    rig.client.end();
}

#[test]
fn a_service_sees_that_a_program_left() {
    let (gone, notices) = crossbeam_channel::unbounded::<()>();
    let stuck = serve(move |mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf")?;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let _ = gone.send(());
        Ok(())
    });
    let mut rig = Rig::new(&[stuck], &[]);
    for _ in 0..10 {
        let mut stream = connect(rig.proxy);
        stream.write_all(absolute(stuck, "/", "").as_bytes()).unwrap();
        stream.read_exact(&mut [0; 20]).unwrap();
        drop(stream);
        notices.recv_timeout(crate::common::DEADLINE).expect("the service is told that nobody reads");
    }
    wait_until("streams have ended", || {
        let events = rig.client.events_so_far();
        let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
        count("stream-opened") == 10 && count("stream-closed") == 10
    });
    rig.stop();
}
