//! UDP sockets that move datagrams in batches: one system call for many, with GSO and GRO where the system has them.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use log::debug;

use super::readiness::Readiness;
use super::system::{self, BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};

/// Maximum number of bytes of datagrams that wait for a full socket; new ones beyond it are dropped, as a router would
/// do.
const MAX_PARKED: usize = 512 * 1024;

/// Maximum number of bytes sent by one system call: what fits an IP packet before GSO splits it.
const MAX_BATCH: usize = 60_000;

/// Bytes for one received message; with GRO it contains many datagrams.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Messages received by one system call.
const RECEIVE_BATCH: usize = if BATCH_SIZE < 8 { BATCH_SIZE } else { 8 };

/// Size of the kernel's buffers, in bytes, where it grants them: thirty milliseconds at a gigabit per second. A busy
/// moment of our single thread must not drop a burst.
pub const KERNEL_BUFFER: usize = 4 * 1024 * 1024;

/// Datagrams of equal size for one destination, back to back; the last may be shorter.
#[derive(Debug)]
struct Batch {
    destination: SocketAddr,
    segment: usize,
    count: usize,
    contents: Vec<u8>,
}

impl Batch {
    fn takes(&self, destination: SocketAddr, datagram: &[u8], max_count: usize) -> bool {
        self.destination == destination
            && self.count < max_count
            && datagram.len() <= self.segment
            && self.contents.len() == self.segment * self.count
            && self.contents.len() + datagram.len() <= MAX_BATCH
    }
}

/// Buffers for received datagrams, shared by all sockets of a loop.
pub struct ReceiveBuffers {
    bytes: Vec<u8>,
}

impl Default for ReceiveBuffers {
    fn default() -> Self {
        ReceiveBuffers { bytes: vec![0; RECEIVE_BATCH * RECEIVE_BUFFER] }
    }
}

/// A UDP socket bound to one local address.
pub struct UdpSocket {
    socket: system::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// Latched readiness.
    pub readiness: Readiness,
    batch: Option<Batch>,
    parked: VecDeque<Batch>,
    parked_len: usize,
    /// A buffer for building the next batch.
    spare: Vec<u8>,
}

