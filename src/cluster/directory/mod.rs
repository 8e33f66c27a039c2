//! The directory of a cluster: a Redis or a Valkey in which servers write who holds which name, and find each other.
//!
//! Nothing here does I/O, and the time comes in as a value. [`Directory`] turns what a server wants, and what the
//! directory says, into commands and events. Commands are pipelined, and none waits for another. What is wanted waits
//! two seconds at most: then the directory counts as away, and everything goes on without it.
//! `docs/protocol.md` section 9 is the specification.

mod cache;
mod holdings;
mod lookups;
mod record;
mod request;
mod resp;
mod seeking;
mod standing;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use thiserror::Error;

use self::cache::Cache;
use self::holdings::{GivenUp, Holding};
pub use self::holdings::{Loss, Lost, Verdict};
use self::lookups::Asked;
pub use self::lookups::{Found, LookUps};
use self::request::{Answer, CHANGES, Own, Request};
pub use self::resp::{Arrived, Decoder, RespError, Value};
use self::seeking::Sought;
pub use self::standing::Standing;
use super::ServerId;
use crate::signaling::rendezvous::HostId;

/// How long something that is wanted waits for the directory.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer may take before the connection is given up.
const HANG: Duration = Duration::from_secs(5);

/// How often a server gives a sign of itself, and asks for the others.
const ANNOUNCE: Duration = Duration::from_secs(5);

/// Longest error of the directory that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// Who we are to the directory, and which of its databases is meant. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Login {
    /// Name and password.
    pub credentials: Option<(String, String)>,
    /// The number of the database.
    pub database: u32,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({}, {})", self.credentials.is_some(), self.database)
    }
}

/// Why a connection to the directory is of no use. Shows nothing of the login.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DirectoryError {
    /// It does not speak RESP3.
    #[error(transparent)]
    Resp(#[from] RespError),
    /// What it says is no answer to what it was asked.
    #[error("its answer is not to what it was asked")]
    Unexpected,
    /// It refuses a command.
    #[error("{0}")]
    Refused(String),
    /// It does not answer any more.
    #[error("it does not answer")]
    Silent,
}

/// Something for the server to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look-up is over: ask [`Directory::find`] again.
    Found(HostId),
    /// A name that was asked for is ours, or not.
    Taken(HostId, Verdict),
    /// A name that was ours is not any more.
    Lost(Loss),
    /// The other servers are to be asked for this host: what they say goes to [`Directory::learn`].
    Seek(HostId),
    /// The other servers are to be told of this host: [`Directory::here`].
    Tell(HostId),
    /// Other servers are there: [`Directory::servers`].
    Servers,
    /// The directory serves again.
    Back,
    /// The directory is away, and everything goes on without it.
    Away,
}

/// What one server knows of the directory, wants of it, and has there.
#[derive(Debug)]
pub struct Directory {
    own: Own,
    standing: Standing,
    /// The present connection has served.
    is_open: bool,
    /// The directory has served before.
    has_served: bool,
    /// The highest epoch that was seen anywhere.
    highest: u64,
    /// Commands without an answer, the oldest in front.
    sent: VecDeque<Sent>,
    /// Commands that were not written yet.
    output: Vec<u8>,
    cache: Cache,
    /// The look-ups under way.
    asked: HashMap<HostId, Asked>,
    /// The names that other servers are asked for.
    sought: Sought,
    /// The names of our hosts.
    holdings: HashMap<HostId, Holding>,
    /// When which name is to be renewed.
    renewals: BTreeSet<(Instant, HostId)>,
    /// Renewals without an answer.
    renewing: usize,
    /// Names that were given up, and are still ours in the directory.
    given_up: HashMap<HostId, GivenUp>,
    /// Number of names asked for so far.
    takes: u64,
    announce_at: Instant,
    /// Which directory it is; another word tells that it was emptied.
    birth: Option<String>,
    /// From here on, what is not found is nowhere.
    absent_from: Instant,
    servers: BTreeMap<ServerId, String>,
    /// This server is about to end, and gives no more signs of itself.
    is_leaving: bool,
    lookups: LookUps,
    events: VecDeque<Event>,
}

/// A command without an answer.
#[derive(Debug)]
struct Sent {
    what: What,
    at: Instant,
    /// The script was sent with it.
    is_full: bool,
}

#[derive(Debug)]
enum What {
    /// The protocol, the login and the database.
    Setup,
    Request(Request),
}

impl Directory {
    /// Creates the state of a server that has no connection to the directory yet. Others come to it at `url`, and
    /// `word` is random.
    pub fn new(now: Instant, id: ServerId, url: String, word: String) -> Directory {
        Directory {
            own: Own { id, url, word },
            standing: Standing::Hoping(now + PATIENCE),
            is_open: false,
            has_served: false,
            highest: 0,
            sent: VecDeque::new(),
            output: Vec::new(),
            cache: Cache::default(),
            asked: HashMap::new(),
            sought: Sought::default(),
            holdings: HashMap::new(),
            renewals: BTreeSet::new(),
            renewing: 0,
            given_up: HashMap::new(),
            takes: 0,
            announce_at: now,
            birth: None,
            absent_from: now,
            servers: BTreeMap::new(),
            is_leaving: false,
            lookups: LookUps::default(),
            events: VecDeque::new(),
        }
    }

