//! Sessions between real processes: admission, reports, and independence of each other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::bytes::check_pattern;
use crate::common::pinhole::{Pair, Pinhole, command, run, text};
use crate::common::services::{echo, echo_once, serve_on, source};
use crate::common::system::figure;
use crate::common::{ReservedPort, connect, try_connect};

/// Sends a text, says that it was all, and returns what comes back.
fn echoed(local: SocketAddr, text: &str) -> String {
    let mut stream = connect(local);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// What a local program finds instead of an answer.
fn end_of(local: SocketAddr) -> Result<usize, ErrorKind> {
    try_connect(local).and_then(|mut stream| stream.read(&mut [0; 16])).map_err(|error| error.kind())
}

fn fields(event: &Value) -> Vec<&str> {
    // The order on the wire is tested with the reporter; here it is the names.
    event.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn events_come_in_order_with_their_fields() {
    let target = echo();
    let mut host = Pinhole::host(target, &["--pin", "123456"]);
    let listening = host.next();
    assert_eq!(fields(&listening), ["addr", "event", "pin", "url"]);
    let addr = text(&listening, "addr");
    assert_eq!(text(&listening, "url"), format!("ws://{addr}/ws?pin=123456"));
    assert_eq!(text(&listening, "pin"), "123456");

    let mut client = Pinhole::client(&text(&listening, "url"), &[]);
    let connected = client.next();
    assert_eq!(connected["event"], "connected");
    assert_eq!(fields(&connected), ["candidates", "event", "local", "path", "remote", "rtt_ms", "session"]);
    assert_eq!((&connected["path"], &connected["candidates"]), (&"direct".into(), &"host/host".into()));
    assert!(connected["rtt_ms"].as_f64().unwrap() > 0.0, "{connected}");
    let forwarding = client.next();
    assert_eq!(forwarding["event"], "forwarding");
    assert_eq!(fields(&forwarding), ["event", "local", "service"]);
    assert_eq!(text(&forwarding, "service"), target.port().to_string());
    let local: SocketAddr = text(&forwarding, "local").parse().unwrap();

    let theirs = host.next();
    assert_eq!(theirs["event"], "connected");
    assert_eq!(theirs["session"], connected["session"], "a session has one name");
    assert_eq!((&theirs["local"], &theirs["remote"]), (&connected["remote"], &connected["local"]));

    assert_eq!(echoed(local, "0123456789"), "0123456789");
    let opened = client.next();
    assert_eq!(opened["event"], "stream-opened");
    assert_eq!(fields(&opened), ["address", "event", "session", "stream"]);
    let closed = client.next();
    assert_eq!(fields(&closed), ["event", "reason", "received", "sent", "session", "stream"]);
    assert_eq!((&closed["event"], &closed["reason"]), (&"stream-closed".into(), &"closed".into()));
    assert_eq!((&closed["sent"], &closed["received"]), (&10.into(), &10.into()));
    assert_eq!(closed["stream"], opened["stream"]);

    let theirs = [host.next(), host.next()];
    assert_eq!((&theirs[0]["event"], &theirs[1]["event"]), (&"stream-opened".into(), &"stream-closed".into()));
    assert_eq!(text(&theirs[0], "address"), target.to_string());
    assert_eq!((&theirs[0]["stream"], &theirs[1]["stream"]), (&opened["stream"], &opened["stream"]));
    assert_eq!((&theirs[1]["sent"], &theirs[1]["received"]), (&10.into(), &10.into()));

    // Whatever is on stdout parses as an event, to the last line: `events_so_far` and `next` insist.
    client.stop();
    let disconnected = host.next();
    assert_eq!(disconnected["event"], "disconnected");
    assert_eq!(fields(&disconnected), ["duration_ms", "event", "reason", "received", "sent", "session"]);
    assert_eq!((&disconnected["sent"], &disconnected["received"]), (&10.into(), &10.into()));
    assert_eq!(client.events_so_far().last().unwrap()["event"], "disconnected");
    host.stop();
    host.events_so_far();
}

#[test]
fn a_wrong_pin_is_refused_reported_and_disturbs_nobody() {
    let mut host = Pinhole::host(echo(), &["--pin", "123456"]);
    let url = host.url().replace("123456", "654321");
    run(&["client", &url, "0"]).expect(1, &["the pin does not match"]);
    assert!(host.problem("warning", "bad-pin").contains("wrong pin"));
    let mut ended = Pinhole::client(&url, &[]);
    assert_eq!(ended.end().code, Some(1));
    let events = ended.events_so_far();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["event"], &events[0]["code"]), (&"error".into(), &"bad-pin".into()));

    let mut client = Pinhole::client(&url, &["--once"]);
    assert_eq!(client.end().code, Some(1), "--once does not excuse a wrong pin");

    let mut client = Pinhole::client(&url.replace("654321", "123456"), &[]);
    assert_eq!(echoed(client.local(), "hello"), "hello");
    client.stop();
    host.stop();
}