impl UdpSocket {
    /// Binds a socket to `address`, on a port the system picks.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(address: IpAddr) -> io::Result<UdpSocket> {
        let socket = system::UdpSocket::bind(SocketAddr::new(address, 0))?;
        let state = UdpSocketState::new((&socket).into())?;
        // Small buffers only cost speed, so a refusal is not an error.
        let _ = state.set_send_buffer_size((&socket).into(), KERNEL_BUFFER);
        let _ = state.set_recv_buffer_size((&socket).into(), KERNEL_BUFFER);
        let local = socket.local_addr()?;
        let readiness = Readiness::BOTH;
        let (batch, parked, spare) = (None, VecDeque::new(), Vec::new());
        Ok(UdpSocket { socket, state, local, readiness, batch, parked, parked_len: 0, spare })
    }

    /// Returns the bound address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns how many bytes of datagrams the system queues for the socket, which may be less than [`KERNEL_BUFFER`].
    pub fn receive_buffer(&self) -> usize {
        self.state.recv_buffer_size((&self.socket).into()).unwrap_or(0)
    }

    /// Returns the socket, to register it.
    pub fn source_mut(&mut self) -> &mut system::UdpSocket {
        &mut self.socket
    }

    /// Receives as much as one system call returns, and passes each datagram and its sender to `handle`. Clears the
    /// readiness when nothing is left.
    pub fn receive(&mut self, buffers: &mut ReceiveBuffers, mut handle: impl FnMut(SocketAddr, &[u8])) {
        let mut meta = [RecvMeta::default(); RECEIVE_BATCH];
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] = {
            let mut parts = buffers.bytes.chunks_mut(RECEIVE_BUFFER);
            std::array::from_fn(|_| IoSliceMut::new(parts.next().unwrap_or_default()))
        };
        let count = match self.state.recv((&self.socket).into(), &mut slices, &mut meta) {
            Ok(count) => count,
            // Errors of datagrams sent earlier; received ones wait behind them.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionReset) => return,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    debug!("local={} receive error={error}", self.local);
                }
                self.readiness.clear_readable();
                return;
            }
        };
        for (meta, buffer) in meta.iter().zip(&slices).take(count) {
            let bytes = &buffer[..meta.len.min(buffer.len())];
            for datagram in bytes.chunks(meta.stride.max(1)) {
                handle(meta.addr, datagram);
            }
        }
    }

    /// Queues a datagram; [`UdpSocket::flush`] sends it together with its neighbours.
    pub fn send(&mut self, destination: SocketAddr, datagram: &[u8]) {
        let max_count = self.state.max_gso_segments();
        if let Some(batch) = &mut self.batch
            && batch.takes(destination, datagram, max_count)
        {
            batch.contents.extend_from_slice(datagram);
            batch.count += 1;
            return;
        }
        self.flush();
        let mut contents = std::mem::take(&mut self.spare);
        contents.clear();
        contents.extend_from_slice(datagram);
        self.batch = Some(Batch { destination, segment: datagram.len(), count: 1, contents });
    }

    /// Sends the queued datagrams, parked ones first.
    pub fn flush(&mut self) {
        while self.readiness.writable
            && let Some(batch) = self.parked.pop_front()
        {
            self.parked_len -= batch.contents.len();
            if let Err(batch) = self.transmit(batch) {
                self.parked_len += batch.contents.len();
                self.parked.push_front(batch);
            }
        }
        let Some(batch) = self.batch.take() else { return };
        let unsent = if self.readiness.writable && self.parked.is_empty() {
            match self.transmit(batch) {
                Ok(()) => return,
                Err(batch) => batch,
            }
        } else {
            batch
        };
        if self.parked_len + unsent.contents.len() <= MAX_PARKED {
            self.parked_len += unsent.contents.len();
            self.parked.push_back(unsent);
        }
    }

    /// Sends one batch; returns it if the socket is full.
    fn transmit(&mut self, batch: Batch) -> Result<(), Batch> {
        let segment_size = (batch.count > 1).then_some(batch.segment);
        let transmit = Transmit {
            destination: batch.destination,
            ecn: None,
            contents: &batch.contents,
            segment_size,
            src_ip: None,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readiness.clear_writable();
                return Err(batch);
            }
            Err(error) => {
                // The datagram is lost. ICE notices unreachable networks and the like.
                debug!("local={} remote={} send error={error}", self.local, batch.destination);
            }
        }
        self.spare = batch.contents;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn datagrams_of_all_sizes_arrive_whole_and_in_their_own_bounds() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let (mut near, mut far) = (UdpSocket::bind(loopback).unwrap(), UdpSocket::bind(loopback).unwrap());
        let sizes = [1200, 1200, 1200, 700, 1200, 1200, 1, 900, 900, 901, 40];
        for (index, size) in sizes.iter().enumerate() {
            near.send(far.local(), &vec![index as u8; *size]);
        }
        near.flush();
        let mut buffers = ReceiveBuffers::default();
        let mut received = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        while received.len() < sizes.len() && Instant::now() < deadline {
            far.readiness = Readiness::BOTH;
            far.receive(&mut buffers, |remote, datagram| {
                assert_eq!(remote, near.local());
                assert!(datagram.iter().all(|byte| usize::from(*byte) == received.len()));
                received.push(datagram.len());
            });
        }
        assert_eq!(received, sizes);
    }

    #[test]
    fn a_socket_that_takes_no_more_parks_within_its_bound() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let (mut near, far) = (UdpSocket::bind(loopback).unwrap(), UdpSocket::bind(loopback).unwrap());
        near.readiness.clear_writable();
        for _ in 0..2000 {
            near.send(far.local(), &[0; 1200]);
            near.flush();
        }
        assert!(near.parked_len <= MAX_PARKED && near.parked_len > MAX_PARKED - 1200);
        near.readiness = Readiness::BOTH;
        near.flush();
        assert!(near.parked_len < MAX_PARKED, "what was parked goes out once the socket is writable");
    }
}
