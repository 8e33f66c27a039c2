//! Readers of the program's output that stop reading: a terminal after Ctrl-S, a busy program, a full journal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::bytes::check_pattern;
use crate::common::connect;
use crate::common::pinhole::{Pinhole, command, text};
use crate::common::services::source;
use crate::common::system::figure;

/// Requests whose lines are more than a pipe and a queue hold.
const REQUESTS: usize = 400;

/// A process whose output is read only when a test does so.
struct Stalled {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Stalled {
    fn start(mut command: Command) -> Stalled {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it can be started");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let stderr = child.stderr.take();
        Stalled { child, stdout, stderr }
    }

    fn event(&mut self) -> Option<Value> {
        let mut line = String::new();
        let len = self.stdout.read_line(&mut line).unwrap();
        (len > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}")))
    }

    fn find(&mut self, name: &str) -> Value {
        std::iter::from_fn(|| self.event()).find(|event| event["event"] == name).expect("it is said")
    }

    fn signal(&self) {
        signal::kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Requests a path of a host that does not exist, and returns the status.
fn ask(server: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = connect(server);
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

fn server() -> (Stalled, SocketAddr) {
    let arguments = ["server", "--json", "--open", "--listen", "127.0.0.1:0", "--gateway-domain", "p.test"];
    let mut server = Stalled::start(command(&arguments));
    let address = text(&server.find("serving"), "listen").parse().unwrap();
    (server, address)
}

#[test]
fn a_reader_of_json_that_stops_stops_nothing_and_is_told_what_it_missed() {
    let (mut server, address) = server();
    for number in 0..REQUESTS {
        assert_eq!(ask(address, "x.p.test", &format!("{number}/{}", "a".repeat(8000))), "404");
    }
    assert_eq!(ask(address, "p.test", "healthz"), "200");
    // It goes on reading: what was kept is there in its order, then how much is missing.
    let mut expected = 0;
    let missing = loop {
        let event = server.event().expect("something is missing");
        match event["event"].as_str() {
            Some("request") if event["path"] != "/healthz" => {
                let path = text(&event, "path");
                assert!(path.starts_with(&format!("/{expected}/")), "{path} is not request {expected}");
                expected += 1;
            }
            Some("warning") => {
                assert_eq!(event["code"], "output-lost");
                break text(&event, "message");
            }
            _ => {}
        }
    };
    figure(&format!("{expected} of {REQUESTS} lines kept for a reader that stopped; then: {missing}"));
    let count: usize = missing.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= REQUESTS - expected && expected > 50, "{missing}");
    ask(address, "x.p.test", "later");
    while text(&server.find("request"), "path") != "/later" {}
    server.signal();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_stopped_for_good_does_not_hold_up_the_end() {
    let (mut server, address) = server();
    for _ in 0..REQUESTS {
        ask(address, "x.p.test", &"a".repeat(8000));
    }
    server.signal();
    assert_eq!(server.child.wait().unwrap().code(), Some(0), "nobody reads, and it ends all the same");
}

#[test]
fn logs_that_nobody_reads_stop_no_session() {
    const LEN: u64 = 20_000_000;
    let mut host = Pinhole::host(source(), &[]);
    let url = host.url();
    let mut client = Stalled::start(command(&["client", &url, "0", "--json", "--no-stun", "-vvv"]));
    let local: SocketAddr = text(&client.find("forwarding"), "local").parse().unwrap();
    let mut stream = connect(local);
    stream.write_all(format!("{LEN}\n").as_bytes()).unwrap();
    check_pattern(&mut stream, 0, LEN);
    let mut logs = client.stderr.take().expect("nobody has read them");
    client.signal();
    let mut text = Vec::new();
    logs.read_to_end(&mut text).unwrap();
    let text = String::from_utf8_lossy(&text);
    assert!(text.contains("missing here"), "{} bytes of logs, and nothing is missing", text.len());
    assert_eq!(client.child.wait().unwrap().code(), Some(0));
    host.stop();
}
