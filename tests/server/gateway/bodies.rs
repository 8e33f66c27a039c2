//! Large bodies both ways, and what happens if one side is slow, leaves or dies in the middle.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use socket2::SockRef;

use super::http::{Connection, Request, get, ok};
use super::rig::{Curl, Folder, Server, is_full};
use crate::common::bytes::{Digester, PIECE, check_pattern, pattern_digest, piece, write_pattern};
use crate::common::services::{read_head, serve};
use crate::common::system::{figure, resident_kib};
use crate::common::{DEADLINE, wait_until};

/// The most that a process may need more than before for somebody who does not read, in kibibytes: some windows and
/// buffers.
const GROWTH_LIMIT: u64 = 8 * 1024;

fn size() -> u64 {
    if is_full() { 1_000_000_000 } else { 64_000_000 }
}

/// Answers `GET /length/<n>` and `GET /chunked/<n>` with that much of the pattern, and everything else with the length
/// and the digest of its body.
fn pattern_service() -> SocketAddr {
    serve(|mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            let mut parts = request.path().split('/').skip(1);
            match (parts.next(), parts.next().and_then(|len| len.parse::<u64>().ok())) {
                (Some("length"), Some(len)) => {
                    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
                    write_pattern(&mut stream, len)?;
                }
                (Some("chunked"), Some(len)) => write_chunked(&mut stream, len)?,
                _ => {
                    if request.field("expect") == Some("100-continue") {
                        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                    }
                    let mut digest = Digester::default();
                    request.read_body(&mut input, &mut digest)?;
                    let (len, digest) = digest.finish();
                    let coding = request.field("transfer-encoding").unwrap_or("none");
                    let expect = request.field("expect").unwrap_or("nothing");
                    stream.write_all(&ok(format!("{len} {digest} {coding} {expect}")))?;
                }
            }
        }
        Ok(())
    })
}

fn write_chunked(stream: &mut impl Write, len: u64) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut offset = 0;
    while offset < len {
        let piece = piece(offset, len - offset);
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")?;
        offset += piece.len() as u64;
    }
    stream.write_all(b"0\r\n\r\n")
}

#[track_caller]
fn rate(what: &str, len: u64, start: Instant) {
    let time = start.elapsed();
    figure(&format!("{what} of {len} bytes in {time:?}, {:.0} Mbit/s", len as f64 * 8e-6 / time.as_secs_f64()));
}

