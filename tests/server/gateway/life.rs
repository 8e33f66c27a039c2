//! Hosts that leave and come back, a server that is stopped, and what the log says about it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::SockRef;

use super::http::{Answer, Connection, Request, ask, get, ok};
use super::rig::Server;
use crate::common::bytes::{PIECE, check_pattern, write_pattern};
use crate::common::services::serve;
use crate::common::system::figure;
use crate::common::{DEADLINE, connect, wait_until};

/// A service that says when a request is there, and answers the second half when it is told to.
struct Halves {
    address: SocketAddr,
    begun: Receiver<()>,
    go_on: Sender<()>,
}

const HALF: usize = 100_000;

impl Halves {
    fn start() -> Halves {
        let ((begins, begun), (go_on, told)) = (unbounded(), unbounded::<()>());
        let address = serve(move |mut stream| {
            let mut input = BufReader::new(stream.try_clone()?);
            while let Some(request) = Request::read(&mut input)? {
                request.read_body(&mut input, &mut std::io::sink())?;
                if request.path() == "/at-once" {
                    stream.write_all(&ok("here"))?;
                    continue;
                }
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 2 * HALF, "a".repeat(HALF))?;
                let _ = begins.send(());
                let _ = told.recv();
                stream.write_all("b".repeat(HALF).as_bytes())?;
            }
            Ok(())
        });
        Halves { address, begun, go_on }
    }
}

fn status(server: &Server, id: &str) -> u16 {
    ask(server.gateway, get(&server.authority(id), "/at-once", "")).status
}

#[test]
fn a_host_that_is_killed_and_comes_back() {
    let server = Server::start();
    let halves = Halves::start();
    let host = server.publish("myhost", halves.address);
    let authority = server.authority("myhost");
    // One that waits for its next request, one whose answer has not begun, and one in the middle of it.
    let (mut idle, mut middle) = (Connection::to(server.gateway), Connection::to(server.gateway));
    idle.send(get(&authority, "/at-once", ""));
    assert_eq!(idle.answer().status, 200);
    middle.send(get(&authority, "/", ""));
    halves.begun.recv_timeout(DEADLINE).unwrap();
    assert!(!middle.stream.fill_buf().unwrap().is_empty());
    let mut upload = Connection::to(server.gateway);
    upload.send(format!("PUT /upload HTTP/1.1\r\nHost: {authority}\r\nContent-Length: 10\r\n\r\nabc"));
    let start = Instant::now();
    host.signal(Signal::SIGKILL);
    let middle = Answer::read(&mut middle.stream);
    assert!(middle.is_err(), "half of an answer looked whole: {middle:?}");
    let refused = upload.answer();
    // 404 if the gateway saw the host go before it read the request.
    assert!([502, 404].contains(&refused.status), "{}", refused.text());
    wait_until("the host to be gone", || status(&server, "myhost") == 404);
    figure(&format!("a host that was killed is gone after {:?}", start.elapsed()));
    idle.send(get(&authority, "/at-once", ""));
    assert_eq!(idle.answer().status, 404);

    let _host = server.publish("myhost", halves.address);
    assert_eq!(status(&server, "myhost"), 200);
    idle.send(get(&authority, "/at-once", ""));
    assert_eq!(idle.answer().status, 200);
}

/// A host that is stopped, rather than killed, ends in order; what was not answered is refused and not left alone.
#[test]
fn a_host_that_is_stopped() {
    let server = Server::start();
    let (begins, begun) = unbounded();
    let service = serve(move |stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        Request::read(&mut input)?;
        let _ = begins.send(());
        input.read(&mut [0]).map(drop)
    });
    let mut host = server.publish("myhost", service);
    let mut waiting = Connection::to(server.gateway);
    waiting.send(get(&server.authority("myhost"), "/", "Accept: application/json\r\n"));
    begun.recv_timeout(DEADLINE).unwrap();
    host.stop();
    let answer = waiting.answer();
    assert_eq!(answer.status, 502, "{}", answer.text());
    wait_until("the host to be gone", || status(&server, "myhost") == 404);
}

#[test]
fn what_is_under_way_ends_before_the_server_does() {
    let mut server = Server::start();
    let halves = Halves::start();
    let _host = server.publish("myhost", halves.address);
    let authority = server.authority("myhost");
    let mut kept = Connection::to(server.gateway);
    kept.send(get(&authority, "/at-once", ""));
    assert_eq!(kept.answer().text(), "here");
    let mut middle = Connection::to(server.gateway);
    middle.send(get(&authority, "/", ""));
    halves.begun.recv_timeout(DEADLINE).unwrap();
    let start = Instant::now();
    server.process.signal(Signal::SIGTERM);
    // Nobody new is let in, and a request more on a connection that is there is asked to come back.
    wait_until("the ports to be closed", || {
        [server.gateway, server.address].iter().all(|address| crate::common::try_connect(*address).is_err())
    });
    kept.send(get(&authority, "/at-once", ""));
    let answer = kept.answer();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.field("retry-after").is_some(), "{answer:?}");
    halves.go_on.send(()).unwrap();
    let answer = middle.answer();
    assert_eq!((answer.status, answer.body.len()), (200, 2 * HALF));
    let ended = server.process.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    figure(&format!("a server with one request under way ended after {:?}", start.elapsed()));
    let events = requests(ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()));
    let statuses: Vec<&Value> = events.iter().map(|event| &event["status"]).collect();
    assert_eq!(statuses, [200, 503, 200], "{events:#?}");
}

