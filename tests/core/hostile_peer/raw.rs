//! A real session, and a peer made of the bare WebRTC stack that sends what the test wants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole::internals::session::{self, Reach, Session, Signal};
use pinhole::internals::signaling::message::Inner;
use pinhole::internals::tunnel::frame::{self, kind};
use pinhole::internals::tunnel::{self, AbortReason, ChunkPool, Config, Hello, Origin, Role, StreamKey};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::handshake::handshake;

/// Number of the host's first offer, and so of the only carrier.
const CARRIER: u32 = 2;

/// Time a datagram takes.
const DELAY: Duration = Duration::from_millis(1);

/// Maximum number of bytes the attacked session may keep queued or unacknowledged: less than usual, so that it is soon
/// reached.
pub(crate) const SEND_BUDGET: usize = 8 * 1024 * 1024;

/// The channel as it should be.
pub(crate) fn main_channel() -> ChannelConfig {
    ChannelConfig {
        label: "pinhole".to_owned(),
        ordered: false,
        reliability: Reliability::Reliable,
        negotiated: None,
        protocol: "pinhole.1".to_owned(),
    }
}

/// The channel for datagrams as it should be.
fn datagram_channel() -> ChannelConfig {
    ChannelConfig {
        label: "pinhole-datagrams".to_owned(),
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        negotiated: Some(100),
        ..main_channel()
    }
}

/// A HELLO as it should be.
pub(crate) fn hello(role: Role) -> Vec<u8> {
    let hello = Hello {
        versions: vec![1],
        agent: "hostile".to_owned(),
        role: role.as_str().to_owned(),
        initial_credit: 65_536,
        max_payload: 16_384,
        max_streams: 65_535,
        services: Vec::new(),
        features: vec!["datagrams".to_owned()],
    };
    let mut message = Vec::new();
    frame::encode_session(&mut message, kind::HELLO, &hello.encode());
    message
}

/// The attacked session, and its events.
pub(crate) struct Victim {
    pub(crate) session: Session,
    pool: ChunkPool,
    address: SocketAddr,
    pub(crate) is_connected: bool,
    pub(crate) opened: usize,
    /// Events about reverse forwards.
    pub(crate) listens: usize,
    pub(crate) aborts: Vec<AbortReason>,
    pub(crate) end: Option<session::End>,
    /// The applications write as much as they can.
    pub(crate) floods: bool,
    streams: Vec<StreamKey>,
}

impl Victim {
    pub(crate) fn assert_nothing_is_left(&mut self) {
        self.session.mux().reclaim(&mut self.pool);
        assert!(self.session.is_closed());
        assert_eq!((self.session.mux().stream_count(), self.session.mux().memory()), (0, (0, 0)));
        assert_eq!(self.pool.outstanding(), 0);
        assert_eq!(self.session.poll_timeout(), None);
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event(now) {
            match event {
                session::Event::Connected { .. } => self.is_connected = true,
                session::Event::Ended(end) => self.end = Some(end),
                session::Event::Stream(tunnel::Event::Opened(key, _)) => {
                    self.opened += 1;
                    if let Some(mut stream) = self.session.mux().stream(key) {
                        stream.accept();
                        self.streams.push(key);
                    }
                }
                session::Event::Stream(tunnel::Event::Listen { .. } | tunnel::Event::Listened { .. }) => {
                    self.listens += 1;
                }
                session::Event::Stream(tunnel::Event::Aborted { reason, origin: Origin::Local, .. }) => {
                    self.aborts.push(reason);
                }
                _ => {}
            }
        }
        for key in if self.floods { self.streams.as_slice() } else { &[] } {
            let Some(mut stream) = self.session.mux().stream(*key) else { continue };
            loop {
                let len = stream.poll_send_capacity().min(16_384);
                if len == 0 {
                    break;
                }
                let mut chunk = self.pool.take();
                chunk.set_len(len);
                stream.send(chunk).expect("there is capacity");
            }
        }
    }
}

