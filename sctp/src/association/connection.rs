//! The part of an association that exists once the peer is known.

use std::time::Instant;

use super::path_mtu::PathMtu;
use crate::config::Config;
use crate::receive::{self, Receiver};
use crate::reset::Resets;
use crate::send::{self, Sender};
use crate::wire::init::{Features, Init};

/// The state shared with the peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer_tag: u32,
    /// Features that both sides support.
    pub(super) features: Features,
    /// Number of outgoing streams.
    pub(super) outbound: u16,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) resets: Resets,
    pub(super) path_mtu: PathMtu,
}

impl Connection {
    /// Creates it from both INITs.
    pub(super) fn new(now: Instant, config: &Config, local_tsn: u32, peer: &Init, seed: u64) -> Connection {
        let Features { partial, reset, zero_checksum, ours } = peer.features;
        let ours = ours && config.private_extensions;
        let features = Features { partial, reset, zero_checksum: zero_checksum && config.zero_checksum, ours };
        let sender = Sender::new(
            now,
            send::Settings {
                first: local_tsn,
                window: peer.window,
                packet_size: config.first_packet_size(),
                algorithm: config.algorithm,
                seed,
                is_ours: ours,
                is_partial: partial,
                max_retransmits: config.max_retransmits,
            },
        );
        let receiver = Receiver::new(receive::Settings {
            first: peer.tsn,
            window: config.window(),
            max_message: config.max_receive_message_size,
            inbound: config.inbound_streams.min(peer.outbound),
            is_batched: ours,
        });
        Connection {
            peer_tag: peer.tag,
            features,
            outbound: config.outbound_streams.min(peer.inbound),
            sender,
            receiver,
            resets: Resets::new(local_tsn, peer.tsn, ours),
            path_mtu: PathMtu::new(now, config.first_packet_size(), config.max_packet_size),
        }
    }

    /// Returns when a probe of the path's packet size is due.
    pub(super) fn probe_deadline(&self) -> Option<Instant> {
        self.path_mtu.deadline(self.sender.heard_at())
    }

    /// Returns the next deadline.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let acknowledgement = self.receiver.acknowledgement.deadline();
        [self.sender.deadline(), acknowledgement, self.resets.deadline()].into_iter().flatten().min()
    }
}