/// Runs curl with that much of the pattern on its stdin, and returns what it wrote.
#[track_caller]
fn feed(mut curl: Command, len: u64) -> String {
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    write_pattern(&mut curl.stdin.take().unwrap(), len).unwrap();
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn large_bodies_arrive_unchanged() {
    let server = Server::start();
    let Some(curl) = Curl::find(&server, "large bodies by curl") else { return };
    let _host = server.publish("myhost", pattern_service());
    let (url, len) = (format!("http://{}", server.authority("myhost")), size());
    let digest = pattern_digest(len);
    let memory = resident_kib(server.process.pid());
    for framing in ["length", "chunked"] {
        let start = Instant::now();
        let mut download =
            curl.command(&["--fail", &format!("{url}/{framing}/{len}")]).stdout(Stdio::piped()).spawn().unwrap();
        let mut found = Digester::default();
        io::copy(&mut download.stdout.take().unwrap(), &mut found).unwrap();
        assert!(download.wait().unwrap().success());
        assert_eq!(found.finish(), (len, digest.clone()));
        rate(&format!("download ({framing})"), len, start);
    }

    let folder = Folder::new("bodies");
    let file = folder.join("body");
    write_pattern(&mut File::create(&file).unwrap(), len).unwrap();
    let file = file.to_str().unwrap();
    // With so long a wait for it, nothing but the service's word sends the body on its way.
    let patient = ["--fail", "--expect100-timeout", "100"];
    let start = Instant::now();
    let (status, said) = curl.get(&[&patient[..], &["-T", file, &format!("{url}/")]].concat());
    assert_eq!((status.as_str(), said), ("200", format!("{len} {digest} none 100-continue")));
    rate("upload (length)", len, start);
    let start = Instant::now();
    let arguments = ["-T", "-", "-H", "Transfer-Encoding: chunked", &format!("{url}/")];
    let said = feed(curl.command(&[&patient[..], &arguments].concat()), len);
    assert_eq!(said, format!("{len} {digest} chunked 100-continue"));
    rate("upload (chunked)", len, start);
    figure(&format!("server: {memory} KiB before, {} KiB after", resident_kib(server.process.pid())));
}

/// A service that wants no body says so before it comes, and curl keeps it.
#[test]
fn a_refusal_instead_of_100_continue() {
    let server = Server::start();
    let Some(curl) = Curl::find(&server, "a refusal instead of 100 Continue") else { return };
    let (bodies, seen) = unbounded();
    let service = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        Request::read(&mut input)?;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")?;
        stream.shutdown(Shutdown::Write)?;
        let count = io::copy(&mut input, &mut io::sink());
        let _ = bodies.send(count.map_err(|error| error.kind()));
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let url = format!("http://{}/", server.authority("myhost"));
    let folder = Folder::new("refusal");
    let file = folder.file("body", vec![7; 5_000_000]);
    let (status, said) = curl.get(&["--expect100-timeout", "100", "-T", &file, &url]);
    assert_eq!((status.as_str(), said.as_str()), ("413", "no\n"));
    assert_eq!(seen.recv_timeout(DEADLINE).unwrap(), Ok(0));
}

/// Back-pressure: what a browser does not read stays with the service.
#[test]
fn a_browser_that_does_not_read_costs_little() {
    let len = size();
    let server = Server::start();
    let written = Arc::new(AtomicU64::new(0));
    let count = written.clone();
    let service = serve(move |mut stream| {
        Request::read(&mut BufReader::new(stream.try_clone()?))?;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n")?;
        while count.load(Ordering::Relaxed) < len {
            let offset = count.load(Ordering::Relaxed);
            let sent = stream.write(piece(offset, len - offset))?;
            count.fetch_add(sent as u64, Ordering::Relaxed);
        }
        Ok(())
    });
    let host = server.publish("myhost", service);
    let pids = [server.process.pid(), host.pid()];
    let before = pids.map(resident_kib);
    let mut browser = Connection::to(server.gateway);
    browser.send(get(&server.authority("myhost"), "/", ""));
    stalls(&written);
    let (stalled_at, held) = (written.load(Ordering::Relaxed), pids.map(resident_kib));
    assert!(stalled_at < len, "all of it was taken from the service");
    figure(&format!(
        "a browser that does not read: the service wrote {stalled_at} bytes; server and host {before:?} KiB before, {held:?} KiB now"
    ));
    for (before, held) in before.iter().zip(held) {
        assert!(held < before + GROWTH_LIMIT, "{before} KiB before, {held} KiB now");
    }
    // Once it reads, all is there.
    read_head(&mut browser.stream).unwrap();
    check_pattern(&mut browser.stream, 0, len);
}

/// Waits until a number that grows has stopped growing.
fn stalls(number: &AtomicU64) {
    const QUIET: Duration = Duration::from_millis(500);
    let (mut last, mut since) = (0, Instant::now());
    wait_until("a stall", || {
        let now = number.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        now > 0 && since.elapsed() > QUIET
    });
}

#[test]
fn a_browser_that_hangs_up_is_noticed_by_the_service() {
    let server = Server::start();
    let ((begins, begun), (ends, ended)) = (unbounded(), unbounded());
    let service = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        let Some(request) = Request::read(&mut input)? else { return Ok(()) };
        let _ = begins.send(());
        let is_cut = if request.path() == "/down" {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            while stream.write_all(b"4\r\nabcd\r\n").is_ok() {}
            true
        } else {
            // Neither the body nor the connection may look complete.
            let result = request.read_body(&mut input, &mut io::sink());
            result.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock)
        };
        let _ = ends.send(is_cut);
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let authority = server.authority("myhost");
    let requests = [
        get(&authority, "/down", ""),
        format!("PUT /up HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 1000000\r\n\r\nabc"),
        format!("PUT /up HTTP/1.1\r\nHost: {authority}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
    ];
    for (index, request) in requests.iter().enumerate() {
        let mut browser = Connection::to(server.gateway);
        browser.send(request);
        begun.recv_timeout(DEADLINE).unwrap();
        if index == 0 {
            browser.stream.read_exact(&mut [0; PIECE]).unwrap();
        }
        drop(browser);
        assert!(ended.recv_timeout(DEADLINE).unwrap(), "request {index} looked complete");
    }
}

#[test]
fn a_service_that_dies_in_its_answer_never_looks_complete() {
    let server = Server::start();
    let Some(curl) = Curl::find(&server, "a service that dies in its answer") else { return };
    let service = serve(|mut stream| {
        let Some(request) = Request::read(&mut BufReader::new(stream.try_clone()?))? else { return Ok(()) };
        let half = "x".repeat(50_000);
        let head = match request.path().split('-').next() {
            Some("/length") => "Content-Length: 100000\r\n\r\n".to_owned(),
            Some("/chunk") => "Transfer-Encoding: chunked\r\n\r\n186a0\r\n".to_owned(),
            Some("/chunks") => "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nc350\r\n".to_owned(),
            _ => "Connection: close\r\n\r\n".to_owned(),
        };
        write!(stream, "HTTP/1.1 200 OK\r\n{head}{half}")?;
        if request.path().starts_with("/chunks") {
            stream.write_all(b"\r\n")?;
        }
        if request.path().ends_with("reset") {
            // As the system does for a process that is killed with something unread.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    for path in ["length", "chunk", "chunks", "length-reset", "chunk-reset", "chunks-reset", "close-reset"] {
        let output = curl.run(&["--fail", "-o", "/dev/null", &format!("http://{}/{path}", server.authority("myhost"))]);
        let code = output.status.code();
        // 18: the body is shorter than it should be. 56: the connection was reset. 22: nothing came at all, and it got
        // 502.
        let expected: &[i32] = if path.ends_with("reset") { &[18, 56, 22] } else { &[18, 56] };
        assert!(code.is_some_and(|code| expected.contains(&code)), "{path}: {output:?}");
        figure(&format!("a service that dies, {path}: curl exit {code:?}"));
    }
    // Here the end of the connection is the end of the body.
    assert_eq!(curl.get(&[&format!("http://{}/close", server.authority("myhost"))]).0, "200");
}
