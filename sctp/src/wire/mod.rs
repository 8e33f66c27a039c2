//! The wire format: packets, chunks and their parameters (RFC 9260, section 3).

pub(crate) mod cause;
pub(crate) mod chunk;
pub(crate) mod init;
pub(crate) mod packet;
pub(crate) mod parameter;
pub(crate) mod reconfiguration;
pub(crate) mod writer;

/// Length of the header of every packet, in bytes.
pub(crate) const PACKET_HEADER: usize = 12;

/// Length of the header of a DATA chunk, in bytes.
pub(crate) const DATA_HEADER: usize = 16;

/// Types of chunks (RFC 9260, section 3.2, and the named extensions).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    /// RFC 6525, section 3.1.
    pub(crate) const RE_CONFIG: u8 = 130;
    /// RFC 4820, section 3.
    pub(crate) const PAD: u8 = 132;
    /// RFC 3758, section 3.2.
    pub(crate) const FORWARD_TSN: u8 = 192;
}

/// Returns `length` rounded up to a multiple of four, as chunks and parameters are padded.
pub(crate) const fn padded(length: usize) -> usize {
    (length + 3) & !3
}

/// Returns the big-endian number at the start of `bytes`, and the rest.
pub(crate) fn take_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Returns the big-endian number at the start of `bytes`, and the rest.
pub(crate) fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}
