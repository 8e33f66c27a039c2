//! Bytes both ways through the tunnel for as long as a test wants, each checked on arrival.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use socket2::SockRef;

use crate::common::bytes::{PIECE, piece};
use crate::common::{DEADLINE, any_port, wait_until};
use crate::lab::{Lab, Site};
use crate::namespace::Namespace;

/// How long a transfer may stand still before it fails: longer than any outage and what comes after.
const STANDSTILL: Duration = Duration::from_secs(150);

/// How much the applications' sockets hold, in bytes.
const BUFFER: usize = 128 * 1024;

/// The service of the host: its connections are the far ends of transfers.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    accepted: Receiver<TcpStream>,
}

impl Service {
    pub(crate) fn new(site: &Site) -> Service {
        let listener = site.inside.run(|| TcpListener::bind(any_port()).unwrap());
        let address = listener.local_addr().unwrap();
        let (sender, accepted) = unbounded();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if sender.send(stream).is_err() {
                    break;
                }
            }
        });
        Service { address, accepted }
    }
}

/// A connection through the tunnel with as much traffic as it carries, both ways.
pub(crate) struct Transfer {
    /// From the client's application to the host's service.
    up: Arc<Way>,
    down: Arc<Way>,
    is_ending: Arc<AtomicBool>,
    workers: Vec<JoinHandle<io::Result<()>>>,
}

/// One direction of a transfer.
#[derive(Default)]
struct Way {
    sent: AtomicU64,
    received: AtomicU64,
    arrivals: Mutex<Vec<Instant>>,
    is_over: AtomicBool,
    ended_at: Mutex<Option<Instant>>,
}

/// The result of a transfer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    /// Sent and not received, or the other way round.
    pub(crate) lost: u64,
}

impl Transfer {
    /// Connects to where the service appears at the client's side, and starts.
    #[track_caller]
    pub(crate) fn start(lab: &Lab, local: SocketAddr, service: &Service) -> Transfer {
        let near = connect(&lab.client.inside, local);
        let far = service.accepted.recv_timeout(DEADLINE).expect("the connection reaches the service");
        let (up, down, is_ending) = (Arc::<Way>::default(), Arc::<Way>::default(), Arc::<AtomicBool>::default());
        for stream in [&near, &far] {
            // What waits in the systems' buffers has to pass the link before the end of a transfer does.
            SockRef::from(stream).set_send_buffer_size(BUFFER).unwrap();
            SockRef::from(stream).set_recv_buffer_size(BUFFER).unwrap();
            stream.set_read_timeout(Some(STANDSTILL)).unwrap();
            stream.set_write_timeout(Some(STANDSTILL)).unwrap();
        }
        let sender = |stream: &TcpStream, way: &Arc<Way>, until: Box<dyn Fn() -> bool + Send>| {
            let (stream, way) = (stream.try_clone().unwrap(), way.clone());
            thread::spawn(move || way.send(&stream, &*until))
        };
        let receiver = |stream: &TcpStream, way: &Arc<Way>| {
            let (stream, way) = (stream.try_clone().unwrap(), way.clone());
            thread::spawn(move || way.receive(&stream))
        };
        let (asked, ended) = (is_ending.clone(), up.clone());
        let workers = vec![
            sender(&near, &up, Box::new(move || asked.load(Ordering::Relaxed))),
            receiver(&far, &up),
            // The service ends its direction when the application has ended the other.
            sender(&far, &down, Box::new(move || ended.is_over.load(Ordering::Relaxed))),
            receiver(&near, &down),
        ];
        Transfer { up, down, is_ending, workers }
    }

    /// Waits for that many more bytes to arrive in each direction.
    #[track_caller]
    pub(crate) fn move_on(&self, bytes: u64) {
        let goals = self.ways().map(|way| way.received.load(Ordering::Relaxed) + bytes);
        wait_until("traffic flows both ways", || {
            self.ways().iter().zip(goals).all(|(way, goal)| way.received.load(Ordering::Relaxed) >= goal)
        });
    }

