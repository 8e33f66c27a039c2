//! A server as a process, hosts and clients of it, and what tests do with their streams.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::common::bytes::{check_pattern, write_pattern};
use crate::common::http::{Answer, ask};
use crate::common::pinhole::{Ended, Pinhole, command, text};
use crate::common::services::echo;
use crate::common::{ReservedPort, connect, ping};

/// A `pinhole server` that can be started again where it was.
pub(crate) struct Server {
    pub(crate) process: Pinhole,
    /// What it said of itself when it started last.
    pub(crate) serving: Value,
    /// The header field of those who may administer it.
    authorization: String,
    port: ReservedPort,
    arguments: Vec<String>,
}

impl Server {
    /// Starts one at which anybody may register.
    pub(crate) fn open(more: &[&str]) -> Server {
        Server::start(&[&["--open"], more].concat())
    }

    /// Starts one with those arguments, on a port that nobody else is given.
    pub(crate) fn start(more: &[&str]) -> Server {
        Server::start_at(Ipv4Addr::LOCALHOST, more)
    }

    /// The same at another address of this machine.
    pub(crate) fn start_at(address: Ipv4Addr, more: &[&str]) -> Server {
        let port = ReservedPort::at(address);
        let listen = port.address.to_string();
        let arguments = [&["server", "--json", "--listen", &listen], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let (process, serving, authorization) = run(&arguments);
        Server { process, serving, authorization, port, arguments }
    }

    /// Starts it again after it ended.
    pub(crate) fn start_again(&mut self) {
        (self.process, self.serving, self.authorization) = run(&self.arguments);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The URL for hosts.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address())
    }

    /// The address of the administration.
    pub(crate) fn admin(&self) -> SocketAddr {
        text(&self.serving, "admin").parse().unwrap()
    }

    /// Asks the administration for something.
    #[track_caller]
    pub(crate) fn administer(&self, method: &str, path: &str) -> Answer {
        let fields = &self.authorization;
        ask(self.admin(), format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
    }

    /// Returns what the administration says at a path.
    #[track_caller]
    pub(crate) fn shown(&self, path: &str) -> Value {
        let answer = self.administer("GET", path);
        assert_eq!((answer.status, answer.field("content-type")), (200, Some("application/json")), "{}", answer.text());
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// The header field of those who may administer it.
    pub(crate) fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Starts a host and waits until it is registered.
    pub(crate) fn host(&self, id: &str, target: SocketAddr, more: &[&str]) -> Host {
        let mut process = self.start_host(id, target, more);
        let url = registered(&mut process);
        Host { process, url }
    }

    /// Starts a host that may be refused.
    pub(crate) fn start_host(&self, id: &str, target: SocketAddr, more: &[&str]) -> Pinhole {
        Pinhole::host(target, &[&["--server", &self.url(), "--id", id], more].concat())
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> Ended {
        let ended = self.process.stop();
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        ended
    }
}

fn run(arguments: &[String]) -> (Pinhole, Value, String) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut process = Pinhole::spawn("server", command(&arguments));
    let serving = process.event("serving");
    let administered = serving["admin"].is_string();
    let authorization = if administered { process.administration().1 } else { String::new() };
    (process, serving, authorization)
}

/// A host that was registered.
pub(crate) struct Host {
    pub(crate) process: Pinhole,
    /// For clients, pin included.
    pub(crate) url: String,
}

impl Host {
    /// Starts a client without a direct path, and waits until it forwards.
    pub(crate) fn relayed(&self) -> Client {
        Client::of(&self.url, &["--relay-only"])
    }

    /// Starts a client that finds a direct path, and waits until it forwards.
    pub(crate) fn direct(&self) -> Client {
        Client::of(&self.url, &["--no-relay"])
    }
}

/// Waits for a registration and returns the URL for clients.
#[track_caller]
pub(crate) fn registered(process: &mut Pinhole) -> String {
    text(&process.event("registered"), "url")
}

/// A client that forwards.
pub(crate) struct Client {
    pub(crate) process: Pinhole,
    /// Where the service appears.
    pub(crate) local: SocketAddr,
    /// What it said of its connection.
    pub(crate) connected: Value,
}

impl Client {
    #[track_caller]
    pub(crate) fn of(url: &str, more: &[&str]) -> Client {
        let mut process = Pinhole::client(url, more);
        let connected = process.event("connected");
        let local = process.local();
        Client { process, local, connected }
    }

    /// A stream to an echo service, on which a byte has made its round already.
    #[track_caller]
    pub(crate) fn stream(&self) -> TcpStream {
        let mut stream = connect(self.local);
        ping(&mut stream);
        stream
    }

    /// Fails if anything is said of a path that was lost.
    #[track_caller]
    pub(crate) fn is_undisturbed(&mut self) {
        for event in self.process.events_so_far() {
            let name = text(&event, "event");
            assert!(!["recovering", "disconnected", "reconnecting", "error"].contains(&name.as_str()), "{event}");
        }
    }
}

/// Tells whether the other side has ended a stream, in order or not; waits until it has.
pub(crate) fn is_over(mut stream: TcpStream) -> bool {
    match io::copy(&mut stream, &mut io::sink()) {
        Ok(_) => true,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// A host that everybody can come to, to see whether a server still serves.
pub(crate) struct Honest(Host);

impl Honest {
    pub(crate) fn at(server: &Server) -> Honest {
        Honest(server.host("honest", echo(), &[]))
    }

    /// A client comes in through the server and its stream works.
    #[track_caller]
    pub(crate) fn is_served(&self) {
        let mut client = self.0.relayed();
        check_echo(client.local, 100_000);
        client.process.stop();
    }

    pub(crate) fn host(&mut self) -> &mut Host {
        &mut self.0
    }
}

/// Sends that much to an echo service and compares what comes back.
#[track_caller]
pub(crate) fn check_echo(local: SocketAddr, len: u64) {
    Transfer::start(local, len).finish();
}

/// Bytes on their way to an echo service and back.
pub(crate) struct Transfer {
    stream: TcpStream,
    writer: JoinHandle<io::Result<()>>,
    taken: u64,
    len: u64,
}

impl Transfer {
    /// Begins to send. What comes back waits in the tunnel until it is taken.
    pub(crate) fn start(local: SocketAddr, len: u64) -> Transfer {
        let stream = connect(local);
        let mut output = stream.try_clone().unwrap();
        let writer = thread::spawn(move || {
            write_pattern(&mut output, len)?;
            output.shutdown(Shutdown::Write)
        });
        Transfer { stream, writer, taken: 0, len }
    }

    /// Takes and compares that much of what comes back.
    #[track_caller]
    pub(crate) fn take(&mut self, len: u64) {
        check_pattern(&mut self.stream, self.taken, len);
        self.taken += len;
    }

    /// Takes and compares the rest, and the end after it.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.take(self.len - self.taken);
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0, "nothing follows");
        self.writer.join().unwrap().unwrap();
    }

    /// Waits until the stream is cut off.
    #[track_caller]
    pub(crate) fn cut(self) {
        assert!(is_over(self.stream));
        assert!(self.writer.join().unwrap().is_err(), "it was not under way any more");
    }
}
