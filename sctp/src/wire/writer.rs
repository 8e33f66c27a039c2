//! Writes packets one after another into one buffer, so that a burst costs one allocation.

use bytes::{BufMut, Bytes, BytesMut};

use super::chunk::DataHeader;
use super::{DATA_HEADER, PACKET_HEADER, kind, packet, padded};

/// Bytes allocated at a time.
const BURST: usize = 32 * 1024;

/// The header of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) tag: u32,
}

/// Writes packets.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    buffer: BytesMut,
    limit: usize,
}

impl Writer {
    /// Begins a packet of at most `limit` bytes.
    pub(crate) fn begin(&mut self, header: Header, limit: usize) {
        self.limit = limit & !3;
        self.buffer.clear();
        self.reserve(limit.max(PACKET_HEADER));
        let mut bytes = [0; PACKET_HEADER];
        bytes[0..2].copy_from_slice(&header.source_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&header.destination_port.to_be_bytes());
        bytes[4..8].copy_from_slice(&header.tag.to_be_bytes());
        self.buffer.extend_from_slice(&bytes);
    }

    /// Raises the limit of the packet.
    pub(crate) fn widen(&mut self, limit: usize) {
        self.limit = self.limit.max(limit & !3);
        self.reserve(self.room());
    }

    /// Returns how many bytes of chunks still fit.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.buffer.len())
    }

    /// Returns the length of the packet so far.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Tells whether the packet has no chunk yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.len() <= PACKET_HEADER
    }

    /// Appends a chunk. It may exceed the room, since some chunks cannot be made smaller.
    pub(crate) fn chunk(&mut self, kind: u8, flags: u8, value: &[u8]) {
        let length = 4 + value.len();
        self.reserve(padded(length));
        self.buffer.extend_from_slice(&[kind, flags]);
        self.buffer.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        self.buffer.extend_from_slice(value);
        self.buffer.put_bytes(0, padded(length) - length);
    }

    /// Appends a finished chunk, with its padding.
    pub(crate) fn encoded(&mut self, chunk: &[u8]) {
        self.reserve(padded(chunk.len()));
        self.buffer.extend_from_slice(chunk);
        self.buffer.put_bytes(0, padded(chunk.len()) - chunk.len());
    }

    /// Appends a DATA chunk.
    pub(crate) fn data(&mut self, header: &DataHeader, payload: &[u8]) {
        let length = DATA_HEADER + payload.len();
        self.reserve(padded(length));
        self.buffer.extend_from_slice(&header.encode(length));
        self.buffer.extend_from_slice(payload);
        self.buffer.put_bytes(0, padded(length) - length);
    }

    /// Fills the rest of the packet with a PAD chunk (RFC 4820, section 3).
    pub(crate) fn pad(&mut self, length: usize) {
        if length >= 4 {
            self.reserve(length);
            self.buffer.extend_from_slice(&[kind::PAD, 0]);
            self.buffer.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
            self.buffer.put_bytes(0, length - 4);
        }
    }

    /// Finishes the packet, with a checksum or with zero in its place.
    pub(crate) fn finish(&mut self, has_checksum: bool) -> Bytes {
        if has_checksum {
            let sum = packet::checksum(&self.buffer);
            self.buffer[8..12].copy_from_slice(&sum);
        }
        self.buffer.split().freeze()
    }

    fn reserve(&mut self, length: usize) {
        if self.buffer.capacity() - self.buffer.len() < length {
            self.buffer.reserve(length.max(BURST));
        }
    }
}
