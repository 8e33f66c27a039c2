//! Two associations in memory: ten megabytes over a link with a round trip of 20 ms that loses one packet in a hundred.
//! Time is virtual.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pinhole_sctp::{Association, Config, Event, Seed, StreamError};

const DELAY: Duration = Duration::from_millis(10);
const MESSAGE: usize = 16 * 1024;
const MESSAGES: usize = 640;
/// Bytes written ahead.
const AHEAD: usize = 64 * 1024;

/// Packets in transit in one direction.
#[derive(Default)]
struct Link {
    packets: VecDeque<(Instant, Bytes)>,
    count: usize,
}

impl Link {
    /// Collects everything that leaves.
    fn drain(&mut self, now: Instant, from: &mut Association) {
        while let Some(packet) = from.poll_transmit(now) {
            self.count += 1;
            if !self.count.is_multiple_of(100) {
                self.packets.push_back((now + DELAY, packet));
            }
        }
    }

    /// Delivers everything that has arrived.
    fn deliver(&mut self, now: Instant, to: &mut Association) {
        while self.packets.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, packet)) = self.packets.pop_front()
        {
            to.handle_datagram(now, packet);
        }
    }
}

fn main() -> Result<(), StreamError> {
    let start = Instant::now();
    let mut now = start;
    // A real program takes its seeds from the system.
    let mut client = Association::connect(Config::default(), Seed([1, 2]));
    let mut server = Association::accept(Config::default(), Seed([3, 4]));
    let (mut up, mut down) = (Link::default(), Link::default());
    let (mut sent, mut received) = (0, 0);
    client.open(1)?;
    while received < MESSAGES {
        up.deliver(now, &mut server);
        down.deliver(now, &mut client);
        client.handle_timeout(now);
        server.handle_timeout(now);
        let mut stream = client.stream(1)?;
        while sent < MESSAGES && stream.unsent() < AHEAD {
            stream.send(53, &[7; MESSAGE])?;
            sent += 1;
        }
        up.drain(now, &mut client);
        down.drain(now, &mut server);
        while let Some(event) = client.poll_event() {
            println!("{:7.1?} client: {event:?}", now - start);
        }
        while let Some(event) = server.poll_event() {
            if !matches!(event, Event::Readable(_)) {
                println!("{:7.1?} server: {event:?}", now - start);
            }
        }
        if let Ok(mut stream) = server.stream(1) {
            while stream.receive()?.is_some() {
                received += 1;
            }
        }
        // Advance to the next event.
        let arrivals = [&up, &down].into_iter().filter_map(|link| link.packets.front().map(|(at, _)| *at));
        let timeouts = [&client, &server].into_iter().filter_map(|end| end.poll_timeout());
        let Some(next) = arrivals.chain(timeouts).min() else { break };
        now = next.max(now + Duration::from_micros(1));
    }
    let elapsed = (now - start).as_secs_f64();
    println!("{received} messages in {elapsed:.2} s: {:.0} Mbit/s", (received * MESSAGE * 8) as f64 / elapsed / 1e6);
    println!("{:?}", client.statistics());
    Ok(())
}
