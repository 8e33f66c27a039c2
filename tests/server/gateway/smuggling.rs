//! Requests that two sides might read differently, over real sockets: none of them reaches a service.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};

use super::http::{ask, get};
use super::rig::Server;
use crate::common::connect;
use crate::common::services::serve;
use crate::common::system::figure;

/// What a service got, of all of its connections.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl Recorder {
    /// Keeps every byte, and answers each empty line.
    fn serve(&self) -> SocketAddr {
        let recorder = self.clone();
        serve(move |mut stream| {
            let (mut piece, mut seen) = ([0; 4096], Vec::new());
            loop {
                let count = stream.read(&mut piece)?;
                if count == 0 {
                    return Ok(());
                }
                recorder.0.lock().unwrap().extend_from_slice(&piece[..count]);
                seen.extend_from_slice(&piece[..count]);
                while let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                    seen.drain(..end + 4);
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
                }
            }
        })
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// What must not get through. It is part of every request below.
const HIDDEN: &str = "hidden";

/// Every status that says whose fault it was.
const BAD: &[u16] = &[400];

struct Row {
    name: &'static str,
    /// `@` is the host's authority, `~` the hidden request.
    bytes: &'static [u8],
    statuses: &'static [u16],
}

const fn row(name: &'static str, bytes: &'static [u8]) -> Row {
    Row { name, bytes, statuses: BAD }
}

const fn other(name: &'static str, bytes: &'static [u8], statuses: &'static [u16]) -> Row {
    Row { name, bytes, statuses }
}

