//! A non-blocking TCP connection, with TLS or without, that remembers its readiness.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::system::{Event, TcpStream};
use crate::net::readiness::Readiness;

/// Maximum number of bytes read in one turn: a peer that sends without pause must not keep the loop to itself.
const TURN_BUDGET: usize = 16 * 1024;

/// First byte of TLS (RFC 8446, section 5.1).
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// Maximum of plaintext, and of ciphertext, that rustls buffers for a slow network, in bytes.
const TLS_BUFFER: usize = 16 * 1024;

/// Data to send, and how much of it was sent.
#[derive(Debug)]
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    written: usize,
}

/// The bytes under a WebSocket. Reads and writes never block; `WouldBlock` clears the readiness bit.
///
/// Reading stops at a budget that [`Transport::end_turn`] renews. It reports `WouldBlock` then, too, and
/// [`Transport::is_paused`] tells the two apart.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    tls: Option<Box<Connection>>,
    /// The TLS handshake has begun; before that the connection may be a proxy's.
    is_tls_begun: bool,
    /// The peer decides whether to use TLS.
    is_tls_optional: bool,
    budget: usize,
    paused: bool,
    received: u64,
    sent: u64,
}

/// The TCP connection and what is known of it.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    readiness: Readiness,
    /// Bytes that were read too early and go to the next reader.
    early: VecDeque<u8>,
}