/// The end of an answer may be with the server alone, its service long gone and its browser slow.
#[test]
fn what_a_slow_browser_has_not_read_is_not_lost() {
    const LEN: u64 = 20_000_000;
    let mut server = Server::start();
    let service = serve(|mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while Request::read(&mut input)?.is_some() {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n")?;
            write_pattern(&mut stream, LEN)?;
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let mut browser = Connection::to(server.gateway);
    browser.send(get(&server.authority("myhost"), "/", ""));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        browser.stream.read_line(&mut head).unwrap();
    }
    server.process.signal(Signal::SIGTERM);
    for offset in (0..LEN).step_by(PIECE) {
        check_pattern(&mut browser.stream, offset, (LEN - offset).min(PIECE as u64));
        // Slower than the server.
        thread::park_timeout(Duration::from_millis(5));
    }
    let ended = server.process.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn requests(events: impl Iterator<Item = Value>) -> Vec<Value> {
    events.filter(|event| event["event"] == "request").collect()
}

/// Every request is in the log once, whatever became of it.
#[test]
fn the_log_has_every_request_once() {
    const LEN: usize = 10_000;
    let mut server = Server::start();
    let (begins, begun) = unbounded();
    let service = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut input)? {
            request.read_body(&mut input, &mut std::io::sink())?;
            match request.path().split('?').next().unwrap() {
                "/teapot" => stream.write_all(b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n")?,
                "/none" => stream.write_all(b"HTTP/1.1 204 None\r\n\r\n")?,
                "/cut" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
                    return stream.shutdown(Shutdown::Both);
                }
                "/never" => {
                    let _ = begins.send(());
                    std::io::copy(&mut input, &mut std::io::sink())?;
                }
                _ => stream.write_all(&ok("x".repeat(LEN)))?,
            }
        }
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let (host, nobody) = (server.authority("myhost"), server.authority("nobody"));
    let post = |path: &str, len: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len}\r\n\r\n{}", "y".repeat(len))
    };
    // The request, whether it is answered, the status and the path in the log, and bytes of the bodies.
    let rows: Vec<(String, u16, &str, usize, usize)> = vec![
        (get(&host, "/one?token=secret", ""), 200, "/one", LEN, 0),
        (get(&host, "/a%20b/%3f?secret#", "").replace('#', ""), 200, "/a%20b/%3f", LEN, 0),
        (post("/up?secret", 50_000), 200, "/up", LEN, 50_000),
        (get(&host, "/teapot", ""), 418, "/teapot", 0, 0),
        (get(&host, "/none", ""), 204, "/none", 0, 0),
        (get(&nobody, "/other?secret", ""), 404, "/other", 0, 0),
        (get(&host, "/head", "").replace("GET", "HEAD"), 200, "/head", 0, 0),
        (get(&host, "/cut", ""), 200, "/cut", 4, 0),
        (get(&host, "/never", ""), 499, "/never", 0, 0),
        ("BAD\r\n\r\n".to_owned(), 400, "", 0, 0),
    ];
    for (request, status, ..) in &rows {
        let mut stream = connect(server.gateway);
        stream.write_all(request.as_bytes()).unwrap();
        if *status != 499 {
            let mut head = [0; 12];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head[9..], status.to_string().as_bytes(), "{request}");
        }
        if *status == 499 {
            // It leaves, and does not want the answer any more.
            begun.recv_timeout(DEADLINE).unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            // It may have been cut already.
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    let mut found: HashMap<String, Vec<Value>> = HashMap::new();
    for _ in &rows {
        let event = server.logged();
        found.entry(event["path"].as_str().unwrap().to_owned()).or_default().push(event);
    }
    for (request, status, path, down, up) in &rows {
        let event = match found.remove(*path).as_deref() {
            Some([event]) => event.clone(),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(event["status"], *status, "{event}");
        assert_eq!(event["remote"], "127.0.0.1", "{event}");
        let name = request.split("Host: ").nth(1).map_or(Value::Null, |rest| rest.split(':').next().unwrap().into());
        assert_eq!((&event["host"], event["method"].as_str().unwrap()), (&name, method(request, *status)), "{event}");
        for (field, least) in [("sent", *down), ("received", *up)] {
            let counted = event[field].as_u64().unwrap();
            // With heads, pages of refusals, and what frames a body.
            assert!((least as u64..least as u64 + 1000).contains(&counted), "{field}: {least} bytes, {event}");
        }
        let duration = event["duration_ms"].as_f64().unwrap();
        assert!((0.0..60_000.0).contains(&duration), "{event}");
    }
    let ended = server.process.stop();
    let all = requests(ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()));
    assert_eq!(all.len(), rows.len(), "{all:#?}");
    assert!(!ended.stdout.contains("secret") && !ended.stderr.contains("secret"), "{ended:?}");
}

fn method(request: &str, status: u16) -> &str {
    if status == 400 { "" } else { request.split(' ').next().unwrap() }
}

/// A service that closed a connection it had kept is asked again over another, without the browser's knowing.
#[test]
fn a_service_that_closes_what_it_kept() {
    let server = Server::start();
    let (closes, closed) = unbounded();
    let service = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        Request::read(&mut input)?;
        stream.write_all(&ok("once"))?;
        stream.shutdown(Shutdown::Both)?;
        let _ = closes.send(());
        Ok(())
    });
    let _host = server.publish("myhost", service);
    let mut connection = Connection::to(server.gateway);
    for _ in 0..50 {
        connection.send(get(&server.authority("myhost"), "/", ""));
        let answer = connection.answer();
        assert_eq!((answer.status, answer.text()), (200, "once".to_owned()));
        closed.recv_timeout(DEADLINE).unwrap();
    }
}
