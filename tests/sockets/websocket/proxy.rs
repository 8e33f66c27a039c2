//! Our client through an HTTP proxy, and proxies that do not connect.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;

use pinhole::internals::http::proxy::{Proxy, ProxyVariables};
use pinhole::internals::net::websocket::{Phase, ProxyProblem, WebSocketError, WebSocketEvent};

use super::front_ends::tls_server;
use super::lab::{Lab, request, text};
use crate::common::proxy::{ConnectProxy, ESTABLISHED};

/// The proxy as a variable of the environment names it.
fn named(user: &str, address: SocketAddr) -> Proxy {
    let variables = ProxyVariables::read(|name| (name == "HTTPS_PROXY").then(|| format!("{user}{address}").into()));
    variables.find(true, "host.test", 443).unwrap().unwrap()
}

/// Connects to `host.test` through a proxy.
fn connect(lab: &mut Lab, proxy: SocketAddr, tls: Option<PathBuf>) -> usize {
    let mut request = request("host.test");
    request.proxy = Some(named("", proxy));
    lab.connect_with(proxy, &request, tls)
}

/// Asserts that a proxy that answers so leads to an error that says that.
#[track_caller]
fn expect(answer: &str, part: &str, is_transient: bool) {
    let mut lab = Lab::new();
    let proxy = ConnectProxy::saying(answer);
    let client = connect(&mut lab, proxy.address, None);
    let error = lab.wait_for_failure(client);
    assert!(matches!(error, WebSocketError::Proxy(_)), "{answer:?} gave: {error}");
    assert!(error.to_string().contains(part), "{answer:?} gave: {error}");
    assert!(!error.to_string().contains('\x1b'), "{error:?}");
    assert_eq!(error.is_transient(), is_transient, "{error}");
}

fn works(answer: Vec<Vec<u8>>) {
    let mut lab = Lab::new();
    let proxy = ConnectProxy::to(lab.addr, answer);
    let client = connect(&mut lab, proxy.address, None);
    assert_eq!(lab.socket(client).phase(), Phase::Proxy);
    lab.wait_for(client, &WebSocketEvent::Open);
    let large = "ä".repeat(30 * 1024);
    lab.socket(client).send_text(large.clone()).unwrap();
    lab.wait_for(client, &text(&large));
    lab.socket(client).close(1000, "done");
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1000, reason: "done".into() });
    assert!(proxy.heads()[0].starts_with("CONNECT host.test:80 HTTP/1.1\r\nHost: host.test:80\r\n"));
}

