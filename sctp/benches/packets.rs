//! The cost of a packet, both ends together: nanoseconds of processor time per packet with data, by the bytes in
//! flight.
//!
//! Time is virtual: a link whose rate times delay is the bytes in flight. Run it with `cargo bench -p pinhole-sctp`.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Association, Config, Delivery, Event, Reliability, Seed};

/// Rate of the link, in bytes per second.
const RATE: f64 = 2.5e8;

/// Virtual time between two turns, in which packets collect into a batch.
const TURN: Duration = Duration::from_micros(100);

const MESSAGE: usize = 8 * 1024;
const PACKETS: u64 = 300_000;

/// A packet in transit. As on a real link, its payload takes no memory of this machine: only the headers are kept, and
/// the payload, which is always the same, is restored on arrival.
struct Kept {
    arrives: Instant,
    length: usize,
    headers: [(usize, [u8; 16]); 4],
    count: usize,
    /// The whole packet, if it has no data.
    whole: Option<Bytes>,
}

struct Link {
    under_way: VecDeque<Kept>,
    busy_until: Instant,
    delay: Duration,
}

impl Link {
    fn send(&mut self, now: Instant, packet: Bytes) {
        self.busy_until = self.busy_until.max(now) + Duration::from_secs_f64(packet.len() as f64 / RATE);
        let mut kept = Kept {
            arrives: self.busy_until + self.delay,
            length: packet.len(),
            headers: [(0, [0; 16]); 4],
            count: 1,
            whole: None,
        };
        kept.headers[0].1[..12].copy_from_slice(&packet[..12]);
        let mut at = 12;
        while at < packet.len() {
            let header = packet[at..].first_chunk::<16>().filter(|header| header[0] == 0 && kept.count < 4);
            let Some(header) = header else {
                kept.whole = Some(packet.clone());
                break;
            };
            kept.headers[kept.count] = (at, *header);
            kept.count += 1;
            at += chunk_length(header).next_multiple_of(4);
        }
        self.under_way.push_back(kept);
    }

    fn receive(&mut self, now: Instant) -> Option<Bytes> {
        if self.under_way.front()?.arrives > now {
            return None;
        }
        let kept = self.under_way.pop_front()?;
        kept.whole.or_else(|| {
            let mut packet = vec![7; kept.length];
            packet[..12].copy_from_slice(&kept.headers[0].1[..12]);
            for (at, header) in &kept.headers[1..kept.count] {
                packet[*at..*at + 16].copy_from_slice(header);
                let end = at + chunk_length(header);
                packet[end..end.next_multiple_of(4)].fill(0);
            }
            Some(packet.into())
        })
    }
}

fn chunk_length(header: &[u8; 16]) -> usize {
    usize::from(u16::from_be_bytes([header[2], header[3]]))
}

/// Returns the processor time of this thread if the system provides it, so that other processes do not count; otherwise
/// the elapsed time.
fn processor_time(start: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// The result of a run.
struct Cost {
    nanos: f64,
    in_flight: u64,
    acknowledgements: f64,
}

fn run(in_flight: u64, zero_checksum: bool, loss: u64) -> Cost {
    let config = Config { packet_size: 1340, zero_checksum, ..Config::default() };
    let mut client = Association::connect(config.clone(), Seed([1, 2]));
    let mut server = Association::accept(config, Seed([3, 4]));
    let start = Instant::now();
    let mut now = start;
    let delay = Duration::from_secs_f64(in_flight as f64 / RATE / 2.0);
    let mut up = Link { under_way: VecDeque::new(), busy_until: now, delay };
    let mut down = Link { under_way: VecDeque::new(), busy_until: now, delay };
    let message = vec![7; MESSAGE];
    let mut buffer = vec![0; MESSAGE];
    let mut count = 0u64;
    let mut is_open = false;
    // Measure the second half, when the window has grown.
    let (mut half, mut highest) = (None, 0);
    loop {
        now += TURN;
        while let Some(packet) = up.receive(now) {
            count += 1;
            if loss == 0 || !count.is_multiple_of(loss) {
                server.handle_datagram(now, packet);
            }
        }
        server.handle_timeout(now);
        while let Some(packet) = server.poll_transmit(now) {
            down.send(now, packet);
        }
        while server.poll_event().is_some() {}
        if let Ok(mut stream) = server.stream(1) {
            while let Ok(Some(message)) = stream.receive() {
                message.copy_to(&mut buffer);
            }
        }
        while let Some(packet) = down.receive(now) {
            client.handle_datagram(now, packet);
        }
        client.handle_timeout(now);
        while let Some(event) = client.poll_event() {
            if event == Event::Connected {
                is_open = true;
                let delivery = Delivery { is_ordered: false, reliability: Reliability::Reliable };
                client.open(1).expect("new").set_delivery(delivery);
            }
        }
        if let Ok(mut stream) = client.stream(1) {
            // As in a tunnel, little waits, so that what leaves was written just before.
            while stream.unsent() < 64 * 1024 {
                stream.send(53, &message).expect("open");
            }
        }
        while let Some(packet) = client.poll_transmit(now) {
            up.send(now, packet);
        }
        let statistics = client.statistics();
        assert!(is_open || now < start + Duration::from_secs(9), "the association comes up");
        if half.is_none() && statistics.packets_sent > PACKETS / 2 {
            half = Some((statistics, processor_time(start)));
        }
        if half.is_some() {
            highest = highest.max(statistics.in_flight);
        }
        if let Some((before, at)) = half
            && statistics.packets_sent > PACKETS
        {
            let packets = (statistics.packets_sent - before.packets_sent) as f64;
            let acknowledgements = (statistics.acknowledgements_received - before.acknowledgements_received) as f64;
            return Cost {
                nanos: (processor_time(start) - at).as_nanos() as f64 / packets,
                in_flight: highest,
                acknowledgements: acknowledgements / packets,
            };
        }
    }
}

fn main() {
    // `cargo test` runs benches too, to check that they work; `cargo bench` passes a flag.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let sizes: &[u64] = if is_bench { &[64, 256, 1024, 4096, 8192] } else { &[64] };
    println!("KiB of path, checksum, lost: ns a packet (most in flight, acknowledgements a packet)");
    for (zero_checksum, loss) in [(true, 0), (false, 0), (true, 100)] {
        for size in sizes {
            let runs = if is_bench { 5 } else { 1 };
            let costs = (0..runs).map(|_| run(size * 1024, zero_checksum, loss));
            let best = costs.min_by(|a, b| a.nanos.total_cmp(&b.nanos)).expect("at least one run");
            println!(
                "{size:5}, {}, {}: {:5.0} ({} KiB, {:.3})",
                if zero_checksum { "none  " } else { "CRC32c" },
                if loss == 0 { "none".to_owned() } else { format!("1 in {loss}") },
                best.nanos,
                best.in_flight / 1024,
                best.acknowledgements,
            );
        }
    }
}
