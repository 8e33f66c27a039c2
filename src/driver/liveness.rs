//! Whether a signaling WebSocket is alive: pings keep forwarders from cutting it, and their answers show that it works.

use std::time::Duration;

use crate::net::websocket::WebSocket;

/// Time between pings. Dev tunnels and proxies cut connections on which nothing moves for a minute.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Looks without anything received after which a WebSocket counts as dead: 40 seconds.
const MAX_SILENT_LOOKS: u32 = 2;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    received: u64,
    silent_looks: u32,
}

impl Liveness {
    /// Looks at the WebSocket and pings it; false says that it is dead. To be called every [`PING_INTERVAL`].
    pub(super) fn check(&mut self, websocket: &mut WebSocket) -> bool {
        let received = websocket.received();
        if std::mem::replace(&mut self.received, received) == received {
            self.silent_looks += 1;
        } else {
            self.silent_looks = 0;
        }
        self.silent_looks < MAX_SILENT_LOOKS && websocket.send_ping().is_ok()
    }
}
