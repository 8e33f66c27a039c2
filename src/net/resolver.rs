//! Name look-ups. They block, so helper threads make them, not the loop.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

use super::system::{UdpSocket, Waker};

/// Maximum number of queued names of one asker.
pub const MAX_QUEUED: usize = 256;

/// Maximum number of look-ups in progress for one peer. A name that no server answers for may take half a minute; other
/// names of that peer go on beside it.
const MAX_RUNNING_PEER: usize = 4;

/// Maximum number of look-ups in progress for all peers together.
const MAX_RUNNING_PEERS: usize = 48;

/// Maximum number of look-ups in progress for ourselves, beside those of peers.
const MAX_RUNNING_OWN: usize = 16;

/// Maximum number of addresses in one answer.
pub const MAX_ADDRESSES: usize = 16;

/// Looks up names on helper threads and wakes the loop when answers arrive.
///
/// Each look-up in progress has a thread. Threads start when they are needed, and end once the resolver is dropped.
/// Nothing joins them, so a look-up that hangs delays neither the end of the process nor look-ups of other askers.
/// Equal names of one asker are looked up once. `Q` identifies what an answer is for.
pub struct Resolver<Q> {
    waker: Arc<Waker>,
    lookup: LookupFn,
    workers: Option<Workers>,
    lookups: VecDeque<LookUp<Q>>,
    /// Answers that were not taken yet.
    answered: VecDeque<(Q, Result<Vec<SocketAddr>, String>)>,
    next_number: u64,
}

/// The party a name is looked up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// Ourselves: the name comes from the person who started the program.
    Own,
    /// A peer that chose the name, by a number of the caller's.
    Peer(u64),
}

/// The immediate result of [`Resolver::resolve`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Lookup {
    /// The host was an IP literal or `localhost`.
    Ready(Vec<SocketAddr>),
    /// [`Resolver::poll`] returns the answer with the same id, after the waker woke the loop.
    Pending,
}

/// Why a look-up could not be queued.
#[derive(Debug, Error)]
pub enum ResolverError {
    /// [`MAX_QUEUED`] names of the same asker already wait.
    #[error("too many name look-ups wait for an answer; try again shortly")]
    Full,
    /// No helper thread could be started.
    #[error("name look-ups are not possible: no helper thread is running ({0})")]
    Thread(io::Error),
}

type LookupFn = fn(&str) -> io::Result<Vec<IpAddr>>;
type Answer = (u64, Result<Vec<IpAddr>, String>);

/// A name that is wanted, or was when its look-up began.
struct LookUp<Q> {
    asker: Asker,
    host: String,
    /// The number of the request, once a thread has it.
    number: Option<u64>,
    /// The requests that wait for it, each with its port.
    waiting: Vec<(Q, u16)>,
}

struct Request {
    number: u64,
    host: String,
}

/// The threads, each with at most one request.
struct Workers {
    count: usize,
    requests: Sender<Request>,
    request_queue: Receiver<Request>,
    answers: Receiver<Answer>,
    answer_queue: Sender<Answer>,
}

impl<Q: Copy + PartialEq> Resolver<Q> {
    /// Creates a resolver that wakes `waker` after every answer.
    pub fn new(waker: Arc<Waker>) -> Self {
        let (lookups, answered) = (VecDeque::new(), VecDeque::new());
        Self { waker, lookup: system_lookup, workers: None, lookups, answered, next_number: 0 }
    }

    /// Looks up a host name or IP literal (an IPv6 literal may be in brackets).
    ///
    /// `id` comes back with the answer; it need not be unique.
    ///
    /// # Errors
    /// [`ResolverError`] if the look-up was not queued; no answer follows.
    pub fn resolve(&mut self, asker: Asker, id: Q, host: &str, port: u16) -> Result<Lookup, ResolverError> {
        let host = unbracketed(host);
        if let Some(addresses) = known(host) {
            return Ok(Lookup::Ready(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()));
        }
        let same = self.lookups.iter_mut().find(|lookup| lookup.asker == asker && lookup.host == host);
        if let Some(lookup) = same {
            if !lookup.waiting.contains(&(id, port)) {
                lookup.waiting.push((id, port));
            }
            return Ok(Lookup::Pending);
        }
        let queued = self.lookups.iter().filter(|lookup| lookup.asker == asker && lookup.number.is_none());
        if queued.count() >= MAX_QUEUED {
            return Err(ResolverError::Full);
        }
        let waiting = vec![(id, port)];
        self.lookups.push_back(LookUp { asker, host: host.to_owned(), number: None, waiting });
        self.begin().inspect_err(|_| drop(self.lookups.pop_back())).map_err(ResolverError::Thread)?;
        Ok(Lookup::Pending)
    }

