//! Pooled buffers with headroom: a TCP read lands behind the room its frame header needs, and is sent without a copy.

use super::frame::HEADER_LEN;

/// Largest DATA payload we send or accept, in bytes.
pub const MAX_PAYLOAD: usize = 16 * 1024;

/// Payload of the small size class. A short read moves here, so that it does not pin a large chunk until it is
/// acknowledged.
const SMALL_PAYLOAD: usize = 2048 - HEADER_LEN;

/// Longest datagram, in bytes: the longest payload of UDP over IPv4.
pub const MAX_DATAGRAM: usize = 65_507;

/// Payloads of the size classes. The largest is for datagrams only.
const SIZES: [usize; 3] = [SMALL_PAYLOAD, MAX_PAYLOAD, MAX_DATAGRAM];

/// Maximum number of bytes of free chunks kept in each size class; the allocator gets the rest. Acknowledgements free a
/// quarter of a window at once, so the small class must hold many.
const MAX_FREE: usize = 4 * 1024 * 1024;

/// A buffer that holds one DATA or DATAGRAM message: header and payload, back to back.
#[derive(Debug)]
pub struct Chunk {
    buffer: Box<[u8]>,
    payload_len: usize,
}

impl Chunk {
    /// Returns the whole room for a payload; fill it from the front, then call [`Chunk::set_len`].
    pub fn room_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADER_LEN..]
    }

    /// Sets the length of the payload, in bytes; at most the length of the room.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.buffer.len() - HEADER_LEN, "a payload must fit its chunk");
        self.payload_len = len;
    }

    /// Returns the number of payload bytes.
    pub fn len(&self) -> usize {
        self.payload_len
    }

    /// Tells whether the chunk holds no payload.
    pub fn is_empty(&self) -> bool {
        self.payload_len == 0
    }

    /// Returns the payload.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[HEADER_LEN..HEADER_LEN + self.payload_len]
    }

    /// Returns the memory the chunk takes, in bytes: its capacity, not its length.
    pub fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Writes the frame header into the headroom.
    pub(super) fn set_header(&mut self, header: [u8; HEADER_LEN]) {
        self.buffer[..HEADER_LEN].copy_from_slice(&header);
    }

    /// Returns header and payload: the message as it is sent.
    pub(super) fn message(&self) -> &[u8] {
        &self.buffer[..HEADER_LEN + self.payload_len]
    }
}

/// Keeps chunks for reuse, so that steady forwarding allocates nothing.
#[derive(Debug, Default)]
pub struct ChunkPool {
    /// Free chunks of each of [`SIZES`].
    free: [Vec<Box<[u8]>>; SIZES.len()],
    outstanding: usize,
}

impl ChunkPool {
    /// Creates an empty pool.
    pub fn new() -> ChunkPool {
        ChunkPool::default()
    }

    /// Takes a chunk with room for [`MAX_PAYLOAD`] bytes.
    pub fn take(&mut self) -> Chunk {
        self.outstanding += 1;
        Chunk { buffer: self.buffer(MAX_PAYLOAD), payload_len: 0 }
    }

    /// Copies a payload of at most [`MAX_DATAGRAM`] bytes into the smallest chunk it fits.
    pub(super) fn copy(&mut self, payload: &[u8]) -> Chunk {
        let mut chunk = Chunk { buffer: self.buffer(payload.len()), payload_len: 0 };
        self.outstanding += 1;
        chunk.room_mut()[..payload.len()].copy_from_slice(payload);
        chunk.set_len(payload.len());
        chunk
    }

    /// Moves a short payload into a small chunk; keeps a longer one where it is.
    #[must_use]
    pub fn fit(&mut self, chunk: Chunk) -> Chunk {
        if chunk.len() > SMALL_PAYLOAD || chunk.capacity() <= SMALL_PAYLOAD + HEADER_LEN {
            return chunk;
        }
        let mut small = Chunk { buffer: self.buffer(SMALL_PAYLOAD), payload_len: chunk.len() };
        small.buffer[HEADER_LEN..HEADER_LEN + chunk.len()].copy_from_slice(chunk.payload());
        self.outstanding += 1;
        self.recycle(chunk);
        small
    }

    /// Takes back a chunk that is no longer needed.
    pub fn recycle(&mut self, chunk: Chunk) {
        self.outstanding -= 1;
        let free = &mut self.free[class(chunk.buffer.len() - HEADER_LEN)];
        if (free.len() + 1) * chunk.buffer.len() <= MAX_FREE {
            free.push(chunk.buffer);
        }
    }

    /// Returns how many chunks are in use: 0 once every stream ended, or something leaks.
    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    fn buffer(&mut self, payload: usize) -> Box<[u8]> {
        let class = class(payload);
        self.free[class].pop().unwrap_or_else(|| vec![0; HEADER_LEN + SIZES[class]].into_boxed_slice())
    }
}

/// Returns the smallest size class for a payload of `payload` bytes.
fn class(payload: usize) -> usize {
    SIZES.iter().position(|size| payload <= *size).expect("no payload is longer than the longest datagram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_payloads_move_to_a_small_chunk_and_both_come_back() {
        let mut pool = ChunkPool::new();
        let mut chunk = pool.take();
        chunk.room_mut()[..5].copy_from_slice(b"hello");
        chunk.set_len(5);
        let chunk = pool.fit(chunk);
        assert_eq!((chunk.payload(), chunk.capacity()), (&b"hello"[..], 2048));
        assert_eq!(pool.outstanding(), 1);
        pool.recycle(chunk);
        assert_eq!((pool.outstanding(), pool.free[1].len(), pool.free[0].len()), (0, 1, 1));
        assert_eq!(pool.take().room_mut().len(), MAX_PAYLOAD);
        assert!(pool.free[1].is_empty(), "the free chunk was used again");
    }

    #[test]
    fn a_copy_takes_the_smallest_chunk_and_comes_back() {
        let mut pool = ChunkPool::new();
        for len in [0, 1, SMALL_PAYLOAD, SMALL_PAYLOAD + 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, MAX_DATAGRAM] {
            let payload = vec![7; len];
            let chunk = pool.copy(&payload);
            let least = [SMALL_PAYLOAD, MAX_PAYLOAD, MAX_DATAGRAM].into_iter().find(|room| len <= *room).unwrap();
            assert_eq!((chunk.payload(), chunk.capacity()), (&payload[..], least + HEADER_LEN));
            pool.recycle(chunk);
        }
        assert_eq!((pool.outstanding(), pool.free.each_ref().map(Vec::len)), (0, [1, 1, 1]));
    }

    #[test]
    fn a_long_payload_stays() {
        let mut pool = ChunkPool::new();
        let mut chunk = pool.take();
        chunk.set_len(SMALL_PAYLOAD + 1);
        assert_eq!(pool.fit(chunk).capacity(), HEADER_LEN + MAX_PAYLOAD);
        assert_eq!(pool.outstanding(), 1);
    }
}
