//! The frame codec: one message is one frame (`docs/protocol.md`, section 2).

use bytes::{Buf, Bytes};

use super::id::{Generation, Sequence, StreamId};
use super::reason::{AbortReason, GoAwayReason};
use super::trail::Trail;

/// Length of the header every frame begins with, in bytes.
pub const HEADER_LEN: usize = 8;

/// Longest detail text of an ABORT or GOAWAY, in bytes.
pub const MAX_DETAIL: usize = 255;

/// Length of one entry of a RESUME list, in bytes.
pub const RESUME_ENTRY_LEN: usize = 15;

/// Length of what precedes the entries in a RESUME payload, in bytes.
const RESUME_HEAD_LEN: usize = 8;

/// Longest bind or reason text of a LISTEN or LISTENED, in bytes.
pub const MAX_LISTEN_TEXT: usize = 512;

/// The byte after the id in a LISTENED: a bind follows.
const LISTENING: u8 = 0;

/// The byte after the id in a LISTENED: a reason follows.
const REFUSED: u8 = 1;

/// The numbers of the frame types.
pub mod kind {
    /// Opens a stream; sequenced, always first.
    pub const CONNECT: u8 = 1;
    /// Carries bytes; sequenced.
    pub const DATA: u8 = 2;
    /// Ends a direction; sequenced.
    pub const CLOSE: u8 = 3;
    /// Says that the dial succeeded; sequenced, always first in the acceptor's direction.
    pub const ACCEPT: u8 = 4;
    /// Ends both directions: a reset in its place in the order, any other reason at once.
    pub const ABORT: u8 = 5;
    /// Grants credit and acknowledges.
    pub const CREDIT: u8 = 6;
    /// Carries one UDP datagram.
    pub const DATAGRAM: u8 = 7;
    /// Introduces a peer on a carrier.
    pub const HELLO: u8 = 16;
    /// Asks for a PONG.
    pub const PING: u8 = 17;
    /// Answers a PING.
    pub const PONG: u8 = 18;
    /// Announces the end of the session.
    pub const GOAWAY: u8 = 19;
    /// Lists what arrived of each live stream, on a further carrier.
    pub const RESUME: u8 = 20;
    /// Asks the peer to listen.
    pub const LISTEN: u8 = 21;
    /// Answers a LISTEN.
    pub const LISTENED: u8 = 22;
    /// First of the types that are ignored if they are unknown.
    pub const FIRST_IGNORABLE: u8 = 128;
}

/// Why a message is not a frame. The peer does not speak our protocol: the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The message is shorter than a header.
    #[error("a frame of {0} bytes, shorter than its header")]
    Short(usize),
    /// A type below 128 that this version does not know.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// A stream frame on stream 0, or a session frame on a stream.
    #[error("frame type {0} on a wrong stream id")]
    WrongStream(u8),
    /// The payload does not have the form its type requires.
    #[error("malformed payload of frame type {0}")]
    Payload(u8),
}

/// What a CONNECT asks the acceptor to dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectTarget {
    /// A service the acceptor announced, by number.
    Service(u16),
    /// A TCP address, `host:port`.
    Tcp(String),
    /// A unix socket's path.
    Unix(String),
    /// A UDP address, `host:port`.
    Udp(String),
    /// The other end of a reverse forward, by number.
    Reverse(u16),
}

/// Added to the kind of a CONNECT's target if a trail stands between the two.
const HAS_TRAIL: u8 = 0x80;

impl ConnectTarget {
    fn kind(&self) -> u8 {
        match self {
            ConnectTarget::Service(_) => 0,
            ConnectTarget::Tcp(_) => 1,
            ConnectTarget::Unix(_) => 2,
            ConnectTarget::Udp(_) => 3,
            ConnectTarget::Reverse(_) => 4,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            ConnectTarget::Service(id) | ConnectTarget::Reverse(id) => out.extend_from_slice(&id.to_be_bytes()),
            ConnectTarget::Tcp(text) | ConnectTarget::Unix(text) | ConnectTarget::Udp(text) => {
                out.extend_from_slice(text.as_bytes());
            }
        }
    }

