//! Creating an association: by a handshake with cookies, or by tokens that were exchanged beforehand.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::connection::Connection;
use super::cookie::{Cookie, Opened};
use super::state::Retry;
use super::{Association, State};
use crate::config::Config;
use crate::event::{Event, Reason};
use crate::random::{Random, Seed};
use crate::stream::Streams;
use crate::wire::init::{Features, Init};
use crate::wire::{cause, kind};

/// Longest token of the peer that is parsed, in bytes.
const MAX_TOKEN: usize = 2048;

/// An INIT chunk that two ends exchange by other means, so that the association is up without a handshake
/// (draft-hancke-tsvwg-snap).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    init: Init,
}

/// The error for a token that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenError;

impl std::fmt::Display for TokenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the token is not a usable INIT chunk")
    }
}

impl std::error::Error for TokenError {}

impl Token {
    /// Creates a token of our own. Each may be used for one association only.
    pub fn new(config: &Config, seed: Seed) -> Token {
        let mut random = Random::new(seed);
        let (tag, tsn) = (random.tag(), random.number() as u32);
        Token { init: local_init(config, tag, tsn) }
    }

    /// Parses a token.
    ///
    /// # Errors
    /// It is not a complete INIT chunk, or has invalid values.
    pub fn parse(bytes: &[u8]) -> Result<Token, TokenError> {
        let [kind::INIT, _, high, low, ..] = *bytes else { return Err(TokenError) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = bytes.get(4..length).filter(|_| bytes.len() <= MAX_TOKEN).ok_or(TokenError)?;
        let init = Init::parse(value).filter(Init::is_valid).ok_or(TokenError)?;
        Ok(Token { init })
    }

    /// Returns the bytes for the peer.
    pub fn to_bytes(&self) -> Bytes {
        let value = self.init.value();
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        let mut bytes = vec![kind::INIT, 0];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&value);
        bytes.into()
    }
}

fn local_init(config: &Config, tag: u32, tsn: u32) -> Init {
    Init {
        tag,
        window: u32::try_from(config.window()).unwrap_or(u32::MAX),
        outbound: config.outbound_streams,
        inbound: config.inbound_streams,
        tsn,
        features: Features {
            partial: true,
            reset: true,
            zero_checksum: config.zero_checksum,
            ours: config.private_extensions,
        },
        ..Init::default()
    }
}

impl Association {
    /// Creates an end that is up at once, because both sides know beforehand what the handshake would tell. Both sides
    /// must create theirs this way.
    pub fn connect_with_tokens(config: Config, seed: Seed, local: &Token, peer: Token) -> Association {
        let mut association = Association::new(config, seed, State::Established);
        association.local_tag = local.init.tag;
        association.local_tsn = local.init.tsn;
        // The features in our token count, whatever the settings are.
        association.config.zero_checksum = local.init.features.zero_checksum;
        association.config.private_extensions &= local.init.features.ours;
        association.config.receive_window = local.init.window as usize;
        association.config.inbound_streams = local.init.inbound;
        association.config.outbound_streams = local.init.outbound;
        association.events.push_back(Event::Connected);
        association.token = Some(peer);
        association
    }

    pub(super) fn open_by_token(&mut self, now: Instant, token: Token) {
        self.connect_to(now, &token.init);
        self.adopt_streams();
    }

    /// Creates the state shared with a peer.
    fn connect_to(&mut self, now: Instant, peer: &Init) {
        let seed = self.random.number();
        self.connection = Some(Connection::new(now, &self.config, self.local_tsn, peer, seed));
    }

    /// Queues messages that were written before there was a peer.
    fn adopt_streams(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        for id in self.streams.ids() {
            if self.streams.get(id).is_some_and(|state| !state.outgoing.queue.is_empty()) {
                connection.sender.add(id);
            }
        }
    }

    /// Returns the value of our INIT.
    pub(super) fn init(&self) -> Vec<u8> {
        local_init(&self.config, self.local_tag, self.local_tsn).value()
    }

    /// Answers an INIT with a cookie, and keeps nothing of it (RFC 9260, sections 5.1, B, and 5.2).
    pub(super) fn handle_init(&mut self, now: Instant, value: &[u8]) {
        let Some(peer) = Init::parse(value).filter(|peer| peer.tag != 0) else { return };
        if !peer.is_valid() {
            let details = cause::value(cause::INVALID_MANDATORY_PARAMETER, &[]);
            self.push_control(peer.tag, kind::ABORT, 0, &details);
            return;
        }
        let ties = self.connection.as_ref().map_or((0, 0), |connection| (self.local_tag, connection.peer_tag));
        let (local_tag, local_tsn) = match self.state {
            // Both sides began: both mean the same association, and each has announced its numbers.
            State::CookieWait | State::CookieEchoed => (self.local_tag, self.local_tsn),
            State::ShutdownAckSent => {
                self.resend_shutdown_ack();
                return;
            }
            State::Closed => return,
            _ => (self.random.tag(), self.random.number() as u32),
        };
        let unrecognized = peer.unrecognized.clone();
        let peer_tag = peer.tag;
        let cookie = Cookie { made: self.age(now), local_tag, local_tsn, peer, ties }.seal(&self.random);
        let answer = Init { cookie: Some(cookie), unrecognized, ..local_init(&self.config, local_tag, local_tsn) };
        self.push_control(peer_tag, kind::INIT_ACK, 0, &answer.value());
    }