/// A session and the peer that attacks it, a millisecond apart.
pub(crate) struct Lab {
    now: Instant,
    pub(crate) victim: Victim,
    rtc: Rtc,
    address: SocketAddr,
    timeout: Option<Instant>,
    channel: Option<ChannelId>,
    /// The channel for datagrams.
    datagrams: ChannelId,
    /// Messages that wait until the channel takes them.
    queue: VecDeque<Vec<u8>>,
    wire: VecDeque<(Instant, bool, Bytes)>,
    /// The last datagrams of the peer, as somebody on the path sees them.
    pub(crate) heard: Vec<Bytes>,
    /// The first messages of the session.
    pub(crate) received: Vec<Bytes>,
}

impl Lab {
    /// A session of that role; a hostile host opens a channel as `channel` says.
    pub(crate) fn new(role: Role, channel: ChannelConfig) -> Lab {
        let now = Instant::now();
        let (victim_address, address) = (([10, 0, 0, 1], 1000).into(), ([10, 0, 0, 2], 2000).into());
        let [at_host, at_client] = handshake();
        let (mine, mut theirs) = if role == Role::Host { (at_host, at_client) } else { (at_client, at_host) };
        let config = Config { send_budget: SEND_BUDGET, ..Config::new(role) };
        let mut session = Session::new(now, mine, config, Reach::direct_only()).expect("a session starts");
        let config = RtcConfig::new().clear_codecs().set_sctp_max_buffered_amount(4 << 20);
        let mut rtc = config.build(now);
        let datagrams = rtc.direct_api().create_data_channel(datagram_channel());
        let candidate = Candidate::host(address, Protocol::Udp).expect("an address");
        rtc.add_local_candidate(candidate.clone());
        let mut channel_id = None;
        let pending = (role == Role::Client).then(|| {
            let mut changes = rtc.sdp_api();
            channel_id = Some(changes.add_channel_with_config(channel));
            let (offer, pending) = changes.apply().expect("there are changes");
            let text = theirs.sealer.seal(&Inner::Offer { carrier: CARRIER, sdp: offer.to_sdp_string() });
            session.handle_signal(now, &text).expect("it is sealed");
            pending
        });
        let mut pending = pending;
        session.add_sockets(now, CARRIER, &[victim_address]);
        while let Some(signal) = session.poll_signal() {
            let Signal::Text(text) = signal else { panic!("no relay was started") };
            match theirs.opener.open(&text).expect("the session seals") {
                Inner::Offer { sdp, .. } => {
                    let offer = SdpOffer::from_sdp_string(&sdp).expect("an offer");
                    let answer = rtc.sdp_api().accept_offer(offer).expect("it fits").to_sdp_string();
                    let text = theirs.sealer.seal(&Inner::Answer { carrier: CARRIER, sdp: answer });
                    session.handle_signal(now, &text).expect("it is sealed");
                }
                Inner::Answer { sdp, .. } => {
                    let answer = SdpAnswer::from_sdp_string(&sdp).expect("an answer");
                    let pending = pending.take().expect("one answer to one offer");
                    rtc.sdp_api().accept_answer(pending, answer).expect("it fits");
                }
                Inner::Candidate { candidate, .. } => {
                    rtc.add_remote_candidate(Candidate::from_sdp_string(&candidate).expect("a candidate"));
                }
                _ => {}
            }
        }
        let text = theirs.sealer.seal(&Inner::Candidate { carrier: CARRIER, candidate: candidate.to_sdp_string() });
        session.handle_signal(now, &text).expect("it is sealed");
        let victim = Victim {
            session,
            pool: ChunkPool::new(),
            address: victim_address,
            is_connected: false,
            opened: 0,
            listens: 0,
            aborts: Vec::new(),
            end: None,
            floods: false,
            streams: Vec::new(),
        };
        let mut lab = Lab {
            now,
            victim,
            rtc,
            address,
            timeout: Some(now),
            channel: None,
            datagrams,
            queue: VecDeque::new(),
            wire: VecDeque::new(),
            heard: Vec::new(),
            received: Vec::new(),
        };
        lab.service();
        lab
    }

    /// Sends a binary message as soon as the channel takes it.
    pub(crate) fn send(&mut self, message: &[u8]) {
        self.queue.push_back(message.to_vec());
        self.service();
    }

    /// Sends a message now; whether the channel took it.
    pub(crate) fn try_send(&mut self, is_binary: bool, message: &[u8]) -> bool {
        let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else { return false };
        let is_taken = matches!(channel.write(is_binary, message), Ok(true));
        self.service();
        is_taken
    }