    fn decode(kind: u8, rest: &[u8]) -> Option<ConnectTarget> {
        let number = || Some(u16::from_be_bytes(rest.try_into().ok()?));
        let text = || match std::str::from_utf8(rest) {
            Ok(text) if !text.is_empty() && text.len() <= MAX_LISTEN_TEXT => Some(text.to_owned()),
            _ => None,
        };
        Some(match kind {
            0 => ConnectTarget::Service(number()?),
            1 => ConnectTarget::Tcp(text()?),
            2 => ConnectTarget::Unix(text()?),
            3 => ConnectTarget::Udp(text()?),
            4 => ConnectTarget::Reverse(number()?),
            _ => return None,
        })
    }
}

/// Appends the payload of a CONNECT.
pub fn encode_connect(out: &mut Vec<u8>, target: &ConnectTarget, trail: &Trail) {
    let flag = if trail.hops().is_empty() { 0 } else { HAS_TRAIL };
    out.push(target.kind() | flag);
    trail.encode(out);
    target.encode(out);
}

fn decode_connect(payload: &[u8]) -> Option<Sequenced> {
    let (&kind, rest) = payload.split_first()?;
    let (trail, rest) = if kind & HAS_TRAIL == 0 { (Trail::default(), rest) } else { Trail::decode(rest)? };
    Some(Sequenced::Connect(ConnectTarget::decode(kind & !HAS_TRAIL, rest)?, trail))
}

/// A frame that takes a sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sequenced {
    /// Dial the target; the trail names the connections that led to the stream.
    Connect(ConnectTarget, Trail),
    /// Bytes of the stream, at least one.
    Data(Bytes),
    /// End of the stream in this direction.
    Close,
    /// The dial succeeded.
    Accept,
    /// An ABORT whose reason is a reset, with its words. It is the last frame, and the sender takes nothing more.
    Reset(String),
}

/// A frame of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamFrame {
    /// A frame that has its place in the order of the stream.
    Sequenced(Sequence, Sequenced),
    /// Both directions are dead at once, for any reason except a reset.
    Abort(AbortReason, String),
    /// Credit and acknowledgement, both absolute.
    Credit {
        /// Units the receiver of this frame may have sent on this stream, in total.
        limit: u64,
        /// Every frame before this one arrived.
        received: Sequence,
    },
    /// One UDP datagram.
    Datagram(Bytes),
}

/// A frame of the session as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionFrame {
    /// The peer's introduction, JSON.
    Hello(Bytes),
    /// Echo these bytes in a PONG.
    Ping([u8; 8]),
    /// The bytes of a PING of ours.
    Pong([u8; 8]),
    /// The session ends.
    GoAway(GoAwayReason, String),
    /// A part of the list of arrived frames.
    Resume {
        /// Number of the carrier the list is for.
        carrier: u32,
        /// Which part this is, from 0.
        part: u16,
        /// How many parts there are.
        parts: u16,
        /// Entries, [`RESUME_ENTRY_LEN`] bytes each.
        entries: Bytes,
    },
    /// A request to listen at this bind, for a reverse forward.
    Listen(u16, String),
    /// The answer: the bind where the peer listens for a reverse forward, or the reason for refusing.
    Listened(u16, Result<String, String>),
    /// A type at or above 128 that this version does not know.
    Ignorable(u8),
}

/// One entry of a RESUME list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumeEntry {
    /// The stream.
    pub id: StreamId,
    /// Its generation.
    pub generation: Generation,
    /// Every frame before this one arrived.
    pub received: Sequence,
    /// Units the receiver of the list may have sent, in total.
    pub limit: u64,
}

impl ResumeEntry {
    /// Appends the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.value().to_be_bytes());
        out.push(self.generation.0);
        out.extend_from_slice(&self.received.0.to_be_bytes());
        out.extend_from_slice(&self.limit.to_be_bytes());
    }

    /// Reads the next entry off the front of `entries`; `None` if it is malformed or none is left.
    pub fn decode(entries: &mut Bytes) -> Option<ResumeEntry> {
        if entries.len() < RESUME_ENTRY_LEN {
            return None;
        }
        let id = StreamId::new(entries.get_u16());
        let generation = Generation(entries.get_u8());
        let received = Sequence(entries.get_u32());
        let limit = entries.get_u64();
        Some(ResumeEntry { id: id?, generation, received, limit })
    }
}

