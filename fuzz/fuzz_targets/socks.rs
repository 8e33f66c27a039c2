//! Plays a local program at the `-D` port, and its datagrams: any input must give the same result whole and in pieces.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinhole::internals::socks::{Credentials, Negotiation, Refusal, Request, datagram};
use pinhole::internals::tunnel::AbortReason;

/// Longest output to a program before the answer to its request, or instead of it.
const MAX_OUTPUT: usize = 1024;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    is_locked: bool,
    /// `None` is success.
    reason: Option<u8>,
    /// Lengths of the pieces, repeated.
    pieces: Vec<u8>,
    /// Begins with `CONNECT `, which the fuzzer would hardly find.
    is_connect: bool,
    bytes: &'a [u8],
}

#[derive(Debug, PartialEq)]
struct Outcome {
    taken: Result<usize, Refusal>,
    output: Vec<u8>,
    request: Option<Request>,
}

fuzz_target!(|input: Input| {
    let start: &[u8] = if input.is_connect { b"CONNECT " } else { b"" };
    let bytes = [start, input.bytes].concat();
    let whole = talk(&input, &bytes, &[]);
    assert_eq!(talk(&input, &bytes, &input.pieces), whole, "pieces make a difference");

    if let Ok((target, payload)) = datagram::decode(input.bytes) {
        let answer = datagram::encode(&target, payload).expect("the host fits");
        assert!(answer.len() <= datagram::MAX_HEADER + payload.len());
        assert_eq!(datagram::decode(&answer), Ok((target, payload)));
    }
});

fn talk(input: &Input, bytes: &[u8], pieces: &[u8]) -> Outcome {
    // Short, so that the fuzzer finds it and gets past the login.
    let credentials = input.is_locked.then(|| Credentials::parse("a:b").expect("a colon"));
    let mut negotiation = Negotiation::new(credentials);
    let mut outcome = Outcome { taken: Ok(0), output: Vec::new(), request: None };
    let mut pieces = pieces.iter().map(|length| usize::from(*length) + 1).cycle();
    let (mut taken, mut end) = (0, 0);
    while end < bytes.len() {
        end = pieces.next().map_or(bytes.len(), |length| bytes.len().min(end + length));
        let result = negotiation.handle_bytes(&bytes[taken..end]);
        outcome.output.extend(negotiation.poll_output().unwrap_or_default());
        assert!(outcome.output.len() <= MAX_OUTPUT);
        match (result, negotiation.poll_request()) {
            (Ok(count), None) => taken += count,
            (Ok(count), Some(request)) => {
                taken += count;
                check(&request);
                outcome.request = Some(request);
                outcome.taken = Ok(taken);
                break;
            }
            (Err(refusal), request) => {
                assert_eq!(request, None);
                outcome.taken = Err(refusal);
                return outcome;
            }
        }
        assert_eq!(taken, end, "bytes are left before the request");
        outcome.taken = Ok(taken);
    }
    match input.reason {
        None => negotiation.accept(None),
        Some(code) => negotiation.refuse(AbortReason::from_code(code)),
    }
    let answer = negotiation.poll_output();
    assert_eq!(answer.is_some(), outcome.request.is_some(), "a request has one answer");
    outcome.output.extend(answer.unwrap_or_default());
    outcome
}

/// Checks that the other side is asked only for a valid name or address.
fn check(request: &Request) {
    let Request::Connect(target) = request else { return };
    assert!(target.port != 0 && (1..=254).contains(&target.host.len()));
    assert!(
        target.host.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:".contains(&byte))
    );
    if target.host.contains(':') {
        assert!(target.host.parse::<std::net::Ipv6Addr>().is_ok());
    }
}
