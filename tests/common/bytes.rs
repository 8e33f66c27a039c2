//! Bytes that can be checked: a fixed pattern without repetition at usual lengths.

use std::io::{self, Read, Write};
use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// Length of the repeated block. It is a prime, so that no piece of a usual size can replace another unnoticed.
const PERIOD: usize = 1_048_573;

/// Bytes handled at once.
pub(crate) const PIECE: usize = 64 * 1024;

fn block() -> &'static [u8] {
    static BLOCK: OnceLock<Vec<u8>> = OnceLock::new();
    BLOCK.get_or_init(|| {
        let mut block = vec![0; PERIOD + PIECE];
        StdRng::seed_from_u64(1).fill_bytes(&mut block[..PERIOD]);
        block.copy_within(..PIECE, PERIOD);
        block
    })
}

/// The pattern from an offset on: at most [`PIECE`] bytes, and at most `limit`.
pub(crate) fn piece(offset: u64, limit: u64) -> &'static [u8] {
    let start = usize::try_from(offset % PERIOD as u64).unwrap();
    let len = usize::try_from(limit.min(PIECE as u64)).unwrap();
    &block()[start..start + len]
}

/// Writes `len` bytes of the pattern.
pub(crate) fn write_pattern(out: &mut impl Write, len: u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < len {
        let piece = piece(offset, len - offset);
        out.write_all(piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// Reads `len` bytes, and fails at the first that differs from the pattern at `from`.
pub(crate) fn check_pattern(input: &mut impl Read, from: u64, len: u64) {
    let mut buffer = vec![0; PIECE];
    let mut offset = from;
    while offset < from + len {
        let expected = piece(offset, from + len - offset);
        let received = &mut buffer[..expected.len()];
        input.read_exact(received).unwrap_or_else(|error| panic!("{error} after at least {offset} bytes"));
        assert!(received == expected, "a wrong byte at or behind {offset}");
        offset += expected.len() as u64;
    }
}

/// SHA-256 of `len` bytes of the pattern, in hexadecimal digits.
pub(crate) fn pattern_digest(len: u64) -> String {
    let mut digest = Digester::default();
    write_pattern(&mut digest, len).unwrap();
    digest.finish().1
}

/// Digests what is written to it.
#[derive(Default)]
pub(crate) struct Digester {
    hasher: Sha256,
    len: u64,
}

impl Digester {
    /// Returns the number of bytes and their SHA-256.
    pub(crate) fn finish(self) -> (u64, String) {
        (self.len, data_encoding::HEXLOWER.encode(&self.hasher.finalize()))
    }
}

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
