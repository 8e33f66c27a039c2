//! The applications at both ends of the streams. Every byte is known to both: it is a function of the stream, the
//! direction and the offset.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use pinhole::internals::tunnel::{ChunkPool, StreamMut};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Length of the pattern all streams are cut from; a prime, so that no chunk size divides it.
const PERIOD: usize = 65_521;

/// Longest piece that is compared or written at once.
const MAX_PIECE: usize = 16 * 1024;

/// Bytes of a question and of its answer.
const PING_LEN: u64 = 64;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut pattern = vec![0; PERIOD + MAX_PIECE];
    StdRng::seed_from_u64(1).fill_bytes(&mut pattern[..PERIOD]);
    pattern.copy_within(0..MAX_PIECE, PERIOD);
    pattern
});

/// Returns `len` bytes of a direction from `offset` on.
fn pattern(direction: u64, offset: u64, len: usize) -> &'static [u8] {
    let start = ((direction * 4099 + offset) % PERIOD as u64) as usize;
    &PATTERN[start..start + len]
}

/// What the opener's application does on a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traffic {
    /// The opener sends so many bytes, the acceptor so many, each ends its direction.
    Bulk { up: u64, down: u64 },
    /// The opener asks so often, waiting as long after each answer; the acceptor sends back what it gets.
    Ping { count: usize, pause: Duration },
}

/// What one end still has to do.
#[derive(Debug)]
enum Task {
    Bulk { to_send: u64, to_receive: u64 },
    Echo { owed: u64 },
    Ping { left: usize, pause: Duration, asked_at: Option<Instant>, next_at: Option<Instant>, unsent: u64 },
}

/// The application at one end of a stream.
#[derive(Debug)]
pub(crate) struct End {
    task: Task,
    direction: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) has_finished: bool,
    pub(crate) saw_end: bool,
    /// Reads nothing while set.
    pub(crate) is_stalled: bool,
    /// How long each answer took.
    pub(crate) round_trips: Vec<Duration>,
}

impl End {
    pub(crate) fn opener(stream: u64, traffic: Traffic) -> End {
        let task = match traffic {
            Traffic::Bulk { up, down } => Task::Bulk { to_send: up, to_receive: down },
            Traffic::Ping { count, pause } => {
                Task::Ping { left: count, pause, asked_at: None, next_at: None, unsent: 0 }
            }
        };
        End::new(task, 2 * stream)
    }

    pub(crate) fn acceptor(stream: u64, traffic: Traffic) -> End {
        let task = match traffic {
            Traffic::Bulk { up, down } => Task::Bulk { to_send: down, to_receive: up },
            Traffic::Ping { .. } => Task::Echo { owed: 0 },
        };
        End::new(task, 2 * stream + 1)
    }

    fn new(task: Task, direction: u64) -> End {
        End {
            task,
            direction,
            sent: 0,
            received: 0,
            has_finished: false,
            saw_end: false,
            is_stalled: false,
            round_trips: Vec::new(),
        }
    }

    /// Tells whether everything was sent and received, and both directions ended.
    pub(crate) fn is_done(&self) -> bool {
        self.has_finished && self.saw_end
    }

    /// Returns when the application wants to go on although nothing happened on its stream.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        match &self.task {
            Task::Ping { next_at, .. } => *next_at,
            Task::Bulk { .. } | Task::Echo { .. } => None,
        }
    }

    /// Reads and writes what can be read and written.
    pub(crate) fn pump(&mut self, now: Instant, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) {
        self.read(now, stream);
        if self.has_finished {
            return;
        }
        if let Task::Ping { left, asked_at, next_at, unsent, .. } = &mut self.task
            && asked_at.is_none()
            && next_at.is_none_or(|at| at <= now)
            && *left > 0
        {
            *left -= 1;
            *unsent = PING_LEN;
            *asked_at = Some(now);
            *next_at = None;
        }
        let wanted = match &self.task {
            Task::Bulk { to_send, .. } => *to_send - self.sent,
            Task::Echo { owed } => *owed,
            Task::Ping { unsent, .. } => *unsent,
        };
        let written = self.write(wanted, stream, pool);
        let is_complete = match &mut self.task {
            Task::Bulk { to_send, .. } => self.sent == *to_send,
            Task::Echo { owed } => {
                *owed -= written;
                *owed == 0 && self.saw_end
            }
            Task::Ping { left, asked_at, unsent, .. } => {
                *unsent -= written;
                *left == 0 && asked_at.is_none()
            }
        };
        if is_complete {
            stream.finish();
            self.has_finished = true;
        }
    }

    fn write(&mut self, wanted: u64, stream: &mut StreamMut<'_>, pool: &mut ChunkPool) -> u64 {
        // An echo is the opener's bytes.
        let direction = if let Task::Echo { .. } = self.task { self.direction - 1 } else { self.direction };
        let mut left = wanted;
        while left > 0 {
            let len = stream.poll_send_capacity().min(usize::try_from(left).unwrap_or(usize::MAX)).min(MAX_PIECE);
            if len == 0 {
                break;
            }
            let mut chunk = pool.take();
            chunk.room_mut()[..len].copy_from_slice(pattern(direction, self.sent, len));
            chunk.set_len(len);
            stream.send(pool.fit(chunk)).expect("there is capacity");
            self.sent += len as u64;
            left -= len as u64;
        }
        wanted - left
    }

    fn read(&mut self, now: Instant, stream: &mut StreamMut<'_>) {
        if self.is_stalled {
            return;
        }
        let direction = match self.task {
            Task::Bulk { .. } | Task::Echo { .. } => self.direction ^ 1,
            Task::Ping { .. } => self.direction,
        };
        let mut taken = 0;
        for payload in stream.readable() {
            for piece in payload.chunks(MAX_PIECE) {
                let expected = pattern(direction, self.received, piece.len());
                assert!(piece == expected, "stream {}: wrong bytes at {}", self.direction / 2, self.received);
                self.received += piece.len() as u64;
                taken += piece.len();
            }
        }
        stream.consume(taken);
        self.saw_end |= stream.poll_end();
        match &mut self.task {
            Task::Bulk { to_receive, .. } => {
                assert!(self.received <= *to_receive, "more came than was sent");
                assert!(!self.saw_end || self.received == *to_receive, "the end came after {}", self.received);
            }
            Task::Echo { owed } => *owed += taken as u64,
            Task::Ping { left, pause, asked_at, next_at, .. } => {
                if let Some(at) = *asked_at
                    && self.received == self.sent
                    && self.received == PING_LEN * (self.round_trips.len() as u64 + 1)
                {
                    self.round_trips.push(now.duration_since(at));
                    *asked_at = None;
                    *next_at = (*left > 0).then_some(now + *pause);
                }
            }
        }
    }
}
