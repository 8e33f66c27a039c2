//! Feeds a gatherer datagrams, many with the transaction of one of its own requests, and lets time pass.
//!
//! It must stay within its limits, accept only answers to its own requests, and finish.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinhole::internals::peer::stun::{GIVE_UP, Gatherer, MAX_SERVERS, MAX_SOCKETS, Request};

#[derive(Debug, Arbitrary)]
enum Step {
    AddSocket(SocketAddr),
    AddServer(SocketAddr),
    /// A datagram that answers, or pretends to answer, one of the requests so far.
    Answer {
        request: u8,
        from_elsewhere: bool,
        kind: u8,
        attributes: Vec<u8>,
    },
    Datagram {
        local: SocketAddr,
        remote: SocketAddr,
        bytes: Vec<u8>,
    },
    Wait {
        milliseconds: u16,
    },
}

fuzz_target!(|steps: Vec<Step>| {
    let mut now = Instant::now();
    let mut gatherer = Gatherer::new();
    let mut requests: Vec<Request> = Vec::new();
    for step in steps.into_iter().take(200) {
        match step {
            Step::AddSocket(local) => gatherer.add_socket(now, local),
            Step::AddServer(server) => gatherer.add_server(now, server),
            Step::Answer { request, from_elsewhere, kind, attributes } => {
                let Some(request) = requests.get(usize::from(request)) else { continue };
                let mut datagram = vec![kind & 1, 1];
                datagram.extend((attributes.len() as u16).to_be_bytes());
                datagram.extend(&request.contents[4..20]);
                datagram.extend(attributes);
                let mut remote = request.destination;
                if from_elsewhere {
                    remote.set_port(remote.port() ^ 1);
                }
                let is_taken = gatherer.handle_datagram(now, request.source, remote, &datagram);
                assert!(!(is_taken && from_elsewhere), "an answer from elsewhere was taken");
            }
            Step::Datagram { local, remote, bytes } => {
                assert!(!gatherer.handle_datagram(now, local, remote, &bytes), "a transaction was guessed");
            }
            Step::Wait { milliseconds } => {
                now += Duration::from_millis(milliseconds.into());
                gatherer.handle_timeout(now);
            }
        }
        while let Some(request) = gatherer.poll_transmit() {
            assert_eq!(request.contents.len(), 20);
            requests.push(request);
        }
        while let Some(found) = gatherer.poll_mapped() {
            assert!(found.mapped.port() != 0 && !found.mapped.ip().is_unspecified());
            assert_eq!(found.mapped.is_ipv4(), found.local.is_ipv4());
        }
        assert!(requests.len() <= 4 * MAX_SOCKETS * MAX_SERVERS);
        let _ = gatherer.findings();
    }
    let end = now + GIVE_UP + Duration::from_secs(2);
    while let Some(at) = gatherer.poll_timeout() {
        assert!(at <= end, "a request is not given up");
        now = now.max(at);
        gatherer.handle_timeout(now);
    }
    assert!(gatherer.is_done());
});
