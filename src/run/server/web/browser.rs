//! Reading from and writing to a browser's socket.

use std::io::{self, Read as _, Write as _};

use log::debug;

use super::WebKey;
use crate::gateway::{Ending, Stage};
use crate::http;
use crate::run::server::Server;
use crate::status::refusal::Refusal as Counted;

impl Server {
    /// Reads as much as there is room for. Returns false if nothing moved, or the connection is gone.
    pub(super) fn read_browser(&mut self, key: WebKey) -> bool {
        let Some(web) = self.webs.get_mut(key) else { return false };
        match web.transport.handshake() {
            // A connection that was reset in the meantime stays so.
            Ok(true) if !web.is_secured && !web.read_ended => {
                web.is_secured = true;
                web.exchange.set_tls(web.transport.is_tls());
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
        let piece = &mut self.piece;
        let now = self.core.turn.now;
        let mut has_moved = false;
        while !web.read_ended {
            let room = web.exchange.room().min(piece.len());
            web.pace.set_room(now, room > 0);
            if room == 0 {
                break;
            }
            match web.transport.read(&mut piece[..room]) {
                Ok(0) => {
                    web.read_ended = true;
                    web.exchange.handle_end();
                }
                Ok(len) => {
                    web.pace.received(now, len);
                    // A request longer than the server accepts is not for the server itself.
                    if let Some(early) = &mut web.early
                        && early.len() < http::MAX_HEAD
                        && matches!(web.exchange.stage(), Stage::Idle | Stage::Head | Stage::Routing)
                    {
                        early.extend_from_slice(&piece[..len]);
                    }
                    web.exchange.handle_bytes(&piece[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    // TLS ended without close_notify, as with most browsers.
                    web.read_ended = true;
                    web.exchange.handle_end();
                }
                Err(error) => {
                    debug!("remote={} read error={error}", web.remote);
                    web.read_ended = true;
                    web.exchange.handle_browser_gone();
                }
            }
            has_moved = true;
        }
        has_moved
    }

    /// Writes what waits for the browser. `None` means that the connection is gone.
    pub(super) fn write_browser(&mut self, key: WebKey) -> Option<bool> {
        let web = self.webs.get_mut(key)?;
        let mut has_moved = false;
        while !web.exchange.to_browser().is_empty() && !web.write_ended {
            match web.transport.write(web.exchange.to_browser()) {
                Ok(len) if len > 0 => {
                    web.exchange.handle_sent_to_browser(len);
                    has_moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                result => {
                    debug!("remote={} write failed: {result:?}", web.remote);
                    web.write_ended = true;
                    web.exchange.handle_browser_gone();
                }
            }
        }
        if let Err(error) = web.transport.flush()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            web.write_ended = true;
            web.exchange.handle_browser_gone();
        }
        match web.exchange.browser_ending() {
            None => {}
            Some(Ending::Reset) => {
                self.drop_web(key);
                return None;
            }
            Some(ending @ (Ending::Close | Ending::HalfClose)) => {
                if !web.write_ended && !web.transport.holds_back() {
                    web.write_ended = true;
                    web.transport.finish();
                }
                let is_over = ending == Ending::Close || web.stream.is_none();
                if is_over && web.read_ended && web.write_ended {
                    self.drop_web(key);
                    return None;
                }
            }
        }
        Some(has_moved)
    }
}
