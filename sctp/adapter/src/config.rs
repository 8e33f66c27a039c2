//! Settings.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use pinhole_sctp::{Config, Seed, Token};

use crate::Error;

/// Minimum announced window, whatever is configured: 100 ms at a gigabit per second. str0m configures one MiB, which
/// limits a path of 100 ms to 84 Mbit/s.
const RECEIVE_WINDOW: u32 = 16 * 1024 * 1024;

/// Bytes that str0m reserves for SCTP headers in a packet.
const OVERHEAD: u32 = 28;

/// Settings of an [`crate::Endpoint`].
#[derive(Debug, Clone)]
pub struct EndpointConfig {
    max_payload_size: u32,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        EndpointConfig { max_payload_size: 1200 }
    }
}

impl EndpointConfig {
    /// Sets the longest payload of one packet.
    pub fn max_payload_size(&mut self, value: u32) -> &mut Self {
        self.max_payload_size = value;
        self
    }
}

/// Settings of associations that the peer starts.
#[derive(Debug, Clone, Default)]
pub struct ServerConfig {
    /// The behaviour of the associations.
    pub transport: Arc<TransportConfig>,
}

/// Settings of an association that starts here.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// The behaviour of the association.
    pub transport: Arc<TransportConfig>,
    pub(crate) tokens: Option<(Bytes, Bytes)>,
}

impl ClientConfig {
    /// Creates settings.
    pub fn new() -> ClientConfig {
        ClientConfig::default()
    }

    /// Sets the tokens both sides exchanged beforehand, ours and the peer's, so that no handshake is needed.
    pub fn with_snap(mut self, local: Bytes, remote: Bytes) -> ClientConfig {
        self.tokens = Some((local, remote));
        self
    }
}

/// The behaviour of an association.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    max_init_retransmits: Option<usize>,
    max_data_retransmits: Option<usize>,
    max_receive_buffer_size: u32,
    max_receive_message_size: u32,
}

impl Default for TransportConfig {
    fn default() -> Self {
        TransportConfig {
            max_init_retransmits: Some(8),
            max_data_retransmits: None,
            max_receive_buffer_size: RECEIVE_WINDOW,
            max_receive_message_size: 64 * 1024,
        }
    }
}

impl TransportConfig {
    /// Sets how often INIT is retransmitted.
    pub fn with_max_init_retransmits(mut self, value: Option<usize>) -> Self {
        self.max_init_retransmits = value;
        self
    }

    /// Sets how many timeouts in a row end the association.
    pub fn with_max_data_retransmits(mut self, value: Option<usize>) -> Self {
        self.max_data_retransmits = value;
        self
    }

    /// Sets the least receive buffer, in bytes.
    pub fn with_max_receive_buffer_size(mut self, value: u32) -> Self {
        self.max_receive_buffer_size = value;
        self
    }

    /// Sets the longest message accepted from the peer.
    pub fn with_max_receive_message_size(mut self, value: u32) -> Self {
        self.max_receive_message_size = value;
        self
    }
}

/// Creates a token for [`ClientConfig::with_snap`].
///
/// # Errors
/// None.
pub fn generate_snap_token(transport: &TransportConfig) -> Result<Bytes, Error> {
    Ok(Token::new(&settings(&EndpointConfig::default(), transport), seed()).to_bytes())
}

/// Returns the settings in the form of pinhole-sctp.
pub(crate) fn settings(endpoint: &EndpointConfig, transport: &TransportConfig) -> Config {
    let limit = |count: Option<usize>| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
    Config {
        packet_size: endpoint.max_payload_size.saturating_add(OVERHEAD) as usize,
        receive_window: transport.max_receive_buffer_size.max(RECEIVE_WINDOW) as usize,
        max_receive_message_size: transport.max_receive_message_size as usize,
        max_init_retransmits: limit(transport.max_init_retransmits),
        max_retransmits: limit(transport.max_data_retransmits),
        ..Config::default()
    }
}

/// Returns a seed from the keys of the standard library's hash maps: the system's randomness, once per thread, and a
/// counter.
pub(crate) fn seed() -> Seed {
    Seed([1, 2].map(|half| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(half);
        hasher.finish()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        assert_ne!(seed(), seed());
    }

    #[test]
    fn the_window_str0m_asks_for_is_the_least() {
        let window = |asked| {
            let transport = TransportConfig::default().with_max_receive_buffer_size(asked);
            settings(&EndpointConfig::default(), &transport).receive_window
        };
        assert_eq!(window(1024 * 1024), RECEIVE_WINDOW as usize);
        assert_eq!(window(u32::MAX), u32::MAX as usize);
    }
}