    /// Returns the next answer: the id of the request, and its addresses or the system's reason for failing. There is
    /// at least one address and at most [`MAX_ADDRESSES`], each once, in the system's order of preference.
    pub fn poll(&mut self) -> Option<(Q, Result<Vec<SocketAddr>, String>)> {
        while let Some((number, answer)) = self.workers.as_ref().and_then(|workers| workers.answers.try_recv().ok()) {
            let index = self.lookups.iter().position(|lookup| lookup.number == Some(number));
            let Some(LookUp { waiting, .. }) = index.and_then(|index| self.lookups.remove(index)) else { continue };
            for (id, port) in waiting {
                let with_port = |found: &Vec<IpAddr>| found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                self.answered.push_back((id, answer.as_ref().map(with_port).map_err(String::clone)));
            }
            // `begin` cannot fail here: a thread exists already.
            let _ = self.begin();
        }
        self.answered.pop_front()
    }

    /// Forgets a request. A look-up that has not begun and is not wanted is dropped.
    pub fn forget(&mut self, id: Q) {
        self.answered.retain(|(answered, _)| *answered != id);
        self.lookups.iter_mut().for_each(|lookup| lookup.waiting.retain(|(waiting, _)| *waiting != id));
        self.lookups.retain(|lookup| lookup.number.is_some() || !lookup.waiting.is_empty());
    }

    /// Returns how many answers are still to come.
    pub fn pending(&self) -> usize {
        self.lookups.iter().map(|lookup| lookup.waiting.len()).sum::<usize>() + self.answered.len()
    }

    /// Tells whether the answer for an id is still to come.
    pub fn is_pending(&self, id: Q) -> bool {
        self.lookups.iter().any(|lookup| lookup.waiting.iter().any(|(waiting, _)| *waiting == id))
            || self.answered.iter().any(|(answered, _)| *answered == id)
    }

    /// Gives threads the look-ups that may begin. The peer with the fewest look-ups in progress comes first; of one
    /// asker's names, the one that has waited longest.
    fn begin(&mut self) -> io::Result<()> {
        loop {
            let running: Vec<Asker> =
                self.lookups.iter().filter(|lookup| lookup.number.is_some()).map(|lookup| lookup.asker).collect();
            let of = |asker| running.iter().filter(|other| **other == asker).count();
            let has_room = |asker| match asker {
                Asker::Own => of(asker) < MAX_RUNNING_OWN,
                Asker::Peer(_) => of(asker) < MAX_RUNNING_PEER && running.len() - of(Asker::Own) < MAX_RUNNING_PEERS,
            };
            let queued = self.lookups.iter_mut().filter(|lookup| lookup.number.is_none() && has_room(lookup.asker));
            let Some(next) = queued.min_by_key(|lookup| of(lookup.asker)) else { return Ok(()) };
            let workers = self.workers.get_or_insert_with(Workers::default);
            if workers.count <= running.len() {
                workers.start(self.waker.clone(), self.lookup)?;
            }
            self.next_number += 1;
            next.number = Some(self.next_number);
            let request = Request { number: self.next_number, host: next.host.clone() };
            // Each running look-up has a thread, so the queue has room.
            if workers.requests.try_send(request).is_err() {
                next.number = None;
                return Err(io::Error::other("they ended"));
            }
            #[cfg(test)]
            workers.answer_in_world(&self.waker);
        }
    }
}

impl Default for Workers {
    fn default() -> Workers {
        let (requests, request_queue) = bounded(MAX_RUNNING_PEERS + MAX_RUNNING_OWN);
        let (answer_queue, answers) = bounded(MAX_RUNNING_PEERS + MAX_RUNNING_OWN);
        Workers { count: 0, requests, request_queue, answers, answer_queue }
    }
}

impl Workers {
    fn start(&mut self, waker: Arc<Waker>, lookup: LookupFn) -> io::Result<()> {
        #[cfg(test)]
        if waker.is_in_world() {
            self.count += 1;
            return Ok(());
        }
        let (requests, answers) = (self.request_queue.clone(), self.answer_queue.clone());
        let work = move || answer_requests(&requests, &answers, &waker, lookup);
        thread::Builder::new().name("resolver".into()).spawn(work)?;
        self.count += 1;
        Ok(())
    }

