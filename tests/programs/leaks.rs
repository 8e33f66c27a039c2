//! Many connections, in a row and at once: afterwards both processes hold the same resources as before.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

use pinhole::internals::net::limits::raise_descriptor_limit;

use crate::common::pinhole::{Pair, Pinhole};
use crate::common::services::serve;
use crate::common::system::{descriptors, figure, peak_resident_kib, resident_kib, skipped};
use crate::common::{connect, wait_until};

/// Connections made and ended one after the other.
const IN_A_ROW: usize = 1000;

/// Connections held at once.
const AT_ONCE: usize = 2000;

/// The most that a process may need, in kibibytes.
const MEMORY_LIMIT: u64 = 64 * 1024;

/// Greets every connection, and returns the bytes it gets as a number once that was all.
fn service() -> SocketAddr {
    serve(|mut stream| {
        stream.write_all(b"!")?;
        let mut request = Vec::new();
        stream.read_to_end(&mut request)?;
        write!(stream, "{}", request.len())
    })
}

fn open(local: SocketAddr) -> TcpStream {
    let mut stream = connect(local);
    let mut greeting = [0];
    stream.read_exact(&mut greeting).unwrap();
    stream
}

fn finish(mut stream: TcpStream) {
    stream.write_all(&[0; 7]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "7");
}

#[test]
fn connections_in_a_row_and_at_once_leave_nothing_behind() {
    // This process holds both ends of every connection.
    let needed = 2 * AT_ONCE as u64 + 200;
    let limit = raise_descriptor_limit().unwrap();
    if limit < needed {
        return skipped("2,000 streams at once", &format!("{needed} descriptors are needed and {limit} allowed"));
    }
    let mut pair = Pair::of(service());
    finish(open(pair.local));
    closed(&mut pair.host, 1);
    closed(&mut pair.client, 1);
    let pids = [pair.host.pid(), pair.client.pid()];
    // Once signaling is gone on both sides.
    let mut before = [0; 2];
    wait_until("both sides to hold equally many descriptors", || {
        let now = pids.map(descriptors);
        std::mem::replace(&mut before, now) == now
    });
    let memory = pids.map(resident_kib);

    let start = Instant::now();
    for _ in 0..IN_A_ROW {
        finish(open(pair.local));
    }
    figure(&format!("{IN_A_ROW} connections in a row: {:?}", start.elapsed()));
    closed(&mut pair.host, IN_A_ROW);
    closed(&mut pair.client, IN_A_ROW);
    settled(pids, before);
    figure(&format!("resident memory, host and client: {memory:?} KiB before, {:?} KiB after", pids.map(resident_kib)));

    let start = Instant::now();
    let streams: Vec<TcpStream> = (0..AT_ONCE).map(|_| open(pair.local)).collect();
    figure(&format!("{AT_ONCE} streams opened: {:?}", start.elapsed()));
    let held = pids.map(descriptors);
    assert!(held.iter().zip(before).all(|(&held, before)| held >= before + AT_ONCE), "{held:?} descriptors");
    figure(&format!("resident memory with {AT_ONCE} idle streams: {:?} KiB", pids.map(resident_kib)));
    streams.into_iter().for_each(finish);
    closed(&mut pair.host, AT_ONCE);
    closed(&mut pair.client, AT_ONCE);
    settled(pids, before);

    let (after, peak) = (pids.map(resident_kib), pids.map(peak_resident_kib));
    let left = pids.map(descriptors);
    figure(&format!("descriptors, host and client: {before:?} before, {held:?} held, {left:?} after"));
    figure(&format!("resident memory: {memory:?} KiB before, {peak:?} KiB at most, {after:?} KiB after"));
    assert!(peak.iter().all(|&kib| kib < MEMORY_LIMIT), "{peak:?} KiB");
    pair.stop();
}

/// Waits until so many more streams have ended on a side, each of them in order.
fn closed(side: &mut Pinhole, count: usize) {
    for _ in 0..count {
        let event = side.event("stream-closed");
        assert_eq!(event["reason"], "closed", "{event}");
    }
}

/// Waits until both processes hold no more than before.
fn settled(pids: [u32; 2], before: [usize; 2]) {
    wait_until("descriptors to be given back", || {
        pids.map(descriptors).iter().zip(before).all(|(&now, before)| now <= before)
    });
}
