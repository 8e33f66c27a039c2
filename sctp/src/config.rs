//! What one end of an association is set to.

use std::time::Duration;

use crate::congestion::Algorithm;

/// The port WebRTC uses on both sides (RFC 8841, section 5).
const WEBRTC_PORT: u16 = 5000;

/// The least a receive window is: a lower setting is raised to it.
pub const MIN_RECEIVE_WINDOW: usize = 64 * 1024;

/// The least bytes a packet may have: what IPv6 promises every path carries (1280), less the headers of IPv6, UDP and DTLS, and more.
pub const MIN_PACKET_SIZE: usize = 508;

/// The most bytes a packet may have.
pub const MAX_PACKET_SIZE: usize = 65_532;

/// What one end of an association is set to. [`Config::default`] is what WebRTC asks for.
#[derive(Debug, Clone)]
pub struct Config {
    /// The port packets come from.
    pub local_port: u16,
    /// The port packets go to.
    pub remote_port: u16,
    /// The most bytes a packet has before a larger size is known to pass; in DTLS it is what a record may hold.
    pub packet_size: usize,
    /// The most bytes a packet has once probes have shown that they pass (RFC 8899). Not above [`Config::packet_size`]: none are sent.
    pub max_packet_size: usize,
    /// The bytes of messages that are kept for the application; announced as the window (RFC 9260, section 3.3.2).
    pub receive_window: usize,
    /// The longest message taken of the peer, in bytes. A longer one ends the association.
    pub max_receive_message_size: usize,
    /// The longest message that may be sent, in bytes.
    pub max_send_message_size: usize,
    /// How many streams may leave; the peer may allow fewer.
    pub outbound_streams: u16,
    /// How many streams may arrive.
    pub inbound_streams: u16,
    /// How often INIT and COOKIE ECHO are sent again before the association fails. `None`: for ever.
    pub max_init_retransmits: Option<u32>,
    /// How many retransmission timeouts in a row end the association. `None`: none do.
    pub max_retransmits: Option<u32>,
    /// Whether packets may go without checksum, because what carries them finds errors (RFC 9653): DTLS does.
    pub zero_checksum: bool,
    /// How long the path may be silent before a HEARTBEAT asks for it (RFC 9260, section 8.3). `None`: it never does.
    pub heartbeat_interval: Option<Duration>,
    /// Whether what is agreed only between two ends of this crate is offered: fewer acknowledgements, packets of one length.
    pub private_extensions: bool,
    /// Which algorithm decides how much may be on the way.
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
    /// Returns the window that is announced.
    pub(crate) fn window(&self) -> usize {
        self.receive_window.clamp(MIN_RECEIVE_WINDOW, u32::MAX as usize)
    }

    /// Returns the bytes of a packet before a larger size is known to pass, in whole words.
    pub(crate) fn first_packet_size(&self) -> usize {
        self.packet_size.clamp(MIN_PACKET_SIZE, MAX_PACKET_SIZE) & !3
    }
}