#[test]
fn a_proxy_connects() {
    works(vec![ESTABLISHED.into()]);
    // HTTP/1.0, another success, fields that mean nothing here, and an interim answer before it.
    works(vec![b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n".to_vec()]);
    works(vec![b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nVia: x\r\n\r\n".to_vec()]);
}

#[test]
fn a_proxy_may_answer_byte_by_byte() {
    works(ESTABLISHED.bytes().map(|byte| vec![byte]).collect());
}

#[test]
fn what_follows_the_proxys_answer_is_the_hosts() {
    // The host's interim answer, in one packet with the proxy's; its real one comes later.
    works(vec![format!("{ESTABLISHED}HTTP/1.1 103 Early Hints\r\n\r\n").into_bytes()]);

    let mut lab = Lab::new();
    let proxy = ConnectProxy::saying(format!("{ESTABLISHED}HTTP/1.1 401 Unauthorized\r\n\r\n"));
    let client = connect(&mut lab, proxy.address, None);
    let error = lab.wait_for_failure(client);
    assert!(matches!(&error, WebSocketError::Http(answer) if answer.status == 401), "{error}");

    let (_, ca, _) = tls_server("localhost");
    let proxy = ConnectProxy::saying(format!("{ESTABLISHED}HTTP/1.1 401 Unauthorized\r\n\r\n"));
    let client = connect(&mut lab, proxy.address, Some(ca.clone()));
    let error = lab.wait_for_failure(client);
    assert!(matches!(error, WebSocketError::Tls(_)), "{error}");
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn tls_goes_through_to_the_host() {
    let (addr, ca, server) = tls_server("localhost");
    let mut lab = Lab::new();
    let proxy = ConnectProxy::to(addr, ESTABLISHED.bytes().map(|byte| vec![byte]).collect());
    let client = connect(&mut lab, proxy.address, Some(ca.clone()));
    lab.wait_for(client, &WebSocketEvent::Open);
    lab.socket(client).send_text("z".repeat(60 * 1024)).unwrap();
    lab.wait_for(client, &WebSocketEvent::Closed { code: 1005, reason: String::new() });
    assert_eq!(lab.log(client)[1], text(&"z".repeat(60 * 1024)));
    assert!(proxy.heads()[0].starts_with("CONNECT host.test:443 HTTP/1.1\r\n"));
    assert!(!proxy.passed().contains("Sec-WebSocket-Key"), "TLS begins before the upgrade");
    lab.serve(server);
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn the_proxy_learns_the_password_and_no_header_of_the_host() {
    let mut lab = Lab::new();
    let proxy = ConnectProxy::to(lab.addr, vec![ESTABLISHED.into()]);
    let mut request = request("host.test:5000");
    request.proxy = Some(named("http://Aladdin:open%20sesame@", proxy.address));
    let client = lab.connect_with(proxy.address, &request, None);
    lab.wait_for(client, &WebSocketEvent::Open);
    let head = &proxy.heads()[0];
    assert!(head.starts_with("CONNECT host.test:5000 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{head}");
    assert!(!head.contains("X-Test"), "{head}");
    assert!(proxy.passed().contains("\r\nX-Test: 1\r\n"));
    assert!(!proxy.passed().contains("Proxy-Authorization"));
}

#[test]
fn refusals_are_explained() {
    expect("HTTP/1.1 407 Auth\r\n\r\n", "set HTTPS_PROXY=http://user:password@127.0.0.1:", false);
    let many = "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: Basic realm=\"a, b\"\r\n\r\n";
    expect(many, "wants a user name and password", false);
    let windows = "HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate, NTLM\r\nContent-Length: 3\r\n\r\nno!";
    expect(windows, "by Negotiate or NTLM, and pinhole can tell by Basic only", false);
    expect("HTTP/1.1 403 Forbidden\r\n\r\n<html>", "does not allow connections to host.test:80", false);
    expect("HTTP/1.1 405 Not Allowed\r\n\r\n", "is HTTPS_PROXY the address of an HTTP proxy?", false);
    expect(
        "HTTP/1.1 302 Found\r\nLocation: http://portal.test/\r\n\r\n",
        "open http://portal.test/ in a browser",
        false,
    );
    expect("HTTP/1.1 502 Bad Gateway\r\n\r\n", "does not reach host.test:80", true);
    expect("HTTP/1.1 503 Unavailable\r\n\r\n", "does not reach host.test:80", true);
    expect("HTTP/1.1 504 Timeout\r\n\r\n", "does not reach host.test:80", true);
    expect("HTTP/1.1 418 Teapot\r\n\r\n", "refused to connect to host.test:80 (HTTP status 418)", false);
}

#[test]
fn what_is_no_proxy_is_said_to_be_none() {
    expect("SSH-2.0-OpenSSH_9.6\r\n", "does not answer as an HTTP proxy does: its answer is not HTTP", false);
    expect("HTTP/1.1 200 OK\x1b[2J\r\n\r\n", "its answer is not HTTP", false);
    expect("\x15\x03\x03\0\x02\x02\x28", "it speaks TLS, which is not supported towards a proxy", false);
    expect("\0\x5b\0\0\0\0\0\0", "its answer is not HTTP", false);
    let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(100_000));
    expect(&endless, "the head of its answer has no end", false);
    expect(&format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200)), "the head of its answer has no end", false);
}

#[test]
fn hang_ups_say_where_they_were() {
    let (_, ca, _) = tls_server("localhost");
    let rows = [
        (ConnectProxy::silent(), None, Phase::Proxy),
        (ConnectProxy::saying(""), None, Phase::Proxy),
        (ConnectProxy::saying("HTTP/1.1 200 Conn"), None, Phase::Proxy),
        (ConnectProxy::saying(ESTABLISHED), None, Phase::Upgrading),
        (ConnectProxy::saying(ESTABLISHED), Some(ca.clone()), Phase::Tls),
        (ConnectProxy::saying(format!("{ESTABLISHED}\x16\x03\x03\0\x50\x02")), Some(ca.clone()), Phase::Tls),
        (ConnectProxy::saying(format!("{ESTABLISHED}HTTP/1.1 101 Sw")), None, Phase::Upgrading),
    ];
    for (index, (proxy, tls, phase)) in rows.into_iter().enumerate() {
        let mut lab = Lab::new();
        let client = connect(&mut lab, proxy.address, tls);
        let error = lab.wait_for_failure(client);
        assert!(matches!(error, WebSocketError::Disconnected(found) if *found == phase), "row {index}: {error}");
        assert!(error.is_transient());
    }
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let addr = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut lab = Lab::new();
    let client = connect(&mut lab, addr, None);
    let error = lab.wait_for_failure(client);
    let WebSocketError::Proxy(failure) = error else { panic!("{error}") };
    assert!(matches!(failure.problem, ProxyProblem::Connect(_)), "{failure}");
    assert!(error.to_string().starts_with(&format!("cannot connect to the proxy {addr}: ")), "{error}");
    assert!(error.is_transient());
}

#[test]
fn a_proxy_that_says_nothing_is_a_timeout_in_words() {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let mut lab = Lab::new();
    let client = connect(&mut lab, listener.local_addr().unwrap(), None);
    let mut head = [0; 8];
    let (mut stream, _) = listener.accept().unwrap();
    let reader = std::thread::spawn(move || {
        std::io::Read::read_exact(&mut stream, &mut head).unwrap();
        (stream, head)
    });
    let (stream, head) = lab.serve(reader);
    assert_eq!(&head, b"CONNECT ");
    let error = lab.socket(client).timed_out();
    assert!(matches!(error, WebSocketError::Timeout(Phase::Proxy)), "{error}");
    assert!(error.to_string().contains("no answer from the proxy"), "{error}");
    lab.socket(client).close(1000, "");
    assert_eq!(lab.socket(client).phase(), Phase::Closed);
    drop(stream);
}
