//! Plays a client of the control interface: any input must give the same result whole and in pieces, and without the
//! token nothing but what is for all.
#![no_main]

use std::io::{self, Read};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinhole::internals::control::{Door, Order, Reader, Reading, Wanted, invitation, understand};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    /// Lengths of the pieces, repeated.
    pieces: Vec<u8>,
    /// Begins with a head that is understood, which the fuzzer would hardly find.
    is_begun: bool,
    bytes: &'a [u8],
}

/// Gives its pieces one read at a time, then blocks.
struct Pieces<'a>(&'a [u8], Box<dyn Iterator<Item = usize> + 'a>);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.1.next().unwrap_or(usize::MAX).min(self.0.len()).min(buffer.len());
        let (piece, rest) = self.0.split_at(length);
        buffer[..length].copy_from_slice(piece);
        self.0 = rest;
        Ok(length)
    }
}

fuzz_target!(|input: Input| {
    let _ = invitation(input.bytes);
    let start: &[u8] = if input.is_begun { b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\n" } else { b"" };
    let bytes = [start, input.bytes].concat();
    let whole = talk(Pieces(&bytes, Box::new(std::iter::empty())));
    let pieces = input.pieces.iter().map(|length| usize::from(*length) + 1).cycle();
    assert_eq!(talk(Pieces(&bytes, Box::new(pieces))), whole, "pieces make a difference");
});

/// Returns what becomes of a request, in words.
fn talk(mut pieces: Pieces<'_>) -> String {
    match Reader::default().read(&mut pieces).expect("it only blocks") {
        Reading::NeedMore => "more".to_owned(),
        Reading::Ended => panic!("nothing has ended"),
        Reading::Refused(answer) => format!("refused {}", answer.status()),
        Reading::Request(request) => {
            // The fuzzer does not know it.
            let token = "0123456789abcdef-of-nobody".parse().expect("a token");
            match understand(&Door::Port(token), &request) {
                Wanted::Answer(answer) => format!("answered {}", answer.status()),
                Wanted::Order(order) => {
                    assert!(matches!(order, Order::Health | Order::Ready | Order::Metrics), "{order:?}");
                    format!("{order:?}")
                }
            }
        }
    }
}