#[test]
fn a_pin_may_be_any_text_and_come_from_the_environment() {
    let pin = "ä + 100%/&?#";
    let mut host = Pinhole::host(echo(), &["--pin", pin]);
    let url = host.url();
    let (bare, _) = url.split_once('?').unwrap();
    for arguments in [vec![&*url, "0"], vec![bare, "0", "--pin", pin]] {
        let mut client = Pinhole::start("client", &[&["client", "--json"], &*arguments].concat());
        assert_eq!(echoed(client.local(), "hello"), "hello");
        client.stop();
    }
    let output = command(&["client", bare, "0", "--json"]).env("PINHOLE_PIN", "wrong").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("bad-pin"));
    host.stop();
}

#[test]
fn a_target_that_is_down_is_a_warning_and_a_reset_until_it_is_up() {
    let target = ReservedPort::new();
    let mut host = Pinhole::host(target.address, &[]);
    let warning = host.problem("warning", "target-down");
    assert!(warning.contains(&target.address.to_string()), "{warning}");
    let url = host.url();
    let mut client = Pinhole::client(&url, &[]);
    let local = client.local();

    assert_eq!(end_of(local), Err(ErrorKind::ConnectionReset));
    let warning = host.problem("warning", "dial-failed");
    assert!(warning.contains(&target.address.to_string()) && warning.contains("refused"), "{warning}");
    let closed = client.event("stream-closed");
    assert!(text(&closed, "reason").starts_with("refused"), "{closed}");

    serve_on(target.listen(), echo_once);
    assert_eq!(echoed(local, "hello"), "hello");
    client.stop();
    host.stop();
}

#[test]
fn one_client_too_many_is_refused_and_may_come_back() {
    let mut host = Pinhole::host(echo(), &["--max-sessions", "1"]);
    let url = host.url();
    let mut first = Pinhole::client(&url, &[]);
    let local = first.local();
    run(&["client", &url, "0"]).expect(1, &["the host has all the clients it may have", "once one has left"]);
    assert!(host.problem("warning", "full").contains("--max-sessions"));
    assert_eq!(echoed(local, "still here"), "still here");
    first.stop();
    host.event("disconnected");
    let mut second = Pinhole::client(&url, &[]);
    assert_eq!(echoed(second.local(), "my turn"), "my turn");
    second.stop();
    host.stop();
}

#[test]
fn one_of_three_clients_leaving_disturbs_nobody() {
    const LEN: u64 = 16 * 1024 * 1024;
    let mut host = Pinhole::host(source(), &[]);
    let url = host.url();
    let mut clients = [(); 3].map(|()| Pinhole::client(&url, &[]));
    let locals = [0, 1, 2].map(|index| clients[index].local());
    let mut transfers = [0, 1].map(|index| {
        let mut stream = connect(locals[index]);
        writeln!(stream, "{LEN}").unwrap();
        check_pattern(&mut stream, 0, 1000);
        stream
    });
    let [first, second, third] = &mut clients;
    // More is on its way than windows hold, so the transfers are still running.
    third.stop();
    host.event("disconnected");
    second.signal(Signal::SIGKILL);
    check_pattern(&mut transfers[0], 1000, LEN - 1000);
    let mut late = Pinhole::client(&url, &[]);
    let mut stream = connect(late.local());
    writeln!(stream, "1000").unwrap();
    check_pattern(&mut stream, 0, 1000);
    drop(transfers);
    late.stop();
    first.stop();
    host.stop();
}

#[test]
fn two_processes_connect_soon() {
    let pair = Pair::of(echo());
    figure(&format!("from the start of the client to its forwarded port: {:?}", pair.time));
    assert_eq!(echoed(pair.local, "hello"), "hello");
    pair.stop();
}