    /// Makes the simulated network answer, at its own time, instead of threads.
    #[cfg(test)]
    fn answer_in_world(&self, waker: &Waker) {
        let Some(here) = super::world::here().filter(|_| waker.is_in_world()) else { return };
        while let Ok(Request { number, host }) = self.request_queue.try_recv() {
            let answers = self.answer_queue.clone();
            here.look_up(&host, waker, move |found| drop(answers.send((number, found.and_then(bounded_list)))));
        }
    }
}

fn answer_requests(requests: &Receiver<Request>, answers: &Sender<Answer>, waker: &Waker, lookup: LookupFn) {
    for Request { number, host } in requests {
        let result = lookup(&host).map_err(|error| error.to_string()).and_then(bounded_list);
        if answers.send((number, result)).is_err() {
            return;
        }
        if let Err(error) = waker.wake() {
            log::warn!("the loop could not be woken for a name look-up: {error}");
        }
    }
}

/// Returns the addresses that need no look-up: a literal's, and those of `localhost`, which means this machine whatever
/// a name server says (RFC 6761, section 6.3).
fn known(host: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(vec![address]);
    }
    let is_local = host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost");
    is_local.then(|| {
        let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        // If the kernel has no IPv6, its address would only hide the error of the IPv4 one.
        let has_v6 = UdpSocket::bind(SocketAddr::new(v6, 0)).is_ok();
        [Some(Ipv4Addr::LOCALHOST.into()), has_v6.then_some(v6)].into_iter().flatten().collect()
    })
}

fn system_lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    // The system has already built this list; `bounded_list` limits what is kept of it.
    Ok((host, 0).to_socket_addrs()?.take(4 * MAX_ADDRESSES).map(|address| address.ip()).collect())
}

