//! Sessions and the links that serve them.

use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;
use log::info;

use super::{SessionEntry, Sessions};
use crate::run::keys::SessionKey;
use crate::signaling::error::SignalingError;
use crate::signaling::sealing::{Opener, Sealer};

impl Sessions {
    /// Passes a signaling message to a session.
    ///
    /// # Errors
    /// The link must be given up.
    pub(in crate::run) fn handle_signal(
        &mut self,
        now: Instant,
        key: SessionKey,
        text: &str,
    ) -> Result<(), SignalingError> {
        let result = self.table.get_mut(key).map(|entry| entry.session.handle_signal(now, text));
        self.touch(key);
        result.unwrap_or(Ok(()))
    }

    /// Passes a message of the relay to a session.
    ///
    /// # Errors
    /// The link must be given up.
    pub(in crate::run) fn handle_relayed(
        &mut self,
        now: Instant,
        key: SessionKey,
        bytes: Bytes,
    ) -> Result<(), SignalingError> {
        let result = self.table.get_mut(key).map(|entry| entry.session.handle_binary(now, bytes));
        self.touch(key);
        result.unwrap_or(Ok(()))
    }

    /// Tells a session how many bytes wait in its link.
    pub(in crate::run) fn set_buffered(&mut self, key: SessionKey, waiting: usize) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.session.set_signaling_buffered(waiting);
            entry.touch(key, &mut self.dirty);
        }
    }

    /// Tells a session that its link is gone.
    pub(in crate::run) fn handle_link_gone(&mut self, now: Instant, key: SessionKey) {
        if let Some(entry) = self.table.get_mut(key) {
            entry.session.handle_signaling_closed(now);
            entry.touch(key, &mut self.dirty);
        }
    }

    /// Gives a session a new link, whose own end is at `local`. Returns whether the session still exists.
    pub(in crate::run) fn handle_resumed(
        &mut self,
        now: Instant,
        key: SessionKey,
        local: Option<IpAddr>,
        (sealer, opener): (Sealer, Opener),
    ) -> bool {
        let Some(entry) = self.table.get_mut(key) else { return false };
        info!("session={} signaling resumed", entry.name);
        entry.came_by(local);
        entry.session.handle_resumed_signaling(now, sealer, opener);
        entry.touch(key, &mut self.dirty);
        true
    }
}

impl SessionEntry {
    /// Stores the address of our end of a link that led to the peer: it may lead there directly, too.
    pub(super) fn came_by(&mut self, local: Option<IpAddr>) {
        if let Some(local) = local {
            self.signaling_address = Some(local.to_canonical());
        }
    }
}
