//! What tests read requests from.

use std::io::{self, Read};

/// Gives its pieces one read at a time, then blocks.
pub(crate) struct Pieces(pub(crate) Vec<Vec<u8>>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut piece = self.0.remove(0);
        let rest = piece.split_off(piece.len().min(buffer.len()));
        if !rest.is_empty() {
            self.0.insert(0, rest);
        }
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}
