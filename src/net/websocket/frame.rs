//! Fixed properties of frames: limits, close frames, sizes.

use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::{MAX_MESSAGE, MAX_WRITE_BUFFER};

/// Close codes of RFC 6455, section 7.4.1, that are used or reported here.
pub mod close_code {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// This side goes away.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer broke the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// The peer's close had no code. Reported, never sent.
    pub const NO_STATUS: u16 = 1005;
    /// The connection ended before the closing handshake was complete. Reported, never sent.
    pub const ABNORMAL: u16 = 1006;
    /// A message was too large.
    pub const TOO_LARGE: u16 = 1009;
}

/// Room for small reads, in bytes; larger messages get more as they arrive.
const READ_BUFFER: usize = 4 * 1024;

/// A control frame's payload is at most 125 bytes, two of them the close code.
pub(super) const MAX_CLOSE_REASON: usize = 123;

/// Returns the limits for every WebSocket; tungstenite's defaults are for few and trusted peers.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Returns a close frame that is valid whatever the arguments.
pub(super) fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let code = CloseCode::from(code);
    let code = if code.is_allowed() { code } else { CloseCode::Normal };
    let mut end = reason.len().min(MAX_CLOSE_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code, reason: reason[..end].into() }
}

/// Returns the bytes of a frame with this payload (RFC 6455, section 5.2); a client's has a mask.
pub(super) fn frame_length(role: Role, payload: usize) -> u64 {
    let length_field = match payload {
        0..=125 => 0,
        126..=65535 => 2,
        _ => 8,
    };
    let mask = if role == Role::Client { 4 } else { 0 };
    (2 + length_field + mask + payload) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_frames_are_always_valid() {
        let frame = close_frame(close_code::ABNORMAL, &"ä".repeat(100));
        assert_eq!(frame.code, CloseCode::Normal);
        assert_eq!(frame.reason.as_str().len(), MAX_CLOSE_REASON - 1);
        assert_eq!(close_frame(4000, "x").code, CloseCode::Library(4000));
    }

    #[test]
    fn frame_lengths_match_the_layout() {
        for (payload, expected) in [(0, 2), (125, 127), (126, 130), (65535, 65539), (65536, 65546)] {
            assert_eq!(frame_length(Role::Server, payload), expected);
            assert_eq!(frame_length(Role::Client, payload), expected + 4);
        }
    }
}