impl Unsent {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, written: 0 }
    }

    /// Writes as much as possible. Returns whether that was all.
    pub(crate) fn write(&mut self, output: &mut impl Write) -> io::Result<bool> {
        while self.written < self.bytes.len() {
            match output.write(&self.bytes[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Transport {
    /// Wraps an accepted connection.
    pub(crate) fn accepted(stream: TcpStream) -> Self {
        Self::new(stream, Readiness::BOTH, None)
    }

    /// Wraps an accepted connection; with `tls`, [`Transport::handshake`] secures it.
    pub(crate) fn securing(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        let tls = tls.map(ServerConnection::new).transpose()?;
        Ok(Self::new(stream, Readiness::BOTH, tls.map(Connection::from)))
    }

    /// Wraps an accepted connection whose peer may also speak without TLS: its first byte tells.
    pub(crate) fn maybe_securing(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        Ok(Self { is_tls_optional: true, ..Self::securing(stream, tls)? })
    }

    /// Wraps a connection that is still being made.
    pub(crate) fn connecting(
        stream: TcpStream,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    ) -> Result<Self, rustls::Error> {
        let tls = tls.map(|(config, name)| ClientConnection::new(config, name)).transpose()?;
        Ok(Self::new(stream, Readiness::NONE, tls.map(Connection::from)))
    }

    fn new(stream: TcpStream, readiness: Readiness, tls: Option<Connection>) -> Self {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(TLS_BUFFER));
            Box::new(tls)
        });
        let socket = Socket { stream, readiness, early: VecDeque::new() };
        Self {
            socket,
            tls,
            is_tls_begun: false,
            is_tls_optional: false,
            budget: TURN_BUDGET,
            paused: false,
            received: 0,
            sent: 0,
        }
    }

    pub(crate) fn handle_event(&mut self, event: &Event) {
        self.socket.readiness.handle_event(event);
    }

    /// Starts a new turn's reading budget.
    pub(crate) fn end_turn(&mut self) {
        self.budget = TURN_BUDGET;
    }

    /// Forgets that the last turn stopped at its budget.
    pub(crate) fn begin_turn(&mut self) {
        if std::mem::take(&mut self.paused) {
            self.budget = TURN_BUDGET;
        }
    }

    /// Charges this turn's reading budget for something that costs more than its bytes.
    pub(crate) fn charge(&mut self, cost: usize) {
        self.budget = self.budget.saturating_sub(cost);
    }

    /// Tells whether reading stopped at the budget and not at the network.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn source(&mut self) -> &mut TcpStream {
        &mut self.socket.stream
    }

    /// Returns our end of the connection.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.stream.local_addr()
    }

    /// Returns the connection without TLS, for talking to a proxy before TLS begins.
    pub(crate) fn clear(&mut self) -> impl Read + Write {
        &mut self.socket
    }

    /// Puts back bytes that were read in clear and belong to the next reader.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.socket.early.extend(bytes);
    }

    /// Tells whether TLS buffers bytes that the network did not take yet.
    pub(crate) fn holds_back(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the bytes the WebSocket read so far, without TLS's overhead.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Returns the bytes the WebSocket wrote so far, without TLS's overhead.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Tells whether the TCP connection is established; if not, wait for the next event.
    pub(crate) fn connected(&mut self) -> io::Result<bool> {
        if !self.socket.readiness.writable {
            return Ok(false);
        }
        if let Some(error) = self.socket.stream.take_error()? {
            return Err(error);
        }
        match self.socket.stream.peer_addr() {
            Ok(_) => Ok(true),
            // An event may come before the connection is established (mio, `TcpStream::connect`); another one comes
            // after.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                self.socket.readiness.clear_writable();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Continues the TLS handshake. Returns true once application data may be written; at once without TLS.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        if self.is_tls_optional && self.tls.is_some() && !self.is_tls_begun {
            match self.socket.peek()? {
                Some(TLS_HANDSHAKE_RECORD) => {}
                Some(_) => self.tls = None,
                None => return Ok(false),
            }
        }
        let Some(tls) = &mut self.tls else { return Ok(true) };
        self.is_tls_begun = true;
        loop {
            // Go on even if not all of it fits: the peer's next message may have arrived already.
            drain(tls, &mut self.socket)?;
            if !tls.is_handshaking() {
                return Ok(true);
            }
            match receive(tls, &mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the connection so that the peer sees an error.
    pub(crate) fn reset(self) {
        crate::net::listen::reset(self.socket.stream);
    }

    /// Ends our direction after what was written. Errors do not matter: nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|_| self.is_tls_begun) {
            tls.send_close_notify();
            let _ = drain(tls, &mut self.socket);
        }
        let _ = self.socket.stream.shutdown(Shutdown::Write);
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.budget == 0 {
            self.paused = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(self.budget);
        let count = match &mut self.tls {
            None => self.socket.read(&mut buffer[..length])?,
            Some(tls) => read_tls(tls, &mut self.socket, &mut buffer[..length])?,
        };
        self.budget -= count;
        self.received += count as u64;
        Ok(count)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.tls {
            None => self.socket.write(bytes)?,
            Some(tls) => {
                // Accept new plaintext only once the old is out, so that rustls holds at most one piece.
                if !drain(tls, &mut self.socket)? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                let count = tls.writer().write(bytes)?;
                drain(tls, &mut self.socket)?;
                count
            }
        };
        self.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls
            && !drain(tls, &mut self.socket)?
        {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }
}

/// Reads TLS. Plaintext in rustls's buffer comes first: no event announces it.
fn read_tls(tls: &mut Connection, socket: &mut Socket, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match tls.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        receive(tls, socket)?;
        // TLS itself may have to answer (a key update, an alert); if the network is full, the next flush sends it.
        drain(tls, socket)?;
    }
}

fn receive(tls: &mut Connection, socket: &mut Socket) -> io::Result<usize> {
    let count = tls.read_tls(socket)?;
    match tls.process_new_packets() {
        Ok(_) => Ok(count),
        Err(error) => {
            // Send the alert that tells the peer why; the error matters more than its arrival.
            let _ = drain(tls, socket);
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }
}

/// Writes what rustls has ready. Returns false if the network did not take all of it.
fn drain(tls: &mut Connection, socket: &mut Socket) -> io::Result<bool> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

impl Socket {
    /// Returns the next byte without taking it; `None` if there is none yet.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        while self.readiness.readable {
            match self.stream.peek(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.clear_readable(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            return self.early.read(buffer);
        }
        while self.readiness.readable {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.clear_readable(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while self.readiness.writable {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readiness.clear_writable(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn pair() -> (std::net::TcpStream, Transport) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        (near, Transport::accepted(TcpStream::from_std(far)))
    }

    #[test]
    fn reading_pauses_at_the_budget_and_goes_on_without_an_event() {
        let (mut near, mut transport) = pair();
        let sender = std::thread::spawn(move || near.write_all(&vec![7; 2 * TURN_BUDGET]).unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 4096];
        let mut total = 0;
        let mut pauses = 0;
        while total < 2 * TURN_BUDGET {
            assert!(Instant::now() < deadline, "only {total} bytes");
            match transport.read(&mut buffer) {
                Ok(count) => total += count,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    pauses += usize::from(transport.is_paused());
                    assert_eq!(transport.is_paused(), transport.socket.readiness.readable);
                    transport.begin_turn();
                    // Simulates the event of newly arrived bytes.
                    transport.socket.readiness.readable = true;
                }
            }
        }
        sender.join().unwrap();
        assert!(pauses >= 1);
        assert_eq!(transport.received(), 2 * TURN_BUDGET as u64);
    }

    #[test]
    fn what_is_charged_is_not_read_in_this_turn() {
        let (mut near, mut transport) = pair();
        near.write_all(b"early").unwrap();
        transport.charge(TURN_BUDGET - 1);
        let mut buffer = [0; 8];
        assert_eq!(transport.read(&mut buffer).unwrap(), 1);
        assert_eq!(transport.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(transport.is_paused());
        transport.end_turn();
        assert_eq!(transport.read(&mut buffer).unwrap(), 4);
        drop(near);
    }

    #[test]
    fn what_is_put_back_is_read_first() {
        let (near, mut transport) = pair();
        let mut buffer = [0; 8];
        // The event of bytes that were all read already does not come again.
        assert_eq!(transport.clear().read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        transport.put_back(b"early bytes");
        assert_eq!(transport.read(&mut buffer).unwrap(), 8);
        assert_eq!(&buffer, b"early by");
        assert_eq!(transport.read(&mut buffer).unwrap(), 3);
        assert_eq!(transport.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(near);
    }

    #[test]
    fn the_bit_falls_with_would_block_only() {
        let (near, mut transport) = pair();
        assert!(transport.socket.readiness.readable);
        assert_eq!(transport.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!transport.socket.readiness.readable);
        assert_eq!(transport.write(b"x").unwrap(), 1);
        assert!(transport.socket.readiness.writable);
        drop(near);
    }
}
