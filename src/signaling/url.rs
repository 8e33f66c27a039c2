//! The URL a person passes around.

/// Where a host's signaling WebSocket answers, without the pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalingUrl {
    /// Whether the connection is `wss://`.
    pub tls: bool,
    /// Host name or IP literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query of the upgrade request, beginning with `/`; the `pin` parameter is never part of it.
    pub path: String,
}
