//! Settings of one end of an association.

use std::time::Duration;

use crate::congestion::Algorithm;

/// The port WebRTC uses on both sides (RFC 8841, section 5).
const WEBRTC_PORT: u16 = 5000;

/// Minimum receive window, in bytes: a lower setting is raised to it.
pub const MIN_RECEIVE_WINDOW: usize = 64 * 1024;

/// Minimum size of a packet, in bytes: every IPv6 path carries 1280 bytes, minus the headers of IPv6, UDP and DTLS, and
/// more.
pub const MIN_PACKET_SIZE: usize = 508;

/// Maximum size of a packet, in bytes.
pub const MAX_PACKET_SIZE: usize = 65_532;

/// Settings of one end of an association. [`Config::default`] suits WebRTC.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port packets come from.
    pub local_port: u16,
    /// The port packets go to.
    pub remote_port: u16,
    /// Size of packets, in bytes, before probes show that longer ones pass; in DTLS, the payload of a record.
    pub packet_size: usize,
    /// Maximum size of packets, in bytes, once probes show that it passes (RFC 8899). Without a larger value than
    /// [`Config::packet_size`], no probes are sent.
    pub max_packet_size: usize,
    /// Maximum number of bytes of messages kept for the application; announced as the window (RFC 9260, section 3.3.2).
    pub receive_window: usize,
    /// Longest message accepted from the peer, in bytes. A longer one ends the association.
    pub max_receive_message_size: usize,
    /// Longest message that may be sent, in bytes.
    pub max_send_message_size: usize,
    /// Maximum number of outgoing streams; the peer may allow fewer.
    pub outbound_streams: u16,
    /// Maximum number of incoming streams.
    pub inbound_streams: u16,
    /// How often INIT and COOKIE ECHO are retransmitted before the association fails. `None`: without limit.
    pub max_init_retransmits: Option<u32>,
    /// How many retransmission timeouts in a row end the association. `None`: no number does.
    pub max_retransmits: Option<u32>,
    /// Whether packets may lack a checksum, because the layer below detects errors (RFC 9653), as DTLS does.
    pub zero_checksum: bool,
    /// How long the path may be silent before a HEARTBEAT checks it (RFC 9260, section 8.3). `None`: there are none.
    pub heartbeat_interval: Option<Duration>,
    /// Whether private extensions between two ends of this crate are offered: fewer acknowledgements, packets of one
    /// length.
    pub private_extensions: bool,
    /// The congestion control algorithm.
    pub algorithm: Algorithm,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            local_port: WEBRTC_PORT,
            remote_port: WEBRTC_PORT,
            packet_size: 1150,
            max_packet_size: 1412,
            receive_window: 16 * 1024 * 1024,
            max_receive_message_size: 256 * 1024,
            max_send_message_size: 256 * 1024,
            outbound_streams: u16::MAX,
            inbound_streams: u16::MAX,
            max_init_retransmits: Some(8),
            max_retransmits: Some(10),
            zero_checksum: true,
            heartbeat_interval: Some(Duration::from_secs(30)),
            private_extensions: true,
            algorithm: Algorithm::default(),
        }
    }
}

impl Config {
    /// Returns the window to announce.
    pub(crate) fn window(&self) -> usize {
        self.receive_window.clamp(MIN_RECEIVE_WINDOW, u32::MAX as usize)
    }

    /// Returns the first packet size, in bytes, a multiple of four.
    pub(crate) fn first_packet_size(&self) -> usize {
        self.packet_size.clamp(MIN_PACKET_SIZE, MAX_PACKET_SIZE) & !3
    }
}
