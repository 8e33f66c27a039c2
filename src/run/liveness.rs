//! Whether a signaling WebSocket is alive: pings keep forwarders from cutting it, and their answers show that it works.

use std::time::Duration;

use crate::net::websocket::{WebSocket, WebSocketError};

/// Time between looks at a WebSocket.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Looks from one ping to the next: 20 seconds. Dev tunnels and proxies cut connections on which nothing moves for a
/// minute.
const LOOKS_PER_PING: u32 = 2;

/// Looks without anything received after which a WebSocket counts as dead: 30 to 40 seconds.
const MAX_SILENT_LOOKS: u32 = 3;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    received: u64,
    silent_looks: u32,
    looks: u32,
}

impl Liveness {
    /// Looks at the WebSocket, and pings it every second time; false says that it is dead. To be called every
    /// [`LOOK_INTERVAL`].
    pub(super) fn check(&mut self, websocket: &mut WebSocket) -> bool {
        let received = websocket.received();
        if std::mem::replace(&mut self.received, received) == received {
            self.silent_looks += 1;
        } else {
            self.silent_looks = 0;
        }
        self.looks = self.looks.wrapping_add(1);
        if self.silent_looks >= MAX_SILENT_LOOKS {
            return false;
        }
        // One that has no room for a ping has other things under way.
        !self.looks.is_multiple_of(LOOKS_PER_PING)
            || matches!(websocket.send_ping(), Ok(()) | Err(WebSocketError::Full { .. }))
    }
}