/// A frame, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A frame of one stream.
    Stream(StreamId, Generation, StreamFrame),
    /// A frame of the session.
    Session(SessionFrame),
}

impl Frame {
    /// Decodes a message. Payloads are slices of it; only short texts are copied.
    ///
    /// # Errors
    /// The message is not a frame of this protocol.
    pub fn decode(mut message: Bytes) -> Result<Frame, FrameError> {
        if message.len() < HEADER_LEN {
            return Err(FrameError::Short(message.len()));
        }
        let kind = message.get_u8();
        let generation = Generation(message.get_u8());
        let id = StreamId::new(message.get_u16());
        let sequence = Sequence(message.get_u32());
        let payload = message;
        if kind >= kind::FIRST_IGNORABLE {
            return Ok(Frame::Session(SessionFrame::Ignorable(kind)));
        }
        match (kind, id) {
            (kind::CONNECT..=kind::DATAGRAM, Some(id)) => {
                let frame = decode_stream(kind, sequence, payload).ok_or(FrameError::Payload(kind))?;
                Ok(Frame::Stream(id, generation, frame))
            }
            (kind::HELLO..=kind::LISTENED, None) => {
                decode_session(kind, payload).map(Frame::Session).ok_or(FrameError::Payload(kind))
            }
            (kind::CONNECT..=kind::DATAGRAM | kind::HELLO..=kind::LISTENED, _) => Err(FrameError::WrongStream(kind)),
            _ => Err(FrameError::UnknownType(kind)),
        }
    }
}

fn decode_stream(kind: u8, sequence: Sequence, mut payload: Bytes) -> Option<StreamFrame> {
    Some(match kind {
        kind::CONNECT if sequence.0 == 0 => StreamFrame::Sequenced(sequence, decode_connect(&payload)?),
        kind::ACCEPT if sequence.0 == 0 && payload.is_empty() => StreamFrame::Sequenced(sequence, Sequenced::Accept),
        kind::DATA if !payload.is_empty() => StreamFrame::Sequenced(sequence, Sequenced::Data(payload)),
        kind::CLOSE if payload.is_empty() => StreamFrame::Sequenced(sequence, Sequenced::Close),
        kind::ABORT => {
            let (code, detail) = decode_reason(&payload)?;
            match AbortReason::from_code(code) {
                AbortReason::Reset => StreamFrame::Sequenced(sequence, Sequenced::Reset(detail)),
                reason => StreamFrame::Abort(reason, detail),
            }
        }
        kind::CREDIT if payload.len() == 12 => {
            StreamFrame::Credit { limit: payload.get_u64(), received: Sequence(payload.get_u32()) }
        }
        kind::DATAGRAM => StreamFrame::Datagram(payload),
        _ => return None,
    })
}

fn decode_session(kind: u8, mut payload: Bytes) -> Option<SessionFrame> {
    Some(match kind {
        kind::HELLO => SessionFrame::Hello(payload),
        kind::PING => SessionFrame::Ping(payload.as_ref().try_into().ok()?),
        kind::PONG => SessionFrame::Pong(payload.as_ref().try_into().ok()?),
        kind::GOAWAY => {
            let (code, detail) = decode_reason(&payload)?;
            SessionFrame::GoAway(GoAwayReason::from_code(code), detail)
        }
        kind::RESUME => {
            if payload.len() < RESUME_HEAD_LEN || !(payload.len() - RESUME_HEAD_LEN).is_multiple_of(RESUME_ENTRY_LEN) {
                return None;
            }
            let (carrier, part, parts) = (payload.get_u32(), payload.get_u16(), payload.get_u16());
            if part >= parts {
                return None;
            }
            SessionFrame::Resume { carrier, part, parts, entries: payload }
        }
        kind::LISTEN if payload.len() >= 2 => SessionFrame::Listen(payload.get_u16(), listen_text(&payload)?),
        kind::LISTENED if payload.len() >= 3 => {
            let (id, status) = (payload.get_u16(), payload.get_u8());
            let text = listen_text(&payload)?;
            SessionFrame::Listened(
                id,
                match status {
                    LISTENING => Ok(text),
                    REFUSED => Err(text),
                    _ => return None,
                },
            )
        }
        _ => return None,
    })
}

