//! Reading from and writing to a browser's socket.

use log::debug;

use super::WebKey;
use crate::gateway::Stage;
use crate::http;
use crate::run::server::Server;
use crate::status::refusal::Refusal as Counted;

impl Server {
    /// Reads as much as there is room for. Returns false if nothing moved, or the connection is gone.
    pub(super) fn read_browser(&mut self, key: WebKey) -> bool {
        let Some(web) = self.webs.get_mut(key) else { return false };
        match web.visit.socket.handshake() {
            // A connection that was reset in the meantime stays so.
            Ok(true) if !web.is_secured && !web.visit.read_ended => {
                web.is_secured = true;
                web.visit.exchange.set_tls(web.visit.socket.is_tls());
            }
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                debug!("remote={} tls error={error}", web.remote);
                self.metrics.refused(Counted::Tls);
                self.drop_web(key);
                return false;
            }
        }
        let early = &mut web.early;
        web.visit.read(self.core.turn.now, &mut self.piece, |stage, bytes| {
            // A request longer than the server accepts is not for the server itself.
            if let Some(early) = early
                && early.len() < http::MAX_HEAD
                && matches!(stage, Stage::Idle | Stage::Head | Stage::Routing)
            {
                early.extend_from_slice(bytes);
            }
        })
    }

    /// Writes what waits for the browser. `None` means that the connection is gone.
    pub(super) fn write_browser(&mut self, key: WebKey) -> Option<bool> {
        let web = self.webs.get_mut(key)?;
        let moved = web.visit.write(web.stream.is_some());
        if moved.is_none() {
            self.drop_web(key);
        }
        moved
    }
}
