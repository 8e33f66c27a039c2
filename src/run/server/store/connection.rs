//! A connection to the directory: TCP, with TLS or without, and the messages on it.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig as TlsConfig;
use rustls::pki_types::ServerName;

use crate::cluster::directory::{Arrived, Decoder};
use crate::net::listen;
use crate::net::system::{Event, Interest, TcpStream};
use crate::net::transport::Transport;
use crate::run::token::Source;
use crate::run::turn::Turn;

/// Maximum number of bytes that the directory has not taken. What is wanted of it within two seconds is less.
const MAX_UNSENT: usize = 64 * 1024 * 1024;

/// Why there is none if nobody takes it.
pub(in crate::run::server) const REFUSED: &str = "nothing listens there";

/// Why there is no connection, for people.
#[derive(Debug)]
pub(in crate::run::server) struct Lost(pub(in crate::run::server) String);

/// ```text
///  Opening ──TCP, then TLS──▶ Open
/// ```
enum Stage {
    /// Until this time.
    Opening(Instant),
    Open,
}

pub(in crate::run::server) struct Connection {
    transport: Transport,
    address: SocketAddr,
    stage: Stage,
    decoder: Decoder,
    unsent: Vec<u8>,
    /// How much of that was written.
    written: usize,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Lost {
        Lost(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "it closed the connection".to_owned()
            }
            io::ErrorKind::ConnectionRefused => REFUSED.to_owned(),
            _ => error.to_string(),
        })
    }
}

impl Connection {
    /// Begins to connect; with `tls`, to the server of that name.
    pub(in crate::run::server) fn open(
        turn: &Turn,
        address: SocketAddr,
        tls: Option<(Arc<TlsConfig>, &str)>,
        by: Instant,
    ) -> Result<Connection, Lost> {
        let name = |(tls, host): (_, &str)| match ServerName::try_from(host.to_owned()) {
            Ok(name) => Ok((tls, name)),
            Err(_) => Err(Lost("its host name cannot be in a certificate".to_owned())),
        };
        let tls = tls.map(name).transpose()?;
        let mut stream = TcpStream::connect(address)?;
        turn.registry().register(&mut stream, Source::Directory.token(), Interest::READABLE | Interest::WRITABLE)?;
        // A failure only costs time.
        let _ = listen::set_nodelay(&stream);
        let transport = Transport::connecting(stream, tls).map_err(|error| Lost(error.to_string()))?;
        Ok(Connection {
            transport,
            address,
            stage: Stage::Opening(by),
            decoder: Decoder::default(),
            unsent: Vec::new(),
            written: 0,
        })
    }

    pub(in crate::run::server) fn handle_event(&mut self, event: &Event) {
        self.transport.handle_event(event);
    }

    pub(in crate::run::server) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(in crate::run::server) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Returns when it is to be open.
    pub(in crate::run::server) fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Opening(by) => Some(by),
            Stage::Open => None,
        }
    }

    /// Goes on connecting. Returns true once, when it is open.
    pub(in crate::run::server) fn advance(&mut self) -> Result<bool, Lost> {
        if self.is_open() || !self.transport.connected()? || !self.transport.handshake()? {
            return Ok(false);
        }
        self.stage = Stage::Open;
        Ok(true)
    }

    pub(in crate::run::server) fn begin_turn(&mut self) {
        self.transport.begin_turn();
    }

    /// Ends the reading of a turn. Returns whether it stopped for the sake of others.
    pub(in crate::run::server) fn end_turn(&mut self) -> bool {
        self.transport.end_turn();
        self.transport.is_paused()
    }

    /// Returns the next message, until there is none, or others have their turn.
    pub(in crate::run::server) fn read(&mut self, piece: &mut [u8]) -> Result<Option<Arrived>, Lost> {
        if !self.is_open() {
            return Ok(None);
        }
        loop {
            if let Some(arrived) = self.decoder.poll().map_err(|error| Lost(error.to_string()))? {
                return Ok(Some(arrived));
            }
            match self.transport.read(piece) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => self.decoder.push(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes as much as possible of what waits, and of what is added.
    pub(in crate::run::server) fn write(&mut self, more: Option<Vec<u8>>) -> Result<(), Lost> {
        self.unsent.extend(more.unwrap_or_default());
        while self.written < self.unsent.len() {
            match self.transport.write(&self.unsent[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.written == self.unsent.len() {
            (self.unsent, self.written) = (Vec::new(), 0);
        }
        if self.unsent.len() > MAX_UNSENT {
            return Err(Lost("it does not take what is sent to it".to_owned()));
        }
        match self.transport.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(in crate::run::server) fn close(mut self, turn: &Turn) {
        turn.deregister(self.transport.source());
    }
}
