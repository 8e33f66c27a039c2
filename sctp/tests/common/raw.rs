//! A peer that sends anything: packets made by hand for an association whose numbers are known.

use std::time::Instant;

use bytes::Bytes;
use pinhole_sctp::{Association, Config, Seed, Token};

/// Tag and first number of the association under test, and of the peer.
pub const OUR_TAG: u32 = 0x1111_1111;
pub const PEER_TAG: u32 = 0x2222_2222;

/// An association that is up, and the peer's view of it.
pub struct Raw {
    pub association: Association,
    pub now: Instant,
    pub our_first: u32,
    pub peer_first: u32,
}

/// Returns an INIT chunk with every feature.
pub fn init(tag: u32, first: u32, window: u32) -> Vec<u8> {
    let mut value = Vec::new();
    value.extend_from_slice(&tag.to_be_bytes());
    value.extend_from_slice(&window.to_be_bytes());
    value.extend_from_slice(&[0xff; 4]);
    value.extend_from_slice(&first.to_be_bytes());
    // FORWARD-TSN, the extensions RE-CONFIG and FORWARD-TSN, and zero checksum by DTLS.
    value.extend_from_slice(&[0xc0, 0, 0, 4, 0x80, 8, 0, 6, 130, 192, 0, 0, 0x80, 1, 0, 8, 0, 0, 0, 1]);
    chunk(1, 0, &value)
}

pub fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len() as u16).to_be_bytes());
    chunk.extend_from_slice(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

pub fn packet(tag: u32, chunks: &[u8]) -> Bytes {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    let sum = crc32c::crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&sum);
    packet.into()
}

/// Flags of a DATA chunk.
pub const WHOLE: u8 = 3;
pub const BEGIN: u8 = 2;
pub const MIDDLE: u8 = 0;
pub const END: u8 = 1;
pub const UNORDERED: u8 = 4;

pub fn data(flags: u8, tsn: u32, stream: u16, ssn: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend_from_slice(&stream.to_be_bytes());
    value.extend_from_slice(&ssn.to_be_bytes());
    value.extend_from_slice(&53u32.to_be_bytes());
    value.extend_from_slice(payload);
    chunk(0, flags, &value)
}

pub fn sack(cumulative: u32, window: u32, gaps: &[(u16, u16)], duplicates: &[u32]) -> Vec<u8> {
    let mut value = cumulative.to_be_bytes().to_vec();
    value.extend_from_slice(&window.to_be_bytes());
    value.extend_from_slice(&(gaps.len() as u16).to_be_bytes());
    value.extend_from_slice(&(duplicates.len() as u16).to_be_bytes());
    for (from, to) in gaps {
        value.extend_from_slice(&from.to_be_bytes());
        value.extend_from_slice(&to.to_be_bytes());
    }
    duplicates.iter().for_each(|tsn| value.extend_from_slice(&tsn.to_be_bytes()));
    chunk(3, 0, &value)
}

pub fn forward(cumulative: u32, skipped: &[(u16, u16)]) -> Vec<u8> {
    let mut value = cumulative.to_be_bytes().to_vec();
    for (stream, ssn) in skipped {
        value.extend_from_slice(&stream.to_be_bytes());
        value.extend_from_slice(&ssn.to_be_bytes());
    }
    chunk(192, 0, &value)
}

pub fn reset(request: u32, last: u32, streams: &[u16]) -> Vec<u8> {
    let mut value = vec![0, 13];
    value.extend_from_slice(&(16 + 2 * streams.len() as u16).to_be_bytes());
    value.extend_from_slice(&request.to_be_bytes());
    value.extend_from_slice(&0u32.to_be_bytes());
    value.extend_from_slice(&last.to_be_bytes());
    streams.iter().for_each(|stream| value.extend_from_slice(&stream.to_be_bytes()));
    chunk(130, 0, &value)
}

impl Raw {
    pub fn new(our_first: u32, peer_first: u32) -> Raw {
        Raw::with(our_first, peer_first, Config::default(), 1 << 20)
    }

    pub fn with(our_first: u32, peer_first: u32, config: Config, window: u32) -> Raw {
        let local = Token::parse(&init(OUR_TAG, our_first, config.receive_window as u32)).expect("a token");
        let peer = Token::parse(&init(PEER_TAG, peer_first, window)).expect("a token");
        let association = Association::connect_with_tokens(config, Seed([5, 6]), &local, peer);
        let mut raw = Raw { association, now: Instant::now(), our_first, peer_first };
        raw.drain();
        raw
    }

    /// Delivers chunks, and returns the packets sent in answer.
    pub fn say(&mut self, chunks: &[u8]) -> Vec<Bytes> {
        self.association.handle_datagram(self.now, packet(OUR_TAG, chunks));
        self.drain()
    }

    pub fn drain(&mut self) -> Vec<Bytes> {
        self.association.handle_timeout(self.now);
        let now = self.now;
        let sent = std::iter::from_fn(|| self.association.poll_transmit(now)).take(10_000).collect::<Vec<_>>();
        assert!(sent.len() < 10_000, "it never stops");
        sent
    }

    /// Lets the next timer expire.
    pub fn wait(&mut self) -> Vec<Bytes> {
        if let Some(at) = self.association.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.drain()
    }
}

/// Returns kind, flags and value of each chunk of a packet.
pub fn chunks(packet: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut rest = &packet[12..];
    let mut chunks = Vec::new();
    while let [kind, flags, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        chunks.push((kind, flags, rest[4..length].to_vec()));
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    chunks
}

/// Tells whether a chunk of that kind left.
pub fn has(packets: &[Bytes], kind: u8) -> bool {
    packets.iter().any(|packet| chunks(packet).iter().any(|chunk| chunk.0 == kind))
}
