//! What says that it is a directory, and is none: servers say so, lose nothing, and go on.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use super::{asks, member};
use crate::common::any_port;
use crate::members::{SECRET, Secret, meets};
use crate::raw::Raw;

/// Listens, and does that with each connection.
fn pretender(act: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let act = act.clone();
            thread::spawn(move || act(&mut stream));
        }
    });
    address
}

/// Says that for ever.
fn repeat(stream: &mut TcpStream, text: &[u8]) {
    let piece = text.repeat(64 * 1024 / text.len());
    while stream.write_all(&piece).is_ok() {}
}

/// A server that has such a directory says why it is of no use, and serves.
#[track_caller]
fn is_survived(name: &str, expected: &str, act: impl Fn(&mut TcpStream) + Clone + Send + 'static) {
    let secret = Secret::of(name, SECRET);
    let address = pretender(act);
    let mut one = member(&secret, &format!("redis://:a-secret@{address}"), &["--open"]);
    let mut host = Raw::host(one.address(), "myhost");
    meets(one.address(), "myhost", &mut host);
    let said = one.server.process.event("directory-lost").to_string();
    assert!(said.contains(expected) && !said.contains("a-secret"), "{said}");
    assert_eq!(one.metric("pinhole_directory_up"), 0);
    assert_eq!(asks(&one, "nobody"), "busy");
    meets(one.address(), "myhost", &mut host);
    one.server.stop();
}

#[test]
fn one_that_says_something_else() {
    is_survived("http", "does not speak the protocol", |stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        let _ = stream.read(&mut [0; 1000]);
    });
}

#[test]
fn one_that_closes_at_once() {
    is_survived("closes", "closed the connection", |_| {});
}

#[test]
fn one_that_never_answers() {
    is_survived("silent", "does not answer", |stream| {
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
    });
}

#[test]
fn one_that_never_reads() {
    is_survived("unread", "does not answer", |_| thread::park());
}

#[test]
fn one_that_sends_nested_lists() {
    is_survived("nested", "too long", |stream| repeat(stream, b"*1\r\n"));
}

#[test]
fn one_that_sends_answers_that_nobody_asked_for() {
    is_survived("flood", "not to what it was asked", |stream| repeat(stream, b"+OK\r\n"));
}

#[test]
fn one_that_sends_hints_for_ever() {
    is_survived("hints", "does not answer", |stream| {
        repeat(stream, b">3\r\n+message\r\n+pinhole:changes\r\n+myhost 9 x\r\n")
    });
}

#[test]
fn one_that_sends_texts_without_an_end() {
    is_survived("endless", "too long", |stream| {
        let _ = stream.write_all(b"*1000000\r\n");
        repeat(stream, b"$10\r\n0123456789\r\n");
    });
}

#[test]
fn a_redis_that_cannot_do_scripts() {
    is_survived("refuses", "unknown command", |stream| {
        let mut piece = [0; 64 * 1024];
        let _ = stream.write_all(b"%0\r\n-ERR unknown command 'EVALSHA'\r\n");
        while stream.read(&mut piece).is_ok_and(|count| count > 0) {}
    });
}
