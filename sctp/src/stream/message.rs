//! Messages that arrived.

use bytes::{Bytes, BytesMut};

/// A message of the peer.
#[derive(Debug, Clone)]
pub struct Message {
    /// What the payload is, for the application: the payload protocol identifier (RFC 9260, section 3.3.1; RFC 8831, section 8).
    pub protocol: u32,
    pub(crate) parts: Parts,
    /// What the message counts for in the receive window.
    pub(crate) cost: usize,
}

/// The payload, in the pieces in which it came.
#[derive(Debug, Clone)]
pub(crate) enum Parts {
    One(Bytes),
    Many(Vec<Bytes>),
}

impl Message {
    /// Returns the pieces of the payload in order.
    pub fn parts(&self) -> &[Bytes] {
        match &self.parts {
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Many(parts) => parts,
        }
    }

    /// Returns the bytes of the payload.
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Tells whether the payload has no bytes, which no message of a peer that keeps the rules has.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the payload to the start of `target`, as much of it as fits, and returns how many bytes that are.
    pub fn copy_to(&self, target: &mut [u8]) -> usize {
        let mut copied = 0;
        for part in self.parts() {
            let room = &mut target[copied..];
            let count = part.len().min(room.len());
            room[..count].copy_from_slice(&part[..count]);
            copied += count;
        }
        copied
    }

    /// Returns the payload in one piece.
    pub fn into_bytes(self) -> Bytes {
        match self.parts {
            Parts::One(part) => part,
            Parts::Many(parts) => {
                let mut whole = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
                parts.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        }
    }
}
