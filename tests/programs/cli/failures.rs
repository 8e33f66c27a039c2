//! Failures before there is a session: exit code 1 and one clear line.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};

use tungstenite::handshake::server::{Request, Response};
use tungstenite::{Message, WebSocket};

use crate::common::pinhole::{Pinhole, run};
use crate::common::services::{OneShot, echo, one_shot, serve};
use crate::common::{ReservedPort, any_port};

const SUBPROTOCOL: &str = "pinhole-signal.1";

#[test]
fn a_busy_local_port_fails_before_anything_is_dialled() {
    let busy = TcpListener::bind(any_port()).unwrap();
    let signaling = TcpListener::bind(any_port()).unwrap();
    let url = format!("ws://{}/ws?pin=1", signaling.local_addr().unwrap());
    let local = busy.local_addr().unwrap().to_string();
    run(&["client", &url, &local]).expect(1, &[&local, "already in use", "choose another port"]);
    signaling.set_nonblocking(true).unwrap();
    let dialled = signaling.accept().map(|(_, address)| address).map_err(|error| error.kind());
    assert_eq!(dialled, Err(ErrorKind::WouldBlock));
}

#[test]
fn a_busy_signaling_port_fails() {
    let busy = TcpListener::bind(any_port()).unwrap();
    let address = busy.local_addr().unwrap().to_string();
    run(&["host", "25565", "--listen", &address]).expect(1, &[&address, "already in use"]);
    let ended = run(&["host", "25565", "--listen", &address, "--json"]);
    ended.expect(1, &[r#""event":"error","code":"address-in-use""#]);
}

#[test]
fn an_address_that_is_not_ours_cannot_be_listened_on() {
    // TEST-NET-1 (RFC 5737) belongs to nobody.
    run(&["host", "25565", "--listen", "192.0.2.1:0"]).expect(1, &["192.0.2.1", "not an address of this machine"]);
}

#[test]
fn certificates_that_cannot_be_used_fail_before_anything_is_dialled() {
    let directory = std::env::temp_dir().join(format!("pinhole-cli-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let empty = directory.join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = directory.join("missing.pem");
    let signaling = TcpListener::bind(any_port()).unwrap();
    let url = format!("wss://{}/ws?pin=1", signaling.local_addr().unwrap());
    for file in [&empty, &missing, &directory] {
        let file = file.to_str().unwrap();
        run(&["client", &url, "0", "--ca", file]).expect(1, &[file]);
    }
    signaling.set_nonblocking(true).unwrap();
    assert_eq!(signaling.accept().map_err(|error| error.kind()).err(), Some(ErrorKind::WouldBlock));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_host_that_cannot_be_reached_fails_with_the_reason() {
    let closed = ReservedPort::new();
    let refused = format!("ws://{}/ws?pin=1", closed.address);
    run(&["client", &refused, "0"]).expect(1, &["cannot connect to", "is pinhole host still running"]);
    // The top-level domain that never resolves (RFC 6761).
    run(&["client", "ws://pinhole.invalid/ws?pin=1", "0"]).expect(1, &["cannot find pinhole.invalid"]);
}

#[test]
fn a_port_that_is_not_a_hosts_fails_with_the_reason() {
    let page = http_server("200 OK", "Content-Type: text/html\r\n", "<h1>hi</h1>");
    let url = format!("ws://{page}/ws?pin=1");
    run(&["client", &url, "0"]).expect(1, &["a web page answered instead of a WebSocket"]);

    let private = http_server("401 Unauthorized", "WWW-Authenticate: tunnel\r\n", "");
    let url = format!("ws://{private}/ws?pin=1");
    run(&["client", &url, "0"])
        .expect(1, &["the port is private", "--header 'X-Tunnel-Authorization: tunnel <token>'"]);

    let login = http_server("302 Found", "Location: https://login.example/\r\n", "");
    let url = format!("http://{login}/?pin=1");
    run(&["client", &url, "0"]).expect(1, &["the port is private", "visibility to Public"]);

    let missing = http_server("404 Not Found", "", "");
    let url = format!("ws://{missing}/ws?pin=1");
    run(&["client", &url, "0"]).expect(1, &["answers at this path"]);

    let echo = echo();
    run(&["client", &format!("ws://{echo}/ws?pin=1"), "0"]).expect(1, &["does not follow the protocol"]);
    run(&["client", &format!("wss://{echo}/ws?pin=1"), "0"]).expect(1, &["TLS"]);
}

#[test]
fn a_host_of_another_protocol_version_is_named_as_such() {
    let sentence = "the two pinholes share no protocol version; install the same release on both sides";
    let (url, host) = fake_host(|websocket| {
        let hello = websocket.read().unwrap().into_text().unwrap();
        assert!(hello.contains(r#""versions":[1]"#), "{hello}");
        let error = r#"{"type":"error","code":"version","message":"too old"}"#;
        websocket.send(Message::text(error)).unwrap();
    });
    run(&["client", &url, "0"]).expect(1, &[sentence]);
    host.result();

    // No host should choose what was not offered; one that does is of another version all the same.
    let (url, host) = fake_host(|websocket| {
        let hello: serde_json::Value = serde_json::from_str(&websocket.read().unwrap().into_text().unwrap()).unwrap();
        let answer = serde_json::json!({ "type": "hello", "version": 99, "pake": hello["pake"] });
        websocket.send(Message::text(answer.to_string())).unwrap();
    });
    run(&["client", &url, "0"]).expect(1, &[sentence]);
    host.result();
}

#[test]
fn a_client_of_another_protocol_version_is_told_so() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let (address, _) = url.strip_prefix("ws://").unwrap().split_once('/').unwrap();
    let mut request =
        tungstenite::client::IntoClientRequest::into_client_request(format!("ws://{address}/ws")).unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    let stream = crate::common::connect(address.parse().unwrap());
    let (mut websocket, _) = tungstenite::client(request, stream).unwrap();
    let pake = data_encoding::BASE64.encode(&[0; 33]);
    let hello = serde_json::json!({ "type": "hello", "versions": [99], "pake": pake });
    websocket.send(Message::text(hello.to_string())).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&websocket.read().unwrap().into_text().unwrap()).unwrap();
    assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &"version".into()));
    host.stop();
}

/// A server that answers every request with that.
fn http_server(status: &'static str, headers: &'static str, body: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
            request.push(byte[0]);
        }
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
    })
}

