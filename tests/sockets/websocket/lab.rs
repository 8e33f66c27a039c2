//! A small mio loop with our server, and any number of connections.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use pinhole::internals::net::listen::{self, Accepted};
use pinhole::internals::net::tls;
use pinhole::internals::net::websocket::{
    Admission, Incoming, IncomingEvent, Phase, UpgradeRequest, WebSocket, WebSocketError, WebSocketEvent,
};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
const LISTENER: Token = Token(usize::MAX);
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A little driver: one listener, any number of connections of either side, and a log of what happened.
pub(crate) struct Lab {
    poll: Poll,
    listener: TcpListener,
    pub(crate) addr: SocketAddr,
    pub(crate) admission: Admission,
    /// Servers send back what they receive.
    pub(crate) echo: bool,
    pub(crate) connections: Vec<Connection>,
}

pub(crate) enum Connection {
    Incoming(Incoming),
    Socket { socket: WebSocket, is_server: bool, log: Vec<WebSocketEvent> },
    Answered(u16),
    Failed(WebSocketError),
}

impl Lab {
    pub(crate) fn new() -> Self {
        let poll = Poll::new().unwrap();
        let mut listener = listen::listen("127.0.0.1:0".parse().unwrap()).unwrap();
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).unwrap();
        let addr = listener.local_addr().unwrap();
        Self { poll, listener, addr, admission: Admission::Open, echo: true, connections: Vec::new() }
    }

    pub(crate) fn connect(&mut self, addr: SocketAddr, tls: Option<PathBuf>) -> usize {
        self.connect_with(addr, &request(&addr.to_string()), tls)
    }

    pub(crate) fn connect_with(&mut self, addr: SocketAddr, request: &UpgradeRequest, tls: Option<PathBuf>) -> usize {
        let tls = tls.map(|ca| tls::client_config(Some(&ca)).unwrap());
        let mut socket = WebSocket::dial(addr, request, tls).unwrap();
        let index = self.connections.len();
        self.poll.registry().register(socket.source(), Token(index), BOTH).unwrap();
        self.connections.push(Connection::Socket { socket, is_server: false, log: Vec::new() });
        index
    }

    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        let mut events = Events::with_capacity(64);
        while !done(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            let ready = self.connections.iter().any(|connection| match connection {
                Connection::Socket { socket, .. } => socket.is_ready(),
                _ => false,
            });
            // Short only because `done` may look at what another thread does.
            let wait = if ready { Duration::ZERO } else { Duration::from_millis(20) };
            self.poll.poll(&mut events, Some(wait)).unwrap();
            for event in &events {
                if event.token() == LISTENER {
                    self.accept_all();
                    continue;
                }
                match &mut self.connections[event.token().0] {
                    Connection::Incoming(incoming) => incoming.handle_event(event),
                    Connection::Socket { socket, .. } => socket.handle_event(event),
                    Connection::Answered(_) | Connection::Failed(_) => {}
                }
                self.advance(event.token().0);
            }
            for index in 0..self.connections.len() {
                if matches!(&self.connections[index], Connection::Socket { socket, .. } if socket.is_ready()) {
                    self.advance(index);
                }
            }
        }
    }

    pub(crate) fn accept_all(&mut self) {
        loop {
            match listen::accept(&self.listener) {
                Accepted::Connection(stream, _) => {
                    let mut incoming = Incoming::new(stream, self.admission);
                    let index = self.connections.len();
                    self.poll.registry().register(incoming.source(), Token(index), BOTH).unwrap();
                    self.connections.push(Connection::Incoming(incoming));
                }
                Accepted::Empty => return,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn advance(&mut self, index: usize) {
        let connection = std::mem::replace(&mut self.connections[index], Connection::Answered(0));
        self.connections[index] = match connection {
            Connection::Incoming(mut incoming) => match incoming.poll() {
                Ok(Some(IncomingEvent::Asked)) => unreachable!("a host decides by itself"),
                Ok(Some(IncomingEvent::Upgraded)) => {
                    let socket = incoming.into_websocket().unwrap();
                    self.connections[index] = Connection::Socket { socket, is_server: true, log: Vec::new() };
                    return self.advance(index);
                }
                Ok(Some(IncomingEvent::Answered { status })) => Connection::Answered(status),
                Ok(None) => Connection::Incoming(incoming),
                Err(error) => Connection::Failed(error),
            },
            Connection::Socket { mut socket, is_server, mut log } => loop {
                match socket.poll() {
                    Ok(Some(event)) => {
                        if is_server && self.echo {
                            match event.clone() {
                                WebSocketEvent::Text(text) => socket.send_text(text).unwrap(),
                                WebSocketEvent::Binary(bytes) => socket.send_binary(bytes).unwrap(),
                                _ => {}
                            }
                        }
                        log.push(event);
                    }
                    Ok(None) => break Connection::Socket { socket, is_server, log },
                    Err(error) => {
                        assert_eq!(socket.phase(), Phase::Closed);
                        assert!(matches!(socket.poll(), Ok(None)));
                        break Connection::Failed(error);
                    }
                }
            },
            other => other,
        };
    }

    pub(crate) fn socket(&mut self, index: usize) -> &mut WebSocket {
        match &mut self.connections[index] {
            Connection::Socket { socket, .. } => socket,
            Connection::Failed(error) => panic!("failed: {error}"),
            _ => panic!("not a WebSocket"),
        }
    }

    pub(crate) fn log(&self, index: usize) -> &[WebSocketEvent] {
        match &self.connections[index] {
            Connection::Socket { log, .. } => log,
            Connection::Failed(error) => panic!("failed: {error}"),
            _ => &[],
        }
    }

    pub(crate) fn wait_for(&mut self, index: usize, event: &WebSocketEvent) {
        let what = format!("{event:?}").chars().take(80).collect::<String>();
        self.run_until(&what, |lab| lab.log(index).contains(event));
    }

    pub(crate) fn wait_for_failure(&mut self, index: usize) -> &WebSocketError {
        self.run_until("a failure", |lab| matches!(lab.connections.get(index), Some(Connection::Failed(_))));
        match &self.connections[index] {
            Connection::Failed(error) => error,
            _ => unreachable!(),
        }
    }

    /// Drives the lab while a blocking program runs in a thread.
    pub(crate) fn serve<T>(&mut self, thread: JoinHandle<T>) -> T {
        self.run_until("the other thread", |_| thread.is_finished());
        thread.join().unwrap()
    }

    /// Sends bytes with a blocking socket, piece by piece, and gives all that comes back.
    pub(crate) fn exchange(&mut self, pieces: Vec<Vec<u8>>) -> String {
        let addr = self.addr;
        let bytes = self.serve(thread::spawn(move || {
            let mut stream = StdStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in pieces {
                stream.write_all(&piece).unwrap();
            }
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer
        }));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn request(&mut self, text: &str) -> String {
        self.exchange(vec![text.as_bytes().to_vec()])
    }
}

/// What is asked of a server at an authority; its certificate is for `localhost`.
pub(crate) fn request(authority: &str) -> UpgradeRequest {
    UpgradeRequest {
        authority: authority.to_owned(),
        path: "/ws".into(),
        server_name: "localhost".into(),
        headers: vec!["X-Test: 1".parse().unwrap()],
        proxy: None,
    }
}

pub(crate) fn text(content: &str) -> WebSocketEvent {
    WebSocketEvent::Text(content.to_owned())
}

pub(crate) fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: pinhole-signal.1\r\n\r\n"
    )
}