fn bounded_list(found: Vec<IpAddr>) -> Result<Vec<IpAddr>, String> {
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::net::system::{Events, Poll, Token};

    fn resolver(lookup: LookupFn) -> (Poll, Resolver<u64>) {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut resolver = Resolver::new(waker);
        resolver.lookup = lookup;
        (poll, resolver)
    }

    fn wait(poll: &mut Poll, resolver: &mut Resolver<u64>) -> (u64, Result<Vec<SocketAddr>, String>) {
        let mut events = Events::with_capacity(4);
        for _ in 0..100 {
            if let Some(answer) = resolver.poll() {
                return answer;
            }
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
        }
        panic!("no answer within ten seconds");
    }

    /// Never answers for names in `stuck.test`; other names have an address.
    fn half_stuck(host: &str) -> io::Result<Vec<IpAddr>> {
        while host.ends_with("stuck.test") {
            thread::park();
        }
        Ok(vec![IpAddr::from([192, 0, 2, 1])])
    }

    #[test]
    fn literals_and_localhost_need_no_thread() {
        let (_poll, mut resolver) = resolver(|_| panic!("not looked up"));
        let mut ready = |host: &str| match resolver.resolve(Asker::Own, 0, host, 80).unwrap() {
            Lookup::Ready(addresses) => addresses,
            Lookup::Pending => panic!("{host} is looked up"),
        };
        for (host, expected) in [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("[::1]", "[::1]:80")] {
            assert_eq!(ready(host), [expected.parse().unwrap()]);
        }
        for host in ["localhost", "LocalHost", "localhost."] {
            let addresses = ready(host);
            assert_eq!(addresses[0], "127.0.0.1:80".parse().unwrap());
            assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        }
        assert!(resolver.workers.is_none());
    }

    #[test]
    fn a_name_is_answered_and_wakes_the_loop() {
        let (mut poll, mut resolver) = resolver(half_stuck);
        assert_eq!(resolver.resolve(Asker::Own, 7, "a.test", 81).unwrap(), Lookup::Pending);
        assert!(resolver.is_pending(7) && !resolver.is_pending(8));
        let (id, result) = wait(&mut poll, &mut resolver);
        assert_eq!((id, result.unwrap()), (7, vec!["192.0.2.1:81".parse().unwrap()]));
        assert_eq!(resolver.pending(), 0);
    }

    #[test]
    fn answers_are_deduplicated_and_bounded() {
        let (mut poll, mut resolver) =
            resolver(|_| Ok((0..100u8).flat_map(|n| [n, n]).map(|n| IpAddr::from([10, 0, 0, n])).collect()));
        let _ = resolver.resolve(Asker::Own, 1, "many.test", 1).unwrap();
        let addresses = wait(&mut poll, &mut resolver).1.unwrap();
        assert_eq!(addresses.len(), MAX_ADDRESSES);
        assert_eq!(addresses[1], "10.0.0.1:1".parse().unwrap());
    }

    #[test]
    fn no_address_and_failure_are_reasons() {
        let (mut poll, mut resolver) = resolver(|host| match host {
            "empty.test" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        });
        let _ = resolver.resolve(Asker::Own, 1, "empty.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver), (1, Err("the name has no address".into())));
        let _ = resolver.resolve(Asker::Own, 2, "bad.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver), (2, Err("no such name".into())));
    }

    #[test]
    fn one_name_is_looked_up_once_for_all_its_ports() {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (mut poll, mut resolver) = resolver(|_| {
            COUNT.fetch_add(1, Ordering::SeqCst);
            thread::park_timeout(Duration::from_millis(50));
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        });
        for id in 1..=400 {
            let _ = resolver.resolve(Asker::Own, id, "a.test", 80 + u16::from(id > 200)).unwrap();
        }
        for id in 1..=400 {
            let (answered, result) = wait(&mut poll, &mut resolver);
            assert_eq!((answered, result.unwrap()[0].port()), (id, 80 + u16::from(id > 200)));
        }
        assert_eq!((COUNT.load(Ordering::SeqCst), resolver.workers.as_ref().unwrap().count), (1, 1));
    }

    #[test]
    fn names_that_nobody_answers_for_delay_nobody_else() {
        let (mut poll, mut resolver) = resolver(half_stuck);
        for id in 0..MAX_QUEUED as u64 + MAX_RUNNING_PEER as u64 {
            let stuck = resolver.resolve(Asker::Peer(1), id, &format!("{id}.stuck.test"), 1);
            assert_eq!(stuck.unwrap(), Lookup::Pending);
        }
        let full = resolver.resolve(Asker::Peer(1), 999, "more.stuck.test", 1);
        assert!(matches!(full, Err(ResolverError::Full)), "{full:?}");
        assert_eq!(resolver.workers.as_ref().unwrap().count, MAX_RUNNING_PEER);
        for (id, asker) in [(1000, Asker::Peer(2)), (1001, Asker::Own)] {
            let _ = resolver.resolve(asker, id, "a.test", 1).unwrap();
            assert_eq!(wait(&mut poll, &mut resolver).0, id);
        }
        // Our own names do not fill the queue either; one of them is wanted again and again.
        for id in 0..100 {
            let _ = resolver.resolve(Asker::Own, id, "own.stuck.test", 1).unwrap();
        }
        let _ = resolver.resolve(Asker::Own, 1002, "a.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver).0, 1002);
        assert!(matches!(resolver.resolve(Asker::Peer(1), 0, "10.0.0.1", 1), Ok(Lookup::Ready(_))));
        drop(resolver);
    }

    #[test]
    fn many_peers_leave_threads_to_ourselves_and_take_turns() {
        let (mut poll, mut resolver) = resolver(half_stuck);
        for peer in 0..100 {
            for name in 0..10 {
                let id = 10 * peer + name;
                let _ = resolver.resolve(Asker::Peer(peer), id, &format!("{id}.stuck.test"), 1).unwrap();
            }
        }
        assert_eq!(resolver.workers.as_ref().unwrap().count, MAX_RUNNING_PEERS);
        let _ = resolver.resolve(Asker::Own, 5000, "a.test", 1).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver).0, 5000);
    }

    #[test]
    fn what_nobody_waits_for_is_not_looked_up() {
        let (mut poll, mut resolver) = resolver(half_stuck);
        for id in 0..100 {
            let _ = resolver.resolve(Asker::Peer(1), id, &format!("{id}.stuck.test"), 1).unwrap();
        }
        (0..100).for_each(|id| resolver.forget(id));
        assert_eq!(resolver.pending(), 0);
        assert_eq!(resolver.lookups.len(), MAX_RUNNING_PEER, "look-ups in progress cannot be cancelled");
        // A name in progress that is wanted again waits for the same look-up.
        let _ = resolver.resolve(Asker::Peer(1), 200, "0.stuck.test", 1).unwrap();
        assert_eq!((resolver.lookups.len(), resolver.pending()), (MAX_RUNNING_PEER, 1));
        // An answer that had already arrived is gone, too.
        let _ = resolver.resolve(Asker::Own, 300, "a.test", 1).unwrap();
        let _ = resolver.resolve(Asker::Own, 301, "a.test", 2).unwrap();
        assert_eq!(wait(&mut poll, &mut resolver).0, 300);
        resolver.forget(301);
        assert_eq!(resolver.poll(), None);
    }
}
