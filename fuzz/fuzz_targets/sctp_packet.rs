//! Feeds an association packets of arbitrary chunks, with its tag and a checksum of zero, so that their content is
//! parsed.
//!
//! It must stay within its limits, send no more answers than justified, and never panic.
#![no_main]

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use pinhole_sctp::{Association, Config, Seed, Token};

/// The tag of the association under test.
const TAG: u32 = 0x1111_1111;

#[derive(Debug, Arbitrary)]
enum Step {
    Chunks {
        tag: u8,
        chunks: Vec<(u8, u8, Vec<u8>)>,
    },
    /// A DATA or SACK chunk whose numbers are near those in use.
    Data {
        flags: u8,
        ahead: u8,
        stream: u8,
        ssn: u8,
        payload: u8,
    },
    Sack {
        behind: u8,
        window: u32,
        gaps: Vec<(u8, u8)>,
    },
    Raw(Vec<u8>),
    Send {
        stream: u8,
        length: u16,
    },
    Wait(u16),
}

fn init(tag: u32) -> Vec<u8> {
    let mut value = tag.to_be_bytes().to_vec();
    value.extend_from_slice(&[0, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);
    // FORWARD-TSN, the extensions RE-CONFIG and FORWARD-TSN, and zero checksum by DTLS.
    value.extend_from_slice(&[0xc0, 0, 0, 4, 0x80, 8, 0, 6, 130, 192, 0, 0, 0x80, 1, 0, 8, 0, 0, 0, 1]);
    chunk(1, 0, &value)
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend_from_slice(&(4 + value.len().min(60_000) as u16).to_be_bytes());
    chunk.extend_from_slice(&value[..value.len().min(60_000)]);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn packet(tag: u32, chunks: &[u8]) -> Bytes {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(chunks);
    packet.into()
}

fuzz_target!(|steps: Vec<Step>| {
    let (Ok(local), Ok(peer)) = (Token::parse(&init(TAG)), Token::parse(&init(2))) else {
        panic!("tokens that are well")
    };
    let config = Config { receive_window: 100_000, max_receive_message_size: 20_000, ..Config::default() };
    let mut association = Association::connect_with_tokens(config, Seed([1, 2]), &local, peer);
    let mut now = Instant::now();
    let first = 0xffff_fff0u32;
    for step in steps.iter().take(500) {
        match step {
            Step::Chunks { tag, chunks } => {
                let all: Vec<u8> =
                    chunks.iter().take(50).flat_map(|(kind, flags, value)| chunk(*kind, *flags, value)).collect();
                association.handle_datagram(now, packet(if *tag < 240 { TAG } else { 2 }, &all));
            }
            Step::Data { flags, ahead, stream, ssn, payload } => {
                let mut value = first.wrapping_add(u32::from(*ahead)).to_be_bytes().to_vec();
                value.extend_from_slice(&[0, *stream, 0, *ssn, 0, 0, 0, 53]);
                value.extend(std::iter::repeat_n(7, usize::from(*payload) * 4));
                association.handle_datagram(now, packet(TAG, &chunk(0, *flags, &value)));
            }
            Step::Sack { behind, window, gaps } => {
                let mut value = first.wrapping_add(u32::from(*behind)).to_be_bytes().to_vec();
                value.extend_from_slice(&window.to_be_bytes());
                value.extend_from_slice(&(gaps.len() as u16).to_be_bytes());
                value.extend_from_slice(&[0, 0]);
                gaps.iter().for_each(|(from, to)| value.extend_from_slice(&[0, *from, 0, *to]));
                association.handle_datagram(now, packet(TAG, &chunk(3, 0, &value)));
            }
            Step::Raw(bytes) => association.handle_datagram(now, bytes.clone().into()),
            Step::Send { stream, length } => {
                let _ = association.open(u16::from(*stream));
                if let Ok(mut stream) = association.stream(u16::from(*stream)) {
                    let _ = stream.send(53, &vec![1; usize::from(*length)]);
                }
            }
            Step::Wait(millis) => now += Duration::from_millis(u64::from(*millis)),
        }
        association.handle_timeout(now);
        let mut sent = 0;
        while association.poll_transmit(now).is_some() {
            sent += 1;
            assert!(sent < 10_000, "it never stops");
        }
        while association.poll_event().is_some() {}
        let statistics = association.statistics();
        assert!(statistics.kept <= 100_000 + 40_000, "{statistics:?}");
        assert!(association.poll_timeout().is_none_or(|at| at + Duration::from_secs(1) > now));
    }
});