    /// Returns when the application at the client's side had its first byte, if it did.
    pub(crate) fn first_byte(&self) -> Option<Instant> {
        self.down.arrivals.lock().unwrap().first().copied()
    }

    /// Returns how long after an instant both directions had seen something arrive.
    pub(crate) fn flowed_after(&self, instant: Instant) -> Option<Duration> {
        let first = |way: &Way| way.arrivals.lock().unwrap().iter().copied().find(|at| *at > instant);
        let [up, down] = self.ways().map(first);
        Some(up?.max(down?) - instant)
    }

    /// Returns the longest time since an instant in which nothing arrived in a direction.
    pub(crate) fn longest_silence(&self, since: Instant) -> Duration {
        let silence = |way: &Way| {
            let arrivals = way.arrivals.lock().unwrap();
            let mut last = since;
            let gaps = arrivals.iter().filter(|at| **at > since).map(|at| *at - std::mem::replace(&mut last, *at));
            let longest = gaps.max().unwrap_or_default();
            longest.max(last.elapsed())
        };
        let [up, down] = self.ways().map(silence);
        up.max(down)
    }

    /// Returns the bytes that arrived so far, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.ways().map(|way| way.received.load(Ordering::Relaxed)).iter().sum()
    }

    /// Ends both directions in order, and returns what was moved once all of it has arrived.
    #[track_caller]
    pub(crate) fn finish(self) -> Moved {
        self.is_ending.store(true, Ordering::Relaxed);
        for worker in self.workers {
            worker.join().unwrap().unwrap_or_else(|error| panic!("a connection did not survive: {error}"));
        }
        let mut moved = Moved::default();
        for way in [self.up, self.down] {
            let (sent, received) = (way.sent.load(Ordering::Relaxed), way.received.load(Ordering::Relaxed));
            moved.bytes += received;
            moved.lost += sent.abs_diff(received);
        }
        moved
    }

    /// Waits for the client's application to have its connection reset, and returns what arrived before, and when the
    /// reset did.
    #[track_caller]
    pub(crate) fn reset(self) -> (u64, Instant) {
        let [sender, _, _, receiver] = self.workers.try_into().expect("there are four");
        // The system tells only one of them what happened; to the other it is an end.
        let errors = [sender, receiver].map(|worker| worker.join().unwrap().err().map(|error| error.kind()));
        assert!(errors.contains(&Some(ErrorKind::ConnectionReset)), "{errors:?}");
        let bytes = [&self.up, &self.down].map(|way| way.received.load(Ordering::Relaxed)).iter().sum();
        let at = self.down.ended_at.lock().unwrap().expect("it ended");
        (bytes, at)
    }

    fn ways(&self) -> [&Way; 2] {
        [&self.up, &self.down]
    }
}

impl Way {
    /// Writes the pattern until it is told to end, and then its end.
    fn send(&self, mut stream: &TcpStream, is_ending: &dyn Fn() -> bool) -> io::Result<()> {
        while !is_ending() {
            let sent = self.sent.load(Ordering::Relaxed);
            let len = stream.write(piece(sent, PIECE as u64))?;
            self.sent.fetch_add(len as u64, Ordering::Relaxed);
        }
        stream.shutdown(Shutdown::Write)
    }

    /// Reads to the end, and takes note of when that is.
    fn receive(&self, stream: &TcpStream) -> io::Result<()> {
        let result = self.check(stream);
        self.ended_at.lock().unwrap().replace(Instant::now());
        result
    }

    /// Reads to the end and fails at the first byte that is not the pattern's.
    fn check(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let len = stream.read(&mut buffer)?;
            if len == 0 {
                self.is_over.store(true, Ordering::Relaxed);
                return Ok(());
            }
            let received = self.received.load(Ordering::Relaxed);
            assert!(buffer[..len] == *piece(received, len as u64), "a wrong byte at or behind {received}");
            self.arrivals.lock().unwrap().push(Instant::now());
            self.received.fetch_add(len as u64, Ordering::Relaxed);
        }
    }
}

fn connect(namespace: &Namespace, address: SocketAddr) -> TcpStream {
    let stream = namespace.run(|| TcpStream::connect_timeout(&address, DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