const ROWS: &[Row] = &[
    // Both lengths.
    row("both", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n~"),
    row(
        "both, the other way",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n~",
    ),
    row(
        "both, case",
        b"POST / HTTP/1.1\r\nHost: @\r\ncontent-LENGTH: 5\r\nTRANSFER-encoding: cHuNkEd\r\n\r\n0\r\n\r\n~",
    ),
    // Lengths.
    row("two lengths", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\n~"),
    row("two equal lengths", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc~"),
    row("a list of lengths", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 0, 0\r\n\r\n~"),
    row("a length with a plus", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: +3\r\n\r\nabc~"),
    row("a length with a minus", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: -1\r\n\r\n~"),
    row("a length in hex", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 0x3\r\n\r\nabc~"),
    row("a length with a point", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 3.0\r\n\r\nabc~"),
    row("a length with a separator", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 1_0\r\n\r\n~"),
    row("a length with a space", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 1 0\r\n\r\n~"),
    row("an empty length", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length:\r\n\r\n~"),
    row("a length in words", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: three\r\n\r\n~"),
    row("a length beyond 64 bits", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 18446744073709551617\r\n\r\n~"),
    row("a length in other digits", "POST / HTTP/1.1\r\nHost: @\r\nContent-Length: \u{0663}\r\n\r\nabc~".as_bytes()),
    // Codings.
    row("identity", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: identity\r\n\r\n~"),
    row(
        "two codings",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n~",
    ),
    row(
        "a second coding",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n~",
    ),
    row(
        "chunked, then identity",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n~",
    ),
    other(
        "gzip, then chunked",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n~",
        &[501],
    ),
    row("xchunked", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n~"),
    row("chunked with a parameter", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n~"),
    row("chunked in quotes", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n~"),
    row(
        "chunked behind a vertical tab",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n~",
    ),
    row(
        "chunked before a no-break space",
        b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n~",
    ),
    row("chunked behind a comma", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n~"),
    row("an empty coding", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n~"),
    row("chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: @\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n~"),
    // Fields.
    row("a space before the colon", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n~"),
    row("a space before a length's colon", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length : 3\r\n\r\nabc~"),
    row("a folded coding", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n~"),
    row("a folded field", b"GET / HTTP/1.1\r\nHost: @\r\nX-A: b\r\n\tc\r\n\r\n~"),
    row("a space before the first field", b"GET / HTTP/1.1\r\n Host: @\r\n\r\n~"),
    row("a field without a colon", b"GET / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding\r\n\r\n~"),
    row("a field without a name", b"GET / HTTP/1.1\r\nHost: @\r\n: b\r\n\r\n~"),
    row("a null byte in a value", b"GET / HTTP/1.1\r\nHost: @\r\nX-A: b\0c\r\n\r\n~"),
    row("a null byte in a name", b"GET / HTTP/1.1\r\nHost: @\r\nX\0A: b\r\n\r\n~"),
    row("a null byte in a coding", b"POST / HTTP/1.1\r\nHost: @\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n~"),
    row("a bell in a value", b"GET / HTTP/1.1\r\nHost: @\r\nX-A: \x07\r\n\r\n~"),
    // Line ends.
    row("LF alone", b"GET / HTTP/1.1\nHost: @\n\n~"),
    row("LF alone behind a field", b"GET / HTTP/1.1\r\nHost: @\nX-A: b\r\n\r\n~"),
    row("LF alone at the end", b"POST / HTTP/1.1\r\nHost: @\r\nContent-Length: 3\r\n\nabc~"),
    row("CR alone in a value", b"GET / HTTP/1.1\r\nHost: @\r\nX-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n~"),
    row("CR CR LF", b"GET / HTTP/1.1\r\nHost: @\r\nX-A: b\r\r\n\r\n~"),
    // Chunks. All but the last of a head that is fine.
    row("CR alone before the version's end", b"GET / HTTP/1.1\rX: y\r\nHost: @\r\n\r\n~"),
    // Hosts and targets.
    row("no host", b"GET / HTTP/1.1\r\nX-Host: @\r\n\r\n~"),
    row("an empty host", b"GET / HTTP/1.1\r\nHost:\r\nX-A: @\r\n\r\n~"),
    row("two hosts", b"GET / HTTP/1.1\r\nHost: @\r\nHost: other.p.test\r\n\r\n~"),
    row("the same host twice", b"GET / HTTP/1.1\r\nHost: @\r\nHost: @\r\n\r\n~"),
    row("a list of hosts", b"GET / HTTP/1.1\r\nHost: @, other.p.test\r\n\r\n~"),
    row("a host with a user", b"GET / HTTP/1.1\r\nHost: a@@\r\n\r\n~"),
    row("a host with a path", b"GET / HTTP/1.1\r\nHost: @/a\r\n\r\n~"),
    row("a whole URL of another host", b"GET http://other.p.test/ HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a whole URL, and another Host", b"GET http://@/ HTTP/1.1\r\nHost: other.p.test\r\n\r\n~"),
    row("a URL with a user", b"GET http://a:b@@/ HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a URL of another scheme", b"GET ftp://@/ HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a target without a slash", b"GET x HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a star for GET", b"GET * HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a fragment", b"GET /#a HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a tab in the target", b"GET /a\tb HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a null byte in the target", b"GET /\0 HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("bytes beyond ASCII in the target", b"GET /\xe9 HTTP/1.1\r\nHost: @\r\n\r\n~"),
    // First lines.
    row("HTTP/0.9", b"GET /\r\n\r\n~"),
    row("two spaces", b"GET  / HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a space behind the version", b"GET / HTTP/1.1 \r\nHost: @\r\n\r\n~"),
    row("a tab for a space", b"GET\t/ HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a space before the method", b" GET / HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a method with a colon", b"GE:T / HTTP/1.1\r\nHost: @\r\n\r\n~"),
    row("a version in small letters", b"GET / http/1.1\r\nHost: @\r\n\r\n~"),
    row("a version of two digits", b"GET / HTTP/1.10\r\nHost: @\r\n\r\n~"),
    row("a request in the request", b"GET / HTTP/1.1 HTTP/1.1\r\nHost: @\r\n\r\n~"),
    other("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: @\r\n\r\n~", &[505]),
    other("HTTP/1.2", b"GET / HTTP/1.2\r\nHost: @\r\n\r\n~", &[400, 505]),
    other("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n~", &[505]),
    other("CONNECT", b"CONNECT @ HTTP/1.1\r\nHost: @\r\n\r\n~", &[405]),
    other("CONNECT with a body", b"CONNECT @ HTTP/1.1\r\nHost: @\r\nContent-Length: 3\r\n\r\nabc~", &[400, 405]),
    row("TLS", b"\x16\x03\x01\x00\x05hello~"),
    row("SSH", b"SSH-2.0-OpenSSH_9.2\r\n~"),
    // Sizes.
    other("many empty lines", b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: @\r\n\r\n~", &[400]),
];

/// Heads that are fine, with bodies that are not. The service may see what came before the fault, and never the end.
const CHUNKS: &[(&str, &[u8])] = &[
    ("a size with a plus", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("a size with a minus", b"-1\r\nabc\r\n0\r\n\r\n"),
    ("a size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("a size in other letters", b"3g\r\nabc\r\n0\r\n\r\n"),
    ("a space before a size", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("a space behind a size", b"3 \r\nabc\r\n0\r\n\r\n"),
    ("no size", b"\r\nabc\r\n0\r\n\r\n"),
    ("a size beyond 64 bits", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("a size with LF alone", b"3\nabc\r\n0\r\n\r\n"),
    ("a chunk with LF alone", b"3\r\nabc\n0\r\n\r\n"),
    ("a chunk that is longer", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("a chunk that is shorter", b"4\r\nabc\r\n0\r\n\r\n"),
    ("an extension with LF alone", b"3;a\nabc\r\n0\r\n\r\n"),
    ("an extension with CR alone", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("an extension with a null byte", b"3;\0\r\nabc\r\n0\r\n\r\n"),
    ("a trailer with LF alone", b"3\r\nabc\r\n0\r\nX: y\n\r\n"),
    ("a trailer without a colon", b"3\r\nabc\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
    ("a trailer that is folded", b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ("a last chunk with LF alone", b"3\r\nabc\r\n0\n\r\n"),
    ("the end with LF alone", b"3\r\nabc\r\n0\r\n\n"),
];

/// Sends bytes over a connection of their own and reads all that comes back.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    // It may be refused before all of it is sent.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> Option<u16> {
    answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

/// Counts the answers: one is right, and a second would be to what was hidden.
fn answers(text: &str) -> usize {
    text.lines()
        .filter(|line| line.contains("HTTP/1.1 ") && status(&line[line.find("HTTP").unwrap()..]).is_some())
        .count()
}

/// Puts the host's authority and the hidden request in their places.
fn fill(bytes: &[u8], authority: &str) -> Vec<u8> {
    let hidden = get(authority, &format!("/{HIDDEN}"), "");
    let mut filled = Vec::new();
    let mut rest = bytes;
    while let Some((byte, behind)) = rest.split_first() {
        match byte {
            // Doubled, the first is one itself.
            b'@' if behind.first() == Some(&b'@') => filled.push(b'@'),
            b'@' => filled.extend_from_slice(authority.as_bytes()),
            b'~' => filled.extend_from_slice(hidden.as_bytes()),
            byte => filled.push(*byte),
        }
        rest = behind;
    }
    filled
}

#[test]
fn nothing_ambiguous_reaches_a_service() {
    let server = Server::start();
    let recorder = Recorder::default();
    let _host = server.publish("myhost", recorder.serve());
    let authority = server.authority("myhost");
    let mut wrong = Vec::new();
    // Both ports, as one of them looks for what is for the server itself.
    for (address, port) in [(server.gateway, "gateway"), (server.address, "shared")] {
        for Row { name, bytes, statuses } in ROWS {
            let answer = exchange(address, &fill(bytes, &authority));
            let got = recorder.take();
            let is_refused = status(&answer).is_some_and(|status| statuses.contains(&status));
            if !is_refused || answers(&answer) != 1 || !got.is_empty() {
                wrong.push(format!("{port}: {name}: {answer:?}, the service got {:?}", String::from_utf8_lossy(&got)));
            }
            assert_eq!(ask(address, get(&authority, "/", "")).text(), "ok", "behind {name}");
            recorder.take();
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 2 * ROWS.len(), wrong.join("\n"));
    figure(&format!("{} shapes of requests were refused at each port", ROWS.len()));
}

#[test]
fn malformed_bodies_never_look_complete_to_a_service() {
    let server = Server::start();
    let recorder = Recorder::default();
    let _host = server.publish("myhost", recorder.serve());
    let authority = server.authority("myhost");
    let mut wrong = Vec::new();
    for (name, body) in CHUNKS {
        let head = format!("POST / HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n");
        let answer = exchange(server.gateway, &[head.as_bytes(), body, &fill(b"~", &authority)].concat());
        let got = String::from_utf8_lossy(&recorder.take()).into_owned();
        // The service of this test answers heads at once, which may be before the fault is seen: then the connection is
        // cut.
        let is_refused = status(&answer) == Some(400) && answers(&answer) == 1;
        let is_cut = answer.matches("HTTP/1.1 200").count() <= 1 && !answer.contains("HTTP/1.1 4");
        let is_hidden = !got.contains(HIDDEN) && !got.contains("\r\n0\r\n");
        if !(is_refused || is_cut) || !is_hidden {
            wrong.push(format!("{name}: {answer:?}, the service got {got:?}"));
        }
        assert_eq!(ask(server.gateway, get(&authority, "/", "")).text(), "ok", "behind {name}");
        recorder.take();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), CHUNKS.len(), wrong.join("\n"));
}

/// What is in a body is no request, wherever it is cut into pieces.
#[test]
fn a_request_within_a_body_stays_there() {
    let server = Server::start();
    let recorder = Recorder::default();
    let _host = server.publish("myhost", recorder.serve());
    let authority = server.authority("myhost");
    let body = get("other.p.test", &format!("/{HIDDEN}"), "");
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let chunks = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for rest in [length, chunks] {
        let request = format!("POST / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{rest}");
        for split in [request.len() / 3, request.len() - 5, request.len()] {
            let mut stream = connect(server.gateway);
            stream.write_all(&request.as_bytes()[..split]).unwrap();
            stream.write_all(&request.as_bytes()[split..]).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
            assert!(!answer.contains("HTTP/1.1 4"), "{answer}");
        }
    }
}