/// A proxy that passes requests on to a host, without the headers of an upgrade.
fn plain_proxy(host: SocketAddr) -> SocketAddr {
    serve(move |stream| {
        let mut client = BufReader::new(stream);
        let mut plain = String::new();
        loop {
            let mut line = String::new();
            client.read_line(&mut line)?;
            let name = line.to_ascii_lowercase();
            if !name.starts_with("upgrade:") && !name.starts_with("connection:") {
                plain.push_str(&line);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut host = std::net::TcpStream::connect(host)?;
        host.write_all(plain.as_bytes())?;
        std::io::copy(&mut host, client.get_mut()).map(drop)
    })
}

#[test]
fn a_proxy_that_passes_no_websockets_on_is_named() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let address = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let proxied = url.replace(address, &plain_proxy(address.parse().unwrap()).to_string());
    let words = ["does not pass WebSockets on", "proxy_set_header Upgrade $http_upgrade"];
    run(&["client", &proxied, "0"]).expect(1, &words);
    run(&["check", &proxied, "--no-stun"]).expect(1, &words);
    host.stop();
}

#[test]
fn what_people_make_of_a_printed_url_is_understood() {
    let mut host = Pinhole::host(echo(), &[]);
    let url = host.url();
    let (start, pin) = url.split_once("/ws?pin=").unwrap();
    let address = start.strip_prefix("ws://").unwrap();
    for pasted in [
        format!("ws://http://{address}/ws?pin={pin}"),
        format!("wss://http://{address}//ws?pin={pin}"),
        format!("HTTP://{address}/ws/?pin={pin}"),
        format!("pinhole client 'http://{address}/?pin={pin}/ws?pin={pin}' 8080"),
        format!("{address}?pin={pin}\n"),
    ] {
        let mut client = Pinhole::client(&pasted, &[]);
        client.local();
        client.stop();
    }
    run(&["client", "wss://<forwarded-address>/ws?pin=1", "0"])
        .expect(2, &["put the one there that the forwarder shows"]);
    run(&["client", "wss://a.test/ws?pin=<pin>", "0"]).expect(2, &["put the one there that the host printed"]);
    // Whoever dials by other means writes them, too.
    for path in ["//ws", "/ws/", "//ws//"] {
        let mut stream = crate::common::connect(address.parse().unwrap());
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101", "{path}");
    }
    host.stop();
}

/// A signaling WebSocket that sends what a test wants, and its URL.
fn fake_host(talk: impl FnOnce(&mut WebSocket<std::net::TcpStream>) + Send + 'static) -> (String, OneShot<()>) {
    let (address, thread) = one_shot(|stream| {
        #[expect(clippy::result_large_err, reason = "the type is tungstenite's")]
        let answer = |_: &Request, mut response: Response| {
            response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
            Ok(response)
        };
        let mut websocket = tungstenite::accept_hdr(stream, answer).unwrap();
        talk(&mut websocket);
        // Until the client has left, whichever way.
        while websocket.read().is_ok() {}
    });
    (format!("ws://{address}/ws?pin=123456"), thread)
}
