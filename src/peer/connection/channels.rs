//! The two channels: one delivers all messages, in any order; the other is for datagrams, which may be lost.
//!
//! The host announces the first (RFC 8832). Both sides create the second beforehand, so it is not announced and exists
//! as soon as SCTP is up.

use std::time::Instant;

use bytes::Bytes;
use str0m::RtcError;
use str0m::channel::{ChannelConfig, ChannelData, ChannelId, Reliability};

use super::{Connection, Event};
use crate::peer::backlog::{MAX_BACKLOG, datagram_share};

/// Label of the channel for messages.
const LABEL: &str = "pinhole";

/// Protocol of both channels.
const PROTOCOL: &str = "pinhole.1";

/// Label and SCTP stream of the channel for datagrams. Both sides create it with these, without negotiation.
const DATAGRAMS_LABEL: &str = "pinhole-datagrams";
const DATAGRAMS_STREAM: u16 = 100;

/// Maximum number of bytes both channels together may hold: the greatest backlog, the share of datagrams beyond it, and
/// the longest datagram.
pub(super) const MAX_BUFFERED: usize = MAX_BACKLOG + datagram_share(MAX_BACKLOG) + 128 * 1024;

/// Maximum number of bytes kept of messages that overtook the opening of the channel: HELLO, and on a further carrier
/// RESUME and the first frames of thousands of streams.
const MAX_BEFORE_OPEN: usize = 1024 * 1024;

/// Returns the settings of the channel for messages.
pub(super) fn messages() -> ChannelConfig {
    ChannelConfig {
        label: LABEL.to_owned(),
        ordered: false,
        reliability: Reliability::Reliable,
        negotiated: None,
        protocol: PROTOCOL.to_owned(),
    }
}

/// Returns the settings of the channel for datagrams.
pub(super) fn datagrams() -> ChannelConfig {
    ChannelConfig {
        label: DATAGRAMS_LABEL.to_owned(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        negotiated: Some(DATAGRAMS_STREAM),
        protocol: PROTOCOL.to_owned(),
    }
}

impl Connection {
    /// Returns how many bytes may be written now; 0 before the channel is open.
    pub fn room(&mut self, now: Instant) -> usize {
        if !self.is_open || self.is_over {
            return 0;
        }
        let unsent = self.unsent();
        self.backlog.handle_unsent(now, unsent);
        self.backlog.target().saturating_sub(unsent)
    }

    /// Tells whether a datagram of any length may be written now. Datagrams have a share of the backlog that messages
    /// do not fill, so that no datagram waits for messages to be acknowledged.
    pub fn takes_datagram(&mut self, now: Instant) -> bool {
        if !self.is_open || self.is_over {
            return false;
        }
        let unsent = self.unsent();
        self.backlog.handle_unsent(now, unsent);
        self.backlog.takes_datagram(now)
    }

    /// Writes a message of at most [`Connection::room`] bytes. It leaves at [`Connection::settle`], or when output is
    /// polled. If the channel cannot take it, the connection ends.
    pub fn send(&mut self, now: Instant, message: &[u8]) {
        match self.channel.map(|channel| self.write(now, channel, message)) {
            None => self.end("the channel is gone".to_owned()),
            Some(Ok(true)) => {}
            Some(Ok(false)) => self.end("the channel took no message although it had room".to_owned()),
            Some(Err(error)) => self.end(error.to_string()),
        }
    }

    /// Writes a datagram, which may be lost. It is dropped here if there is no room, or the peer did not create its
    /// channel.
    pub fn send_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.takes_datagram(now) && self.write(now, self.datagrams, datagram).unwrap_or(false) {
            self.backlog.handle_datagram(datagram.len());
        } else {
            self.dropped_datagrams += 1;
        }
    }

    /// Returns the bytes written to both channels that have not left, plus one for each channel that has a byte neither
    /// acknowledged nor abandoned. (With str0m's own SCTP: all bytes neither acknowledged nor abandoned.)
    pub fn buffered_amount(&mut self) -> usize {
        let datagrams = self.datagrams;
        self.waiting() + self.buffered(datagrams)
    }

    /// Returns the bytes written to both channels that have not left. (With str0m's own SCTP: all but two of the
    /// unacknowledged bytes.)
    pub(super) fn unsent(&mut self) -> usize {
        let datagrams = self.datagrams;
        self.waiting().saturating_sub(1) + self.buffered(datagrams).saturating_sub(1)
    }

    /// Returns [`Connection::buffered_amount`] of messages alone: 0 once the peer has them all.
    pub fn waiting(&mut self) -> usize {
        self.channel.map_or(0, |channel| self.buffered(channel))
    }

    fn buffered(&mut self, channel: ChannelId) -> usize {
        let buffered = self.ask(|rtc| rtc.channel(channel).map_or(0, |mut channel| channel.buffered_amount()));
        buffered.unwrap_or(0)
    }

    /// Returns how many bytes may wait.
    pub fn backlog_target(&self) -> usize {
        self.backlog.target()
    }

    /// Returns how many outgoing datagrams were dropped.
    pub fn dropped_datagrams(&self) -> u64 {
        self.dropped_datagrams
    }

    fn write(&mut self, now: Instant, channel: ChannelId, message: &[u8]) -> Result<bool, RtcError> {
        if self.clock != now
            && let Ok(Err(error)) = self.tell_time(now)
        {
            return Err(error);
        }
        let is_taken =
            self.ask(|rtc| rtc.channel(channel).map_or(Ok(false), |mut channel| channel.write(true, message)));
        let is_taken = is_taken.unwrap_or(Ok(false))?;
        if is_taken {
            self.pending.messages += 1;
            self.backlog.handle_written(now, message.len());
        }
        Ok(is_taken)
    }

    pub(super) fn handle_data(&mut self, data: ChannelData) {
        match Some(data.id) {
            channel if channel == self.channel && data.binary => self.handle_message(data.data.into()),
            // Datagrams that come before the other channel is open are lost, as any datagram may be.
            channel if channel == Some(self.datagrams) && data.binary => {
                if self.is_open {
                    self.events.push_back(Event::Datagram(data.data.into()));
                }
            }
            _ => self.violate("the peer sent something that is not a message"),
        }
    }

    /// Passes a message on once the channel is open. The peer may send before its acknowledgement of the channel
    /// arrives.
    fn handle_message(&mut self, message: Bytes) {
        if self.is_open {
            self.events.push_back(Event::Message(message));
        } else if self.before_open.iter().chain([&message]).map(|kept| kept.len() + 32).sum::<usize>()
            <= MAX_BEFORE_OPEN
        {
            self.before_open.push(message);
        } else {
            self.end("the peer sent too much before the channel was open".to_owned());
        }
    }

    pub(super) fn handle_channel(&mut self, id: ChannelId, label: &str) {
        let is_expected = self.channel.is_none_or(|channel| channel == id) && !self.is_open;
        let config = self.ask(|rtc| rtc.channel(id).and_then(|channel| channel.config().cloned())).ok().flatten();
        let fits = config.is_some_and(|config| {
            !config.ordered && config.reliability == Reliability::Reliable && config.protocol == PROTOCOL
        });
        if is_expected && fits && label == LABEL {
            self.channel = Some(id);
            self.is_open = true;
            self.events.push_back(Event::Open);
            self.events.extend(self.before_open.drain(..).map(Event::Message));
        } else {
            self.violate("the peer opened a channel that does not belong to the protocol");
        }
    }
}
