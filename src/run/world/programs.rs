//! Programs that do not know pinhole: services and their visitors.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};

use crate::net::system::{TcpListener, TcpStream};
use crate::net::world::Here;

/// A program that connected to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct Visitor(pub(super) usize);

/// How a connection ended, for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Ended {
    InOrder,
    Failed(io::ErrorKind),
}

/// The behaviour of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// Returns what it receives, and ends after the other side.
    Echo,
    /// Reads, and sends nothing.
    Silent,
}

/// A program.
pub(super) struct Program {
    here: Here,
    listener: Option<(TcpListener, Script)>,
    talks: Vec<Talk>,
}

/// A connection of a program.
struct Talk {
    /// `None` once it is closed.
    stream: Option<TcpStream>,
    script: Option<Script>,
    unsent: Vec<u8>,
    heard: Vec<u8>,
    is_finished: bool,
    has_told_end: bool,
    ended: Option<Ended>,
}

impl Program {
    pub(super) fn service(here: Here, address: SocketAddr, script: Script) -> Program {
        let listener = here.enter(|| TcpListener::in_world(address)).expect("it is in a world").unwrap();
        Program { here, listener: Some((listener, script)), talks: Vec::new() }
    }

    pub(super) fn visitor(here: Here, address: SocketAddr) -> Program {
        let stream = here.enter(|| TcpStream::connect(address)).unwrap();
        Program { here, listener: None, talks: vec![Talk::new(stream, None)] }
    }

    fn talk(&mut self) -> &mut Talk {
        &mut self.talks[0]
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.talk().unsent.extend_from_slice(bytes);
    }

    pub(super) fn finish(&mut self) {
        self.talk().is_finished = true;
    }

    pub(super) fn leave(&mut self) {
        self.talk().stream = None;
    }

    pub(super) fn heard(&self) -> &[u8] {
        &self.talks[0].heard
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.talks[0].ended
    }

    /// Does everything possible now. Returns whether anything was.
    pub(super) fn turn(&mut self) -> bool {
        let Program { here, listener, talks } = self;
        here.enter(|| {
            let mut has_moved = false;
            while let Some((listener, script)) = listener.as_ref()
                && let Ok((stream, _)) = listener.accept()
            {
                talks.push(Talk::new(stream, Some(*script)));
                has_moved = true;
            }
            for talk in talks.iter_mut() {
                has_moved |= talk.turn();
            }
            // Those of a visitor are examined later.
            talks.retain(|talk| talk.script.is_none() || talk.stream.is_some());
            has_moved
        })
    }
}

impl Talk {
    fn new(stream: TcpStream, script: Option<Script>) -> Talk {
        Talk {
            stream: Some(stream),
            script,
            unsent: Vec::new(),
            heard: Vec::new(),
            is_finished: false,
            has_told_end: false,
            ended: None,
        }
    }

    fn turn(&mut self) -> bool {
        let mut has_moved = false;
        while self.read() {
            has_moved = true;
        }
        while self.write() {
            has_moved = true;
        }
        let is_over = self.ended == Some(Ended::InOrder) && self.has_told_end;
        if is_over || matches!(self.ended, Some(Ended::Failed(_))) {
            self.stream = None;
        }
        has_moved
    }

    fn read(&mut self) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| self.ended.is_none()) else { return false };
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => {
                self.ended = Some(Ended::InOrder);
                self.is_finished |= self.script.is_some();
            }
            Ok(len) => match self.script {
                Some(Script::Echo) => self.unsent.extend_from_slice(&piece[..len]),
                Some(Script::Silent) => {}
                None => self.heard.extend_from_slice(&piece[..len]),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => self.ended = Some(Ended::Failed(error.kind())),
        }
        true
    }

    fn write(&mut self) -> bool {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.has_told_end) else { return false };
        if stream.peer_addr().is_err() {
            return false;
        }
        if self.unsent.is_empty() {
            let tells_end = self.is_finished && stream.shutdown(Shutdown::Write).is_ok();
            self.has_told_end = tells_end;
            return tells_end;
        }
        match stream.write(&self.unsent) {
            Ok(len) => drop(self.unsent.drain(..len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => self.ended = Some(Ended::Failed(error.kind())),
        }
        true
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.listener.as_ref().map(|(_, script)| script);
        write!(f, "-- program {what:?}:")?;
        for talk in &self.talks {
            let Talk { unsent, heard, ended, .. } = talk;
            write!(f, " [unsent {} heard {} {ended:?}]", unsent.len(), heard.len())?;
        }
        Ok(())
    }
}
