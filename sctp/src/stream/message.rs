//! Messages that arrived.

use bytes::{Bytes, BytesMut};

/// A message of the peer.
#[derive(Debug, Clone)]
pub struct Message {
    /// The type of the payload, for the application: the payload protocol identifier (RFC 9260, section 3.3.1; RFC
    /// 8831, section 8).
    pub protocol: u32,
    pub(crate) parts: Parts,
    /// How much of the receive window the message uses.
    pub(crate) cost: usize,
}

/// The payload, in the pieces in which it arrived.
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

    /// Returns the length of the payload, in bytes.
    pub fn len(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }

    /// Tells whether the payload is empty, which the protocol does not allow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies as much of the payload as fits to the start of `target`, and returns how many bytes that are.
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