    /// Sends a message on the channel for datagrams; whether the channel took it.
    pub(crate) fn send_datagram(&mut self, is_binary: bool, message: &[u8]) -> bool {
        // str0m stamps packets with the time of its last input.
        let _ = self.rtc.handle_input(Input::Timeout(self.now));
        let Some(mut channel) = self.rtc.channel(self.datagrams) else { return false };
        let is_taken = matches!(channel.write(is_binary, message), Ok(true));
        self.service();
        is_taken
    }

    /// Opens one more channel.
    pub(crate) fn open_channel(&mut self, config: ChannelConfig) {
        self.rtc.direct_api().create_data_channel(config);
        self.service();
    }

    /// Closes the channel.
    pub(crate) fn close_channel(&mut self) {
        if let Some(channel) = self.channel {
            self.rtc.direct_api().close_data_channel(channel);
        }
        self.service();
    }

    /// Gives the session a datagram, from the peer's address or from nobody's.
    pub(crate) fn inject(&mut self, datagram: &[u8], as_peer: bool) {
        let source = if as_peer { self.address } else { ([203, 0, 113, 9], 666).into() };
        self.victim.session.handle_datagram(self.now, self.victim.address, source, datagram);
        self.service();
    }

    /// Lets that much time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.service();
            let wire = self.wire.front().map(|(at, ..)| *at);
            let next = [self.timeout, self.victim.session.poll_timeout(), wire].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = until;
    }

    fn step(&mut self) {
        let now = self.now;
        while self.wire.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, to_victim, datagram)) = self.wire.pop_front() else { break };
            if to_victim {
                self.victim.session.handle_datagram(now, self.victim.address, self.address, &datagram);
            } else if let Ok(receive) = Receive::new(Protocol::Udp, self.victim.address, self.address, &datagram) {
                // What becomes of the attacker's own stack does not matter.
                let _ = self.rtc.handle_input(Input::Receive(now, receive));
                self.drain();
            }
            self.service();
        }
        if self.victim.session.poll_timeout().is_some_and(|at| at <= now) {
            self.victim.session.handle_timeout(now);
        }
        if self.timeout.is_some_and(|at| at <= now) {
            let _ = self.rtc.handle_input(Input::Timeout(now));
        }
        self.service();
    }

    fn service(&mut self) {
        let Victim { session, pool, .. } = &mut self.victim;
        session.flush(self.now, pool);
        self.victim.handle_events(self.now);
        self.victim.session.flush(self.now, &mut self.victim.pool);
        self.victim.handle_events(self.now);
        while let Some(transmit) = self.victim.session.poll_transmit() {
            self.wire.push_back((self.now + DELAY, false, Bytes::copy_from_slice(&transmit.contents)));
        }
        while let Some(message) = self.queue.front() {
            let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) else { break };
            if channel.buffered_amount() > 256 * 1024 || !matches!(channel.write(true, message), Ok(true)) {
                break;
            }
            self.queue.pop_front();
            self.drain();
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.timeout = Some(at);
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    let datagram = Bytes::copy_from_slice(&transmit.contents);
                    if self.heard.len() < 64 {
                        self.heard.push(datagram.clone());
                    }
                    self.wire.push_back((self.now + DELAY, true, datagram));
                }
                Ok(Output::Event(Event::ChannelOpen(id, _))) if id != self.datagrams => {
                    self.channel.get_or_insert(id);
                }
                Ok(Output::Event(Event::ChannelData(data))) => {
                    if data.data.first() == Some(&kind::PING) {
                        let mut pong = Vec::new();
                        frame::encode_session(&mut pong, kind::PONG, &data.data[frame::HEADER_LEN..]);
                        self.queue.push_front(pong);
                    }
                    if data.data.first() == Some(&kind::RESUME) {
                        // Nothing was there before, so the list is empty.
                        let mut list = Vec::new();
                        frame::encode_resume_head(&mut list, CARRIER, 0, 1);
                        self.queue.push_front(list);
                    }
                    if self.received.len() < 64 {
                        self.received.push(data.data.into());
                    }
                }
                Ok(Output::Event(_)) => {}
                Err(_) => {
                    self.timeout = None;
                    break;
                }
            }
        }
    }
}
