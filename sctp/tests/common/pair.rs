//! Two associations and the links between them.

use std::time::{Duration, Instant};

use pinhole_sctp::{Association, Config, Event, Message, Seed, State, StreamError};

use super::link::{Link, Path};

/// One end, and its events.
#[derive(Debug)]
pub struct End {
    pub association: Association,
    pub events: Vec<Event>,
    /// Messages that were read: stream, protocol, payload.
    pub received: Vec<(u16, u32, Vec<u8>)>,
    /// Whether messages are read as they arrive.
    pub reads: bool,
}

impl End {
    pub fn new(association: Association) -> End {
        End { association, events: Vec::new(), received: Vec::new(), reads: true }
    }

    pub fn send(&mut self, stream: u16, message: &[u8]) -> Result<(), StreamError> {
        if self.association.stream(stream).is_err() {
            self.association.open(stream)?;
        }
        self.association.stream(stream)?.send(53, message)
    }

    pub fn has(&self, event: &Event) -> bool {
        self.events.contains(event)
    }

    pub fn read(&mut self) {
        for id in self.association.streams() {
            while let Ok(mut stream) = self.association.stream(id)
                && let Ok(Some(message)) = stream.receive()
            {
                self.take(id, message);
            }
        }
    }

    /// Does everything due at a time, and returns whether there was anything.
    fn work(&mut self, now: Instant, out: &mut Link, back: &mut Link) -> bool {
        let mut is_busy = false;
        while let Some(packet) = back.receive(now) {
            self.association.handle_datagram(now, packet);
            is_busy = true;
        }
        self.association.handle_timeout(now);
        let mut sent = 0;
        while let Some(packet) = self.association.poll_transmit(now) {
            out.send(now, &packet);
            is_busy = true;
            sent += 1;
            assert!(sent < 100_000, "an end never stops sending");
        }
        while let Some(event) = self.association.poll_event() {
            self.events.push(event);
            is_busy = true;
        }
        if self.reads {
            self.read();
        }
        is_busy
    }

    fn take(&mut self, id: u16, message: Message) {
        let mut payload = vec![0; message.len()];
        assert_eq!(message.copy_to(&mut payload), payload.len());
        self.received.push((id, message.protocol, payload));
    }
}

/// Two ends and two links.
#[derive(Debug)]
pub struct Pair {
    pub now: Instant,
    pub start: Instant,
    pub client: End,
    pub server: End,
    /// From the client to the server, and back.
    pub up: Link,
    pub down: Link,
}

impl Pair {
    pub fn new(seed: u64, path: Path) -> Pair {
        Pair::with(seed, path, Config::default(), Config::default())
    }

    pub fn with(seed: u64, path: Path, client: Config, server: Config) -> Pair {
        let client = Association::connect(client, Seed([seed, 1]));
        let server = Association::accept(server, Seed([seed, 2]));
        Pair::of(seed, path, client, server)
    }

    pub fn of(seed: u64, path: Path, client: Association, server: Association) -> Pair {
        let now = Instant::now();
        Pair {
            now,
            start: now,
            client: End::new(client),
            server: End::new(server),
            up: Link::new(path, seed * 2 + 1),
            down: Link::new(path, seed * 2 + 2),
        }
    }

    /// Creates a pair that is up.
    pub fn connected(seed: u64, path: Path) -> Pair {
        let mut pair = Pair::new(seed, path);
        pair.connect();
        pair
    }

    pub fn connect(&mut self) {
        let is_up = self.run_until(Duration::from_secs(60), |pair| {
            pair.client.association.state() == State::Established
                && pair.server.association.state() == State::Established
        });
        assert!(is_up, "the association did not come up");
    }

    /// Lets both ends work, and moves packets that have arrived.
    pub fn settle(&mut self) {
        while self.client.work(self.now, &mut self.up, &mut self.down)
            | self.server.work(self.now, &mut self.down, &mut self.up)
        {}
    }

    /// Advances to the next event. Returns false if there is none.
    pub fn step(&mut self) -> bool {
        self.settle();
        let ends = [&self.client, &self.server].into_iter().filter_map(|end| end.association.poll_timeout());
        let next = ends.chain(self.up.next_at()).chain(self.down.next_at()).min();
        let Some(next) = next else { return false };
        // Events that are due now were handled: they must not be due again at once.
        self.now = next.max(self.now + Duration::from_micros(1));
        true
    }

    /// Runs for some time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(time, |_| false);
        self.now = self.now.max(end);
        self.settle();
    }

    /// Runs until `is_done` holds, or the time is over.
    pub fn run_until(&mut self, time: Duration, mut is_done: impl FnMut(&mut Pair) -> bool) -> bool {
        let end = self.now + time;
        let mut steps = 0u64;
        loop {
            self.settle();
            if is_done(self) {
                return true;
            }
            if !self.step() || self.now > end {
                self.now = self.now.min(end);
                return is_done(self);
            }
            steps += 1;
            assert!(steps < 50_000_000, "time stands still");
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }
}
