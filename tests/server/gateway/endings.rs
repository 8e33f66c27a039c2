//! How services see the end of their connections: in order, as behind nginx, without a reset. A reset makes Python's
//! `http.server` print a traceback, and ends a Node program that does not expect it.

use std::io::{self, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use nix::sys::signal::Signal;
use socket2::SockRef;

use super::http::{Answer, Connection, Request, get, ok};
use super::rig::Server;
use crate::common::services::serve;
use crate::common::{DEADLINE, connect};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: echo\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
const CLOSED: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";

/// What a service does behind its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Service {
    Waits,
    /// As `end()` of a socket of Node's.
    Finishes,
    /// For as long as it can.
    GoesOn,
}

/// What a visitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    /// It goes once something of the answer is there.
    Closes,
    Resets,
    /// Before there is any of it; with a reset, for an end alone may mean that it still waits.
    LeavesEarly,
    /// It waits until it was told that nothing follows.
    Stays,
}

/// How a connection ended at its service.
type End = Result<(), ErrorKind>;

/// A service that answers every request so, and tells how each connection ended.
fn service(answer: Vec<u8>, then: Service) -> (SocketAddr, Receiver<()>, Receiver<End>) {
    let ((asks, asked), (ends, ended)) = (unbounded(), unbounded());
    let address = serve(move |mut stream| {
        let mut input = BufReader::new(stream.try_clone()?);
        if Request::read(&mut input)?.is_none() {
            return Ok(());
        }
        let _ = asks.send(());
        // It may be gone.
        let _ = stream.write_all(&answer);
        match then {
            Service::Waits => {}
            Service::Finishes => stream.shutdown(Shutdown::Write)?,
            Service::GoesOn => while stream.write_all(&[b'x'; 5000]).is_ok() {},
        }
        let end = io::copy(&mut input, &mut io::sink());
        let _ = ends.send(end.map(drop).map_err(|error| error.kind()));
        Ok(())
    });
    (address, asked, ended)
}

fn leave(mut stream: TcpStream, visitor: Visitor, asked: &Receiver<()>) {
    asked.recv_timeout(DEADLINE).unwrap();
    match visitor {
        Visitor::LeavesEarly => {}
        Visitor::Closes | Visitor::Resets => assert_ne!(stream.read(&mut [0; 2000]).unwrap(), 0),
        Visitor::Stays => assert_ne!(stream.read_to_end(&mut Vec::new()).unwrap(), 0),
    }
    if matches!(visitor, Visitor::Resets | Visitor::LeavesEarly) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn services_see_an_end_and_no_reset() {
    let (kept, not_modified) = (ok("hi"), b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec());
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nhi".to_vec();
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nhi".to_vec();
    let surplus = [&ok("hi")[..], b"more"].concat();
    let (switch, too_large, closed) = (SWITCH.as_bytes().to_vec(), TOO_LARGE.as_bytes().to_vec(), CLOSED.into());
    let kept_too_large = TOO_LARGE.replace("Connection: close\r\n", "").into_bytes();
    let upload = "Content-Length: 300000\r\n";
    let (nothing, none): (&str, Vec<u8>) = ("", Vec::new());
    use Service::{Finishes, GoesOn, Waits};
    use Visitor::{Closes, LeavesEarly, Resets, Stays};
    // What the request has, what it is answered, what the service does then, and what the visitor does.
    let rows: Vec<(&str, &Vec<u8>, Service, Visitor)> = vec![
        (nothing, &kept, Waits, Closes),
        (nothing, &kept, Waits, Resets),
        ("Connection: close\r\n", &kept, Waits, Stays),
        ("Connection: close\r\n", &until_close, Finishes, Stays),
        (nothing, &kept, Finishes, Closes),
        (nothing, &closed, Finishes, Closes),
        (nothing, &closed, Waits, Closes),
        (nothing, &surplus, Waits, Closes),
        (nothing, &not_modified, Waits, Closes),
        (UPGRADE, &closed, Finishes, Closes),
        (UPGRADE, &kept, Finishes, Closes),
        (UPGRADE, &kept, Waits, Closes),
        (UPGRADE, &switch, Waits, Closes),
        (UPGRADE, &switch, Waits, Resets),
        (UPGRADE, &switch, Finishes, Resets),
        (upload, &too_large, Waits, Stays),
        (upload, &kept_too_large, Waits, Closes),
        (upload, &too_large, Finishes, Closes),
        (upload, &none, Waits, LeavesEarly),
        (nothing, &none, Waits, LeavesEarly),
        (nothing, &half, Waits, Resets),
        (nothing, &half, GoesOn, Closes),
        (nothing, &half, GoesOn, Resets),
        (nothing, &until_close, Waits, Resets),
    ];
    let server = Server::start();
    for (number, (fields, answer, then, visitor)) in rows.into_iter().enumerate() {
        let (address, asked, ended) = service(answer.clone(), then);
        let id = format!("host-{number}");
        let _host = server.publish(&id, address);
        let mut stream = connect(server.gateway);
        stream.write_all(get(&server.authority(&id), "/", fields).as_bytes()).unwrap();
        leave(stream, visitor, &asked);
        let row = format!("{fields:?} {:?} {then:?} {visitor:?}", String::from_utf8_lossy(answer));
        assert_eq!(ended.recv_timeout(DEADLINE).expect(&row), Ok(()), "{row}");
    }
}

/// A stream that is kept for a visitor's next request ends like all others when it has to: with a request for somebody
/// else, or with the server.
#[test]
fn what_was_kept_ends_in_order() {
    let mut server = Server::start();
    let (one, _, one_ended) = service(ok("one"), Service::Waits);
    let (two, _, two_ended) = service(ok("two"), Service::Waits);
    let (_one, _two) = (server.publish("one", one), server.publish("two", two));
    let mut visitor = Connection::to(server.gateway);
    visitor.send(get(&server.authority("one"), "/", ""));
    assert_eq!(visitor.answer().text(), "one");
    visitor.send(get(&server.authority("two"), "/", ""));
    assert_eq!(visitor.answer().text(), "two");
    assert_eq!(one_ended.recv_timeout(DEADLINE).unwrap(), Ok(()));
    server.process.signal(Signal::SIGTERM);
    assert_eq!(two_ended.recv_timeout(DEADLINE).unwrap(), Ok(()));
    assert_eq!(server.process.end().code, Some(0));
}

/// A service that answers early and closes without reading the upload resets its connection, and what it said counts.
#[test]
fn an_answer_before_the_upload_is_read_arrives() {
    const TIMES: usize = 20;
    let server = Server::start();
    let service = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1000])?;
        stream.write_all(TOO_LARGE.as_bytes())
    });
    let _host = server.publish("early", service);
    let _closed = server.host("login", &["--public", "web", "--public-auth", "a:b", &format!("web={service}")]);
    for (id, len, status) in [("early", 3000, 413), ("early", 3_000_000, 413), ("login", 3_000_000, 401)] {
        for _ in 0..TIMES {
            let mut visitor = BufReader::new(connect(server.gateway));
            let head = get(&server.authority(id), "/", &format!("Content-Length: {len}\r\n")).replace("GET", "POST");
            // As programs that read nothing until all is sent.
            visitor.get_mut().write_all(head.as_bytes()).unwrap();
            visitor.get_mut().write_all(&vec![b'x'; len]).unwrap();
            assert_eq!(Answer::read(&mut visitor).unwrap().status, status, "{id} {len}");
        }
    }
}
