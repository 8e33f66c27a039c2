//! The network in memory behaves like the system: the same stories give the same words in both.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::{Interest, Token};

use super::{Events, Here, Network, Poll, TcpStream};
use crate::net::listen;

/// A program with both ends of connections, in the system or in the simulated network.
struct Stage {
    poll: Poll,
    events: Events,
    here: Option<Here>,
}

impl Stage {
    fn new(here: Option<Here>) -> Stage {
        Stage { poll: Poll::new().unwrap(), events: Events::with_capacity(16), here }
    }

    /// Waits for an event of a socket.
    fn wait(&mut self, token: Token) {
        for _ in 0..500 {
            if let Some(here) = &self.here {
                let next = here.network().next();
                next.into_iter().for_each(|next| here.network().advance(next));
            }
            self.poll.poll(&mut self.events, Some(Duration::from_millis(20))).unwrap();
            if self.events.iter().any(|event| event.token() == token) {
                return;
            }
        }
        panic!("nothing comes");
    }

    /// Returns both ends of a connection: the one that connected has token 1, the one that accepted 2.
    fn pair(&mut self) -> (TcpStream, TcpStream) {
        let mut listener = listen::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        self.poll.registry().register(&mut listener, Token(0), Interest::READABLE).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut near, Token(1), both).unwrap();
        let mut far = loop {
            match listener.accept() {
                Ok((far, _)) => break far,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(Token(0)),
                Err(error) => panic!("{error}"),
            }
        };
        while near.peer_addr().is_err() {
            self.wait(Token(1));
        }
        self.poll.registry().register(&mut far, Token(2), both).unwrap();
        (near, far)
    }

    /// Reads until an end or an error, and says what came.
    fn read(&mut self, stream: &mut TcpStream, token: Token) -> String {
        let mut told = String::new();
        let mut piece = [0; 100];
        loop {
            match stream.read(&mut piece) {
                Ok(0) => return told + " end",
                Ok(len) => told += std::str::from_utf8(&piece[..len]).unwrap(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(token),
                Err(error) => return format!("{told} {:?}", error.kind()),
            }
        }
    }
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

/// Events that a program sees when a connection ends, for every way of ending it.
fn stories(here: Option<Here>) -> Vec<String> {
    let mut stage = Stage::new(here);
    let mut told = Vec::new();
    // An end in order, after data.
    let (mut near, mut far) = stage.pair();
    near.write_all(b"said").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    told.push(format!("ended: {}", stage.read(&mut far, Token(2))));
    far.write_all(b"answered").unwrap();
    drop(far);
    told.push(format!("answered: {}", stage.read(&mut near, Token(1))));
    // A reset, after data; and what is left of the connection then.
    let (mut near, mut far) = stage.pair();
    near.write_all(b"said").unwrap();
    listen::reset(near);
    told.push(format!("reset: {}", stage.read(&mut far, Token(2))));
    told.push(format!("again: {}", stage.read(&mut far, Token(2))));
    told.push(format!("write: {:?} peer: {:?}", kind(far.write(b"x")), kind(far.peer_addr())));
    // Closing without having read resets the connection.
    let (mut near, far) = stage.pair();
    near.write_all(b"unread").unwrap();
    stage.wait(Token(2));
    drop(far);
    told.push(format!("unread: {}", stage.read(&mut near, Token(1))));
    // Data sent after the other end is gone comes back as a reset.
    let (mut near, far) = stage.pair();
    drop(far);
    told.push(format!("gone: {}", stage.read(&mut near, Token(1))));
    told.push(format!("gone: write {:?}", kind(near.write(b"x"))));
    stage.wait(Token(1));
    told.push(format!("gone: error {:?}", near.take_error().unwrap().map(|error| error.kind())));
    told.push(format!("gone: write {:?}", kind(near.write(b"x"))));
    // A port on which nobody listens.
    let listener = listen::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let mut stream = TcpStream::connect(nobody).unwrap();
    stage.poll.registry().register(&mut stream, Token(1), Interest::READABLE | Interest::WRITABLE).unwrap();
    stage.wait(Token(1));
    told.push(format!("refused: {:?}", stream.take_error().unwrap().map(|error| error.kind())));
    told.push(format!("refused: {:?}", kind(stream.peer_addr())));
    // A port that is in use.
    let listener = listen::listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let taken = listen::listen(listener.local_addr().unwrap());
    told.push(format!("taken: {}", matches!(taken, Err(listen::ListenError::InUse { .. }))));
    told
}

#[test]
#[cfg(target_os = "linux")]
fn the_same_stories_are_told_by_the_system() {
    let network = Arc::new(Mutex::new(Network::new(0)));
    let machine = super::lock(&network).add_machine(&[]);
    let process = super::lock(&network).add_process(machine);
    let here = Here::new(&network, process);
    let in_memory = here.enter(|| stories(Some(here.clone())));
    assert_eq!(stories(None), in_memory);
    assert_eq!(super::lock(&network).sockets_of(process), 0, "what was dropped is closed");
}

#[test]
fn room_that_comes_back_is_news_once() {
    let network = Arc::new(Mutex::new(Network::new(0)));
    let machine = super::lock(&network).add_machine(&[]);
    let process = super::lock(&network).add_process(machine);
    let here = Here::new(&network, process);
    here.enter(|| {
        let mut stage = Stage::new(Some(here.clone()));
        let (mut near, mut far) = stage.pair();
        let mut written = 0;
        while let Ok(len) = near.write(&[7; 10_000]) {
            written += len;
        }
        let later = here.now() + Duration::from_secs(1);
        here.network().advance(later);
        stage.poll.poll(&mut stage.events, None).unwrap();
        assert!(!stage.events.iter().any(|event| event.token() == Token(1) && event.is_writable()));
        let mut piece = vec![0; written];
        far.read_exact(&mut piece).unwrap();
        stage.wait(Token(1));
        stage.poll.poll(&mut stage.events, None).unwrap();
        assert_eq!(stage.events.iter().count(), 0);
        assert!(near.write(b"more").is_ok());
    });
}
