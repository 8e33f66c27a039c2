//! Servers other than a pinhole host that answer our client, and TLS in between.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use pinhole::internals::net::websocket::{Phase, WebSocketError, WebSocketEvent};

use super::foreign_server;
use super::lab::{DEADLINE, Lab, text};

/// A server that gives every connection the same bytes once a request head came, then closes.
fn canned_server(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, answer) = (StdListener::bind("127.0.0.1:0").unwrap(), answer.into());
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let Ok(count @ 1..) = stream.read(&mut piece) else {
                break;
            };
            request.extend_from_slice(&piece[..count]);
            if request[0] == 22 {
                break;
            }
        }
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut request);
    });
    addr
}

/// A private authority's certificate file, and a TLS server for `localhost` it vouches for.
pub(crate) fn tls_server(name: &str) -> (SocketAddr, PathBuf, JoinHandle<()>) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private_key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private_key)
        .unwrap();
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let path = std::env::temp_dir().join(format!("pinhole-ws-{}-{}.pem", std::process::id(), addr.port()));
    std::fs::write(&path, ca_certificate.pem()).unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let _ = foreign_server(rustls::StreamOwned::new(connection, stream));
    });
    (addr, path, server)
}

#[test]
fn tls_with_a_private_authority() {
    let (addr, ca, server) = tls_server("localhost");
    let mut lab = Lab::new();
    let client = lab.connect(addr, Some(ca.clone()));
    lab.wait_for(client, &WebSocketEvent::Open);
    lab.socket(client).send_text("z".repeat(60 * 1024)).unwrap();
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1005, reason: String::new() });
    assert_eq!(lab.log(client)[1], text(&"z".repeat(60 * 1024)));
    lab.serve(server);
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn a_certificate_that_is_not_trusted_or_for_another_name() {
    let (addr, ca, server) = tls_server("localhost");
    let (other_addr, other_ca, other_server) = tls_server("other.test");
    let mut lab = Lab::new();
    let untrusted = lab.connect(addr, Some(other_ca.clone()));
    let error = lab.wait_for_failure(untrusted);
    assert!(matches!(error, WebSocketError::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("none of the certificates that --ca names"), "{error}");
    lab.serve(server);
    let misnamed = lab.connect(other_addr, Some(other_ca.clone()));
    let error = lab.wait_for_failure(misnamed);
    assert!(matches!(error, WebSocketError::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("but for other.test"), "{error}");
    lab.serve(other_server);
    std::fs::remove_file(ca).unwrap();
    std::fs::remove_file(other_ca).unwrap();
}

#[test]
fn tls_and_plain_do_not_mix_quietly() {
    let (addr, ca, server) = tls_server("localhost");
    let mut lab = Lab::new();
    let plain_to_tls = lab.connect(addr, None);
    let error = lab.wait_for_failure(plain_to_tls).to_string();
    assert!(error.contains("wss://"), "{error}");
    lab.serve(server);
    let tls_to_plain = lab.connect(lab.addr, Some(ca.clone()));
    let error = lab.wait_for_failure(tls_to_plain).to_string();
    assert!(error.contains("ws:// instead of wss://"), "{error}");
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn other_answers_are_explained() {
    let rows: [(&str, &str); 12] = [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "set its visibility to Public"),
        (
            "HTTP/1.1 302 Found\r\nLocation: /login?to=%2Fws\r\nContent-Type: text/html\r\n\r\n<p>",
            "the port is private",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Sign in</title>", "set its visibility to Public"),
        ("HTTP/1.1 302 Found\r\nLocation: https://login.test/a\r\n\r\n", "X-Tunnel-Authorization"),
        ("HTTP/1.1 301 Moved\r\nLocation: https://b.test/\x1b[2Jws\r\n\r\n", "is not HTTP"),
        ("HTTP/1.1 404 Not Found\r\n\r\nno", "answers at this path"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>", "a web page answered instead of a WebSocket"),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\nbad \x1b[31mthing", "is it running"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "not to this request",
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n", "is not HTTP"),
        ("\x15\x03\x03\0\x02\x02\x28", "use wss://"),
        ("", "before the WebSocket was accepted"),
    ];
    for (answer, part) in rows {
        let mut lab = Lab::new();
        let client = lab.connect(canned_server(answer), None);
        let error = lab.wait_for_failure(client).to_string();
        assert!(error.contains(part), "{answer:?} gave: {error}");
        assert!(!error.contains('\x1b'), "{error:?}");
    }
    let mut lab = Lab::new();
    let client = lab.connect(canned_server(vec![b'H'; 1]), None);
    assert!(lab.wait_for_failure(client).is_transient());
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    let client = lab.connect(canned_server(endless), None);
    assert!(lab.wait_for_failure(client).to_string().contains("has no end"));
}

#[test]
fn a_refused_connection_says_what_to_check() {
    let addr = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut lab = Lab::new();
    let client = lab.connect(addr, None);
    let error = lab.wait_for_failure(client);
    assert!(matches!(error, WebSocketError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("is pinhole host still running, and is the port right?"), "{error}");
}

#[test]
fn a_server_that_says_nothing_is_a_timeout_in_words() {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let mut lab = Lab::new();
    let client = lab.connect(listener.local_addr().unwrap(), None);
    lab.run_until("the request", |lab| lab.socket(client).phase() == Phase::Upgrading);
    let error = lab.socket(client).timed_out();
    assert!(matches!(error, WebSocketError::Timeout(Phase::Upgrading)), "{error}");
    assert!(error.to_string().contains("does not answer"), "{error}");
    lab.socket(client).close(1000, "");
    assert_eq!(lab.socket(client).phase(), Phase::Closed);
}