    /// Handles the answer to our INIT (RFC 9260, section 5.1, C).
    pub(super) fn handle_init_ack(&mut self, now: Instant, value: &[u8]) {
        if self.state != State::CookieWait {
            return;
        }
        let Some(peer) = Init::parse(value).filter(Init::is_valid) else { return };
        let Some(cookie) = peer.cookie.clone() else { return };
        self.connect_to(now, &peer);
        self.cookie = cookie;
        self.state = State::CookieEchoed;
        self.retry = Retry { at: Some(now), attempts: 0 };
    }

    /// Handles a returned cookie of ours (RFC 9260, sections 5.1, D, and 5.2.4). `tag` is the packet's.
    pub(super) fn handle_cookie_echo(&mut self, now: Instant, tag: u32, value: &[u8]) {
        let cookie = match Cookie::open(value, &self.random, self.age(now)) {
            Opened::Good(cookie) if cookie.local_tag == tag => cookie,
            Opened::Stale(cookie, late) => return self.refuse_stale(cookie.peer.tag, late),
            Opened::Good(_) | Opened::Forged => return,
        };
        let Some(connection) = &self.connection else {
            if matches!(self.state, State::Listening | State::CookieWait) {
                self.establish(now, &cookie);
            }
            return;
        };
        let same_local = cookie.local_tag == self.local_tag;
        let same_peer = cookie.peer.tag == connection.peer_tag;
        let same_ties = cookie.ties == (self.local_tag, connection.peer_tag);
        match (same_local, same_peer) {
            // It is the cookie of this association, once more.
            (true, true) => {
                if matches!(self.state, State::CookieEchoed) {
                    self.set_established();
                }
                self.push_cookie_ack();
            }
            // Both began at the same time, and the peer restarted since we heard of it.
            (true, false) if matches!(self.state, State::CookieEchoed) => self.establish(now, &cookie),
            // The peer restarted.
            (false, false) if same_ties && !matches!(self.state, State::ShutdownAckSent) => self.restart(now, &cookie),
            (false, false) if same_ties => self.resend_shutdown_ack(),
            // Another handshake has overtaken it.
            _ => {}
        }
    }

    pub(super) fn handle_cookie_ack(&mut self) {
        if self.state == State::CookieEchoed {
            self.set_established();
        }
    }

    /// Asks for another cookie, because the last one was too old for the peer (RFC 9260, section 5.2.6).
    pub(super) fn handle_stale_cookie(&mut self, now: Instant) {
        if self.state == State::CookieEchoed {
            let attempts = self.retry.attempts;
            self.connection = None;
            self.state = State::CookieWait;
            self.retry = Retry { at: Some(now), attempts };
        }
    }

    fn establish(&mut self, now: Instant, cookie: &Cookie) {
        self.local_tag = cookie.local_tag;
        self.local_tsn = cookie.local_tsn;
        self.connect_to(now, &cookie.peer);
        self.set_established();
        self.push_cookie_ack();
    }

    fn set_established(&mut self) {
        self.state = State::Established;
        self.retry = Retry::default();
        self.cookie.clear();
        self.events.push_back(Event::Connected);
        self.adopt_streams();
    }

    /// Restarts after the peer lost its state (RFC 9260, section 5.2.4, action A).
    fn restart(&mut self, now: Instant, cookie: &Cookie) {
        self.streams = Streams::default();
        self.local_tag = cookie.local_tag;
        self.local_tsn = cookie.local_tsn;
        self.controls.clear();
        self.connect_to(now, &cookie.peer);
        self.state = State::Established;
        self.retry = Retry::default();
        self.is_shutdown_due = false;
        self.events.push_back(Event::Restarted);
        self.push_cookie_ack();
    }

    fn push_cookie_ack(&mut self) {
        if let Some(connection) = &self.connection {
            self.push_control(connection.peer_tag, kind::COOKIE_ACK, 0, &[]);
        }
    }

    fn refuse_stale(&mut self, peer_tag: u32, late: Duration) {
        let late = u32::try_from(late.as_micros()).unwrap_or(u32::MAX);
        self.push_control(peer_tag, kind::ERROR, 0, &cause::value(cause::STALE_COOKIE, &late.to_be_bytes()));
    }

    /// Ends a handshake without an answer.
    pub(super) fn give_up(&mut self) {
        self.close(Reason::TimedOut);
    }
}
