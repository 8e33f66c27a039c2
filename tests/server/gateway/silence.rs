//! Browsers that leave while a service is silent: nothing is sent that could fail, but they must be noticed.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use socket2::SockRef;

use super::http::{Connection, Request, get};
use super::rig::Server;
use crate::common::DEADLINE;
use crate::common::services::serve;

/// A service that sends an event when it is told to, and tells when its connection has ended.
struct Source {
    address: SocketAddr,
    wanted: Sender<()>,
    ended: Receiver<Result<usize, ErrorKind>>,
}

impl Source {
    fn start() -> Source {
        let ((wanted, told), (ends, ended)) = (unbounded::<()>(), unbounded());
        let address = serve(move |mut stream| {
            let mut input = BufReader::new(stream.try_clone()?);
            Request::read(&mut input)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")?;
            let told = told.clone();
            thread::spawn(move || {
                for () in told {
                    // It fails if the connection has ended already.
                    let _ = stream.write_all(b"data: x\n\n");
                }
            });
            let end = input.read(&mut [0]);
            let _ = ends.send(end.map_err(|error| error.kind()));
            Ok(())
        });
        Source { address, wanted, ended }
    }
}

/// Reads the first event, and lets the browser go on from there.
fn listening(server: &Server, id: &str, source: &Source) -> Connection {
    let mut browser = Connection::to(server.gateway);
    browser.send(get(&server.authority(id), "/events", ""));
    source.wanted.send(()).unwrap();
    let mut line = String::new();
    while !line.ends_with("data: x\n") {
        assert_ne!(browser.stream.read_line(&mut line).unwrap(), 0);
    }
    browser.stream.read_line(&mut line).unwrap();
    browser
}

#[test]
fn a_browser_that_left_is_noticed_with_the_next_event() {
    let server = Server::start();
    let source = Source::start();
    let _host = server.publish("myhost", source.address);
    // A page that is closed: the end, and a reset for what comes nevertheless.
    drop(listening(&server, "myhost", &source));
    source.wanted.send(()).unwrap();
    assert_eq!(source.ended.recv_timeout(DEADLINE).unwrap(), Ok(0));
}

#[test]
fn a_browser_that_resets_is_noticed_at_once() {
    let server = Server::start();
    for (id, has_ended) in [("one", false), ("two", true)] {
        let source = Source::start();
        let _host = server.publish(id, source.address);
        let browser = listening(&server, id, &source);
        if has_ended {
            browser.stream.get_ref().shutdown(Shutdown::Write).unwrap();
        }
        SockRef::from(browser.stream.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
        drop(browser);
        assert_eq!(source.ended.recv_timeout(DEADLINE).unwrap(), Ok(0));
    }
}

/// A browser whose machine vanished sends nothing at all. The system checks now and then whether it is alive.
#[test]
#[cfg(target_os = "linux")]
fn silent_connections_are_asked_whether_they_are_there() {
    const KEEP_ALIVE_TIMER: &str = "02";
    let server = Server::start();
    let source = Source::start();
    let _host = server.publish("myhost", source.address);
    let browser = listening(&server, "myhost", &source);
    let ours = browser.stream.get_ref().local_addr().unwrap();
    let hex = |port: u16| format!(":{port:04X}");
    let timer = || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut found =
            rows.filter(|row| row[1].ends_with(&hex(server.gateway.port())) && row[2].ends_with(&hex(ours.port())));
        found.next().map(|row| row[5][..2].to_owned())
    };
    // Another timer runs until what was sent is acknowledged.
    crate::common::wait_until("the timer of keep-alive", || timer().as_deref() == Some(KEEP_ALIVE_TIMER));
}
