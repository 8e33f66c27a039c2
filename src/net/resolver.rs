//! Name look-ups off the loop: they block, so one helper thread makes them.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::Waker;
use thiserror::Error;

/// The most look-ups that may wait for their answer.
pub const MAX_PENDING: usize = 256;

/// The most addresses one answer holds.
pub const MAX_ADDRESSES: usize = 16;

/// Looks up names on one helper thread and wakes the loop when answers are there.
///
/// The thread starts with the first name that is not an IP literal, and ends after its current look-up once the
/// resolver is dropped; nobody waits for it, so a look-up that hangs does not delay the end of the process. It does
/// delay the look-ups queued behind it.
pub struct Resolver {
    waker: Arc<Waker>,
    lookup: LookupFn,
    worker: Option<Worker>,
    /// Requests whose answer was not taken yet. Never above `MAX_PENDING`, so neither queue can block its sender.
    pending: usize,
}

/// What [`Resolver::resolve`] knows at once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// The host was an IP literal.
    Ready(Vec<SocketAddr>),
    /// The answer comes from [`Resolver::poll`] under the same id, after the waker woke the loop.
    Pending,
}

/// Why a look-up could not be queued.
#[derive(Debug, Error)]
pub enum ResolverError {
    /// [`MAX_PENDING`] look-ups wait already.
    #[error("too many name look-ups wait for an answer; try again shortly")]
    Full,
    /// The helper thread could not be started, or ended.
    #[error("name look-ups are not possible: the helper thread is not running ({0})")]
    Thread(io::Error),
}

type LookupFn = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;
type Answer = (u64, Result<Vec<SocketAddr>, String>);

struct Request {
    id: u64,
    host: String,
    port: u16,
}

struct Worker {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// Creates a resolver that wakes `waker` after every answer.
    pub fn new(waker: Arc<Waker>) -> Self {
        Self { waker, lookup: system_lookup, worker: None, pending: 0 }
    }

    /// Looks up a host name or IP literal (brackets around an IPv6 literal are allowed).
    ///
    /// The `id` is the caller's and is given back with the answer; it need not be unique.
    ///
    /// # Errors
    /// [`ResolverError`] if the look-up was not queued; no answer follows.
    pub fn resolve(&mut self, id: u64, host: &str, port: u16) -> Result<Lookup, ResolverError> {
        let host = unbracketed(host);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Lookup::Ready(vec![SocketAddr::new(address, port)]));
        }
        if self.pending >= MAX_PENDING {
            return Err(ResolverError::Full);
        }
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start(self.waker.clone(), self.lookup).map_err(ResolverError::Thread)?),
        };
        let request = Request { id, host: host.to_owned(), port };
        if worker.requests.try_send(request).is_err() {
            // The queue has room for every pending look-up, so only a thread that ended refuses.
            return Err(ResolverError::Thread(io::Error::other("it ended")));
        }
        self.pending += 1;
        Ok(Lookup::Pending)
    }

    /// Takes the next answer: the id of the request and the addresses, each once and at most [`MAX_ADDRESSES`], in the
    /// system's order of preference, or the system's reason. Addresses are never empty.
    pub fn poll(&mut self) -> Option<(u64, Result<Vec<SocketAddr>, String>)> {
        let answer = self.worker.as_ref()?.answers.try_recv().ok()?;
        self.pending -= 1;
        Some(answer)
    }

    /// How many answers are still to come.
    pub fn pending(&self) -> usize {
        self.pending
    }
}

impl Worker {
    fn start(waker: Arc<Waker>, lookup: LookupFn) -> io::Result<Self> {
        let (requests, request_queue) = bounded(MAX_PENDING);
        let (answer_queue, answers) = bounded(MAX_PENDING);
        thread::Builder::new()
            .name("resolver".into())
            .spawn(move || answer_requests(&request_queue, &answer_queue, &waker, lookup))?;
        Ok(Self { requests, answers })
    }
}

fn answer_requests(requests: &Receiver<Request>, answers: &Sender<Answer>, waker: &Waker, lookup: LookupFn) {
    for request in requests {
        let result = lookup(&request.host, request.port).map_err(|error| error.to_string()).and_then(bounded_list);
        if answers.send((request.id, result)).is_err() {
            return;
        }
        if let Err(error) = waker.wake() {
            log::warn!("the loop could not be woken for a name look-up: {error}");
        }
    }
}

fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    // The iterator is over a list the system already built; what is kept of it is bounded by `bounded_list`.
    Ok((host, port).to_socket_addrs()?.take(4 * MAX_ADDRESSES).collect())
}

fn bounded_list(found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = Vec::new();
    for address in found {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("the name has no address".into()) } else { Ok(addresses) }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    fn resolver(lookup: LookupFn) -> (Poll, Resolver) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        resolver.lookup = lookup;
        (poll, resolver)
    }

    fn wait(poll: &mut Poll, resolver: &mut Resolver) -> Answer {
        let mut events = Events::with_capacity(4);
        for _ in 0..100 {
            if let Some(answer) = resolver.poll() {
                return answer;
            }
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        }
        panic!("no answer within ten seconds");
    }

    #[test]
    fn literals_need_no_thread() {
        let (_poll, mut resolver) = resolver(|_, _| panic!("not looked up"));
        for (host, expected) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80")] {
            let Lookup::Ready(addresses) = resolver.resolve(0, host, 80).unwrap() else {
                panic!("{host} is a literal")
            };
            assert_eq!(addresses, [expected.parse().unwrap()]);
        }
        assert!(resolver.worker.is_none());
    }

    #[test]
    fn a_name_is_answered_and_wakes_the_loop() {
        let (mut poll, mut resolver) = resolver(system_lookup);
        assert_eq!(resolver.resolve(7, "localhost", 81).unwrap(), Lookup::Pending);
        let (id, result) = wait(&mut poll, &mut resolver);
        assert_eq!(id, 7);
        assert!(result.unwrap().iter().all(|address| address.ip().is_loopback() && address.port() == 81));
        assert_eq!(resolver.pending(), 0);
    }

    #[test]
    fn answers_are_deduplicated_and_bounded() {
        let (mut poll, mut resolver) = resolver(|_, port| {
            Ok((0..100u8).flat_map(|n| [n, n]).map(|n| SocketAddr::from(([10, 0, 0, n], port))).collect())
        });
        let _ = resolver.resolve(1, "many.test", 1).unwrap();
        let addresses = wait(&mut poll, &mut resolver).1.unwrap();
        assert_eq!(addresses.len(), MAX_ADDRESSES);
        assert_eq!(addresses[1], "10.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn no_address_and_failure_are_reasons() {
        let (mut poll, mut resolver) = resolver(|host, _| match host {
            "empty.test" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        });
        let _ = resolver.resolve(1, "empty.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver), (1, Err("the name has no address".into())));
        let _ = resolver.resolve(2, "bad.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver), (2, Err("no such name".into())));
    }

    #[test]
    fn a_stuck_lookup_fills_the_queue_and_does_not_hold_the_drop() {
        let (_poll, mut resolver) = resolver(|_, _| {
            loop {
                thread::park();
            }
        });
        for id in 0..MAX_PENDING as u64 {
            assert_eq!(resolver.resolve(id, "stuck.test", 1).unwrap(), Lookup::Pending);
        }
        assert!(matches!(resolver.resolve(0, "stuck.test", 1), Err(ResolverError::Full)));
        assert!(matches!(resolver.resolve(0, "10.0.0.1", 1), Ok(Lookup::Ready(_))));
        drop(resolver);
    }
}