fn listen_text(text: &[u8]) -> Option<String> {
    if text.len() > MAX_LISTEN_TEXT {
        return None;
    }
    Some(std::str::from_utf8(text).ok()?.to_owned())
}

fn decode_reason(payload: &[u8]) -> Option<(u8, String)> {
    let (code, detail) = payload.split_first()?;
    if detail.len() > MAX_DETAIL {
        return None;
    }
    Some((*code, String::from_utf8_lossy(detail).into_owned()))
}

/// Lays out a frame header.
pub fn header(kind: u8, generation: Generation, id: u16, sequence: Sequence) -> [u8; HEADER_LEN] {
    let id = id.to_be_bytes();
    let sequence = sequence.0.to_be_bytes();
    [kind, generation.0, id[0], id[1], sequence[0], sequence[1], sequence[2], sequence[3]]
}

/// Replaces `out` by a session frame.
pub fn encode_session(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    out.clear();
    out.extend_from_slice(&header(kind, Generation(0), 0, Sequence(0)));
    out.extend_from_slice(payload);
}

/// Replaces `out` by a GOAWAY.
pub fn encode_go_away(out: &mut Vec<u8>, reason: GoAwayReason, detail: &str) {
    encode_session(out, kind::GOAWAY, &[reason.code()]);
    out.extend_from_slice(truncate(detail, MAX_DETAIL).as_bytes());
}

/// Replaces `out` by an ABORT.
pub fn encode_abort(out: &mut Vec<u8>, id: StreamId, generation: Generation, reason: AbortReason, detail: &str) {
    out.clear();
    out.extend_from_slice(&header(kind::ABORT, generation, id.value(), Sequence(0)));
    out.push(reason.code());
    out.extend_from_slice(truncate(detail, MAX_DETAIL).as_bytes());
}

/// Returns an ABORT that is a reset: it has its place in the order, after everything that was sent before.
pub fn encode_reset(id: StreamId, generation: Generation, sequence: Sequence, detail: &str) -> Vec<u8> {
    let mut out = header(kind::ABORT, generation, id.value(), sequence).to_vec();
    out.push(AbortReason::Reset.code());
    out.extend_from_slice(truncate(detail, MAX_DETAIL).as_bytes());
    out
}

/// Replaces `out` by a CREDIT.
pub fn encode_credit(out: &mut Vec<u8>, id: StreamId, generation: Generation, limit: u64, received: Sequence) {
    out.clear();
    out.extend_from_slice(&header(kind::CREDIT, generation, id.value(), Sequence(0)));
    out.extend_from_slice(&limit.to_be_bytes());
    out.extend_from_slice(&received.0.to_be_bytes());
}

/// Replaces `out` by the head of a RESUME part; entries follow.
pub fn encode_resume_head(out: &mut Vec<u8>, carrier: u32, part: u16, parts: u16) {
    encode_session(out, kind::RESUME, &carrier.to_be_bytes());
    out.extend_from_slice(&part.to_be_bytes());
    out.extend_from_slice(&parts.to_be_bytes());
}

/// Replaces `out` by a LISTEN. Cuts the bind off at [`MAX_LISTEN_TEXT`] bytes.
pub fn encode_listen(out: &mut Vec<u8>, id: u16, bind: &str) {
    encode_session(out, kind::LISTEN, &id.to_be_bytes());
    out.extend_from_slice(truncate(bind, MAX_LISTEN_TEXT).as_bytes());
}

/// Replaces `out` by a LISTENED. Cuts the text off at [`MAX_LISTEN_TEXT`] bytes.
pub fn encode_listened(out: &mut Vec<u8>, id: u16, result: Result<&str, &str>) {
    let (status, text) = match result {
        Ok(bound) => (LISTENING, bound),
        Err(reason) => (REFUSED, reason),
    };
    encode_session(out, kind::LISTENED, &id.to_be_bytes());
    out.push(status);
    out.extend_from_slice(truncate(text, MAX_LISTEN_TEXT).as_bytes());
}

fn truncate(text: &str, max_len: usize) -> &str {
    let mut end = text.len().min(max_len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod vectors_tests;