    /// Begins a conversation on a new connection.
    pub fn connected(&mut self, now: Instant, login: &Login) {
        self.disconnected(now);
        let database = login.database.to_string();
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some((user, password)) = &login.credentials {
            hello.extend([&b"AUTH"[..], user.as_bytes(), password.as_bytes()]);
        }
        self.set_up(now, &hello);
        if login.database != 0 {
            self.set_up(now, &[b"SELECT", database.as_bytes()]);
        }
        // Its answer comes as a push.
        resp::encode(&mut self.output, &[b"SUBSCRIBE", CHANGES.as_bytes()]);
        let first = if self.is_leaving { Request::Leave } else { Request::Announce };
        self.send(now, first);
        self.announce_at = now + ANNOUNCE;
    }

    /// Handles what came from the directory. After an error the connection is of no use any more.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn handle(&mut self, now: Instant, arrived: Arrived) -> Result<(), DirectoryError> {
        match arrived {
            Arrived::Push(values) => self.handle_push(now, &values),
            Arrived::Reply(value) => {
                let sent = self.sent.pop_front().ok_or(DirectoryError::Unexpected)?;
                self.handle_reply(now, sent, &value)?;
                self.come_back(now);
            }
        }
        Ok(())
    }

    fn handle_reply(&mut self, now: Instant, sent: Sent, value: &Value) -> Result<(), DirectoryError> {
        if let What::Request(Request::Hold { .. }) = sent.what {
            self.renewing -= 1;
        }
        match (sent.what, value) {
            (What::Request(request), Value::Error(error)) if error.starts_with("NOSCRIPT") && !sent.is_full => {
                self.send_as(now, request, true);
            }
            (what, Value::Error(error)) => {
                return Err(DirectoryError::Refused(refusal(error, matches!(what, What::Setup))));
            }
            (What::Setup, _) => {}
            (What::Request(request), value) => {
                let answer = request.read(value).ok_or(DirectoryError::Unexpected)?;
                self.handle_answer(now, request, answer);
            }
        }
        Ok(())
    }

    fn handle_answer(&mut self, now: Instant, request: Request, answer: Answer) {
        match (request, answer) {
            (Request::Announce, Answer::Servers(birth, servers)) => {
                self.note_birth(now, Some(birth));
                self.note_servers(servers);
                self.served(now);
            }
            (Request::Find(id), Answer::Found(record)) => self.found(now, &id, Some(record)),
            (Request::Find(id), Answer::Absent(birth)) => {
                self.note_birth(now, birth);
                self.found(now, &id, None);
            }
            (Request::Take { id, number, claim, .. }, answer) => self.take_answered(now, &id, (number, claim), answer),
            (Request::Hold { id, epoch, .. }, answer) => self.hold_answered(now, &id, epoch, answer),
            (Request::Leave, _) => self.served(now),
            (Request::GiveUp { .. } | Request::Announce | Request::Find(_), _) => {}
        }
    }

    /// Goes by which servers there are.
    fn note_servers(&mut self, servers: Vec<(ServerId, String)>) {
        let servers: BTreeMap<_, _> = servers.into_iter().filter(|(id, _)| *id != self.own.id).collect();
        if servers != self.servers {
            self.servers = servers;
            self.events.push_back(Event::Servers);
        }
    }

    /// Says that this server is about to end: nobody is to come to it any more.
    pub fn leave(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_leaving, true) && self.is_up() {
            self.send(now, Request::Leave);
        }
    }

    /// Returns the other servers, and where each can be reached.
    pub fn servers(&self) -> &BTreeMap<ServerId, String> {
        &self.servers
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns what is to be written to the connection.
    pub fn poll_output(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.is_up() {
            self.give_up_names(now);
            self.renew(now);
        }
        (!self.output.is_empty()).then(|| std::mem::take(&mut self.output))
    }

    /// Takes note of an epoch that was seen elsewhere.
    pub fn note_epoch(&mut self, epoch: u64) {
        self.highest = self.highest.max(epoch.min(record::MAX_EPOCH));
    }

    fn send(&mut self, now: Instant, request: Request) {
        self.send_as(now, request, false);
    }

    fn send_as(&mut self, now: Instant, request: Request, is_full: bool) {
        request.encode(&mut self.output, &self.own, is_full);
        self.renewing += usize::from(matches!(request, Request::Hold { .. }));
        self.sent.push_back(Sent { what: What::Request(request), at: now, is_full });
    }

    fn set_up(&mut self, now: Instant, words: &[&[u8]]) {
        resp::encode(&mut self.output, words);
        self.sent.push_back(Sent { what: What::Setup, at: now, is_full: false });
    }
}

/// Returns why the directory refuses a command. What it says about the login may repeat the password.
fn refusal(error: &str, is_login: bool) -> String {
    let code = error.split(' ').next().unwrap_or_default();
    match code {
        "WRONGPASS" => "it does not take the user name and the password of the URL".to_owned(),
        "NOAUTH" => "it wants a password; put it into the URL, as in redis://:password@host:6379".to_owned(),
        "NOPERM" => "the user of the URL may not do what is needed; it needs the keys pinhole:*, the channel \
                     pinhole:changes, and the commands of docs/server.md"
            .to_owned(),
        "READONLY" => "it is a replica, which cannot be written to".to_owned(),
        _ if is_login => "it refuses the login or the database of the URL, or is no Redis 7 or Valkey".to_owned(),
        _ => {
            let shown = error.chars().filter(|c| !c.is_control()).take(MAX_SHOWN);
            format!("it says: {}", shown.collect::<String>())
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
