//! The control interface of a loop: where requests come in, and what goes out.
//!
//! What a request asks for is an [`Order`], and the side answers it (`run/side/orders.rs`). A control client costs the
//! loop a bounded amount of work and memory, and one that does not read is cut off: nothing here waits.

mod answers;
mod checking;
mod connection;
mod doors;
mod latest;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use log::debug;

pub(super) use self::answers::{done, encoded, json, text};
use self::checking::Checking;
use self::connection::{Connection, State};
use self::doors::{Door, name_of, nearest};
use self::latest::Latest;
use super::RunError;
use super::deadlines::Due;
use super::looks::WatcherId;
use super::notice::{ControlNotice, Listening};
use super::table::{Key, Table};
use super::token::Source;
use super::turn::Turn;
use crate::address::Target;
use crate::config::{AdminToken, ControlConfig};
use crate::control::{self, Order, Wanted};
use crate::http::Answer;
use crate::net::listener::Accepted;
use crate::net::stream::Stream;
use crate::net::system::{self, Interest};
use crate::status::event::Event;

/// Maximum number of connections of a door that do not follow events. Beyond it, one gives way, as `Patience` says.
const MAX_CONNECTIONS: usize = 64;

/// Maximum number of connections of a door that follow events.
const MAX_FOLLOWERS: usize = 32;

/// Maximum number of connections accepted in a turn.
const ACCEPTS_PER_TURN: usize = 16;

/// Time for a request to be complete.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Key of a connection.
pub(super) type ControlKey = Key<Connection>;

/// What a process says of itself.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) since: SystemTime,
}

/// The control interface of a loop.
pub(super) struct Control {
    pub(super) about: About,
    doors: Table<Door>,
    connections: Table<Connection>,
    /// What was asked for and is not answered.
    orders: VecDeque<(ControlKey, Order)>,
    checking: Checking,
    /// What was said last of what the run is doing.
    pub(super) latest: Latest,
    /// A token that was generated.
    token: Option<AdminToken>,
    /// The deadline that is set.
    due_at: Option<Instant>,
}

impl Control {
    pub(super) fn new() -> Control {
        Control {
            about: About { name: String::new(), since: system::time_of_day() },
            doors: Table::new(),
            connections: Table::new(),
            orders: VecDeque::new(),
            checking: Checking::default(),
            latest: Latest::default(),
            token: None,
            due_at: None,
        }
    }

    /// Listens where the settings say. That there is no socket ends nothing.
    ///
    /// # Errors
    /// The TCP address cannot be listened on.
    pub(super) fn open(&mut self, turn: &mut Turn, config: Option<&ControlConfig>) -> Result<(), RunError> {
        let Some(config) = config else { return Ok(()) };
        turn.tap.is_open = true;
        self.about.name = name_of(config);
        if let Some(address) = config.listen {
            let token = config.token.clone().unwrap_or_else(AdminToken::generate);
            self.token = config.token.is_none().then(|| token.clone());
            self.add_door(turn, Door::port(address, token)?)?;
            if !address.ip().to_canonical().is_loopback() {
                let message = format!(
                    "the token goes to {address} without TLS, and others on the network can read it: listen on 127.0.0.1, and \
                     come there through ssh or pinhole"
                );
                turn.warn("admin-listen", message);
            }
        }
        #[cfg(unix)]
        if let Some((door, name)) = doors::socket(turn, config) {
            self.about.name = name;
            self.add_door(turn, door)?;
        }
        Ok(())
    }

    fn add_door(&mut self, turn: &mut Turn, mut door: Door) -> Result<(), RunError> {
        let token = Source::Door(self.doors.next_key().slot()).token();
        turn.registry().register(&mut door.listener, token, Interest::READABLE)?;
        self.doors.insert(door);
        Ok(())
    }

    /// Returns the TCP address that is listened on.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.doors.iter().find_map(|(_, door)| door.listener.local_addr())
    }

    /// Reports where the page is.
    pub(super) fn announce(&mut self, turn: &mut Turn) {
        let Some(addr) = self.address() else { return };
        let token = self.token.take().map(|token| format!("#token={}", token.reveal())).unwrap_or_default();
        turn.report(&Event::Administration { addr, url: format!("http://{}/{token}", nearest(addr)) });
    }

    /// Handles a notice. What is asked for comes from [`Control::poll_order`].
    pub(super) fn handle(&mut self, turn: &mut Turn, notice: ControlNotice) {
        match notice {
            ControlNotice::Acceptable(Listening::All) => {
                let doors: Vec<Key<Door>> = self.doors.iter().map(|(key, _)| key).collect();
                doors.into_iter().for_each(|key| self.accept(turn, key));
            }
            ControlNotice::Acceptable(Listening::At(slot)) => {
                if let Some(key) = self.doors.at(slot) {
                    self.accept(turn, key);
                }
            }
            ControlNotice::Ready { slot, event } => {
                if let Some(key) = self.connections.at(slot) {
                    let connection = &mut self.connections[key];
                    connection.readiness.handle_event(&event);
                    connection.is_gone |= event.is_write_closed() || event.is_error();
                    self.work(turn, key);
                }
            }
            ControlNotice::Poll { connection } => {
                if let Some(key) = self.connections.find(connection) {
                    self.work(turn, key);
                }
            }
            ControlNotice::Due => self.handle_due(turn),
        }
        self.set_deadline(turn);
    }

    /// Returns the next thing that is asked for, and by whom. What nobody waits for any more is not worth the work,
    /// unless it is to end something.
    pub(super) fn poll_order(&mut self) -> Option<(ControlKey, Order)> {
        while let Some((key, order)) = self.orders.pop_front() {
            if order.is_end() || self.connections.get(key).is_some_and(|connection| !connection.is_gone) {
                return Some((key, order));
            }
        }
        None
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, turn: &mut Turn, key: ControlKey, answer: &Answer) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.answer(turn.now, answer);
            self.work(turn, key);
            self.set_deadline(turn);
        }
    }

    /// Has a request answered with the findings of a check, once it is done.
    pub(super) fn check(&mut self, turn: &mut Turn, key: ControlKey, stun: Vec<Target>) {
        if !self.checking.begin(key, stun, turn.waker()) {
            let busy = control::refusal(409, "a check is under way already; ask again when it is done");
            return self.answer(turn, key, &busy);
        }
        if let Some(connection) = self.connections.get_mut(key) {
            connection.await_check(turn.now);
        }
    }

    /// Answers whoever asked for a check that is done.
    pub(super) fn handle_woken(&mut self, turn: &mut Turn) {
        match self.checking.poll() {
            None => {}
            Some((key, findings)) if findings.is_empty() => {
                self.answer(turn, key, &control::refusal(500, "the check failed"));
            }
            Some((key, findings)) => {
                let findings = String::from_utf8_lossy(&findings).into_owned();
                self.answer(turn, key, &Answer::content(200, "application/x-ndjson", findings));
            }
        }
    }

    /// Has a request answered with events from now on. `first` comes before them.
    pub(super) fn begin_to_follow(
        &mut self,
        turn: &mut Turn,
        key: ControlKey,
        (interval, first): (Option<Duration>, Option<Bytes>),
    ) {
        let Some(door) = self.connections.get(key).map(|connection| connection.door) else { return };
        if self.of_door(door).filter(|(_, connection)| connection.is_following()).count() >= MAX_FOLLOWERS {
            let full = control::refusal(503, "as many follow events already as may; ask again when one has ended");
            return self.answer(turn, key, &full);
        }
        let Some(connection) = self.connections.get_mut(key) else { return };
        let watcher = interval.map(|interval| turn.looks.watch(turn.now, interval));
        if connection.follow(turn.now, watcher, first) {
            turn.tap.followers += 1;
        } else if let Some(watcher) = watcher {
            turn.looks.forget(watcher);
        }
        self.work(turn, key);
        self.set_deadline(turn);
    }

    /// Passes events on to those who follow them.
    pub(super) fn follow(&mut self, turn: &mut Turn) {
        let lines = turn.tap.take();
        if !lines.is_empty() {
            self.pass_on(turn, &lines, |_| true);
        }
    }

    /// Passes on to those who watch what the run is doing.
    pub(super) fn show(&mut self, turn: &mut Turn, line: &Bytes, due: &[WatcherId]) {
        // What was reported before comes first.
        self.follow(turn);
        let is_due = |watcher: Option<WatcherId>| watcher.is_some_and(|watcher| due.contains(&watcher));
        self.pass_on(turn, std::slice::from_ref(line), is_due);
    }

    fn pass_on(&mut self, turn: &mut Turn, lines: &[Bytes], wanted: impl Fn(Option<WatcherId>) -> bool) {
        let is_wanted = |connection: &Connection| match &connection.state {
            State::Following(follower) => wanted(follower.watcher),
            _ => false,
        };
        let keys: Vec<ControlKey> =
            self.connections.iter().filter(|(_, connection)| is_wanted(connection)).map(|(key, _)| key).collect();
        for key in keys {
            let is_up_to_date = lines.iter().all(|line| self.connections[key].push(turn.now, line));
            if is_up_to_date {
                self.work(turn, key);
            } else {
                debug!("a follower of events does not read them, and is cut off");
                self.drop_connection(turn, key);
            }
        }
        self.set_deadline(turn);
    }

    /// Ends what is left, at the end of the run.
    pub(super) fn close(&mut self, turn: &mut Turn) {
        self.follow(turn);
        let keys: Vec<ControlKey> = self.connections.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.work(turn, key);
            if let Some(connection) = self.remove(turn, key) {
                let _ = connection.stream.finish();
            }
        }
        for mut door in self.doors.drain() {
            turn.deregister(&mut door.listener);
        }
    }

    fn accept(&mut self, turn: &mut Turn, door: Key<Door>) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(entry) = self.doors.get(door) else { return };
            match entry.listener.accept() {
                Accepted::Connection(stream, _, _) => self.take_in(turn, door, stream),
                Accepted::Empty => return,
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    return turn.pause_accepting();
                }
                Accepted::Fatal(error) => {
                    turn.warn("control", format!("the control interface ends: {error}"));
                    if let Some(mut entry) = self.doors.remove(door) {
                        turn.deregister(&mut entry.listener);
                    }
                    return;
                }
            }
        }
        turn.tell(ControlNotice::Acceptable(Listening::At(door.slot())));
    }

    fn take_in(&mut self, turn: &mut Turn, door: Key<Door>, mut stream: Stream) {
        let others = self.of_door(door).filter(|(_, connection)| !connection.is_following());
        if others.count() >= MAX_CONNECTIONS {
            let giving = self.of_door(door).filter_map(|(key, connection)| Some((connection.patience()?, key)));
            match giving.min() {
                Some((_, oldest)) => self.drop_connection(turn, oldest),
                None => return debug!("there are as many control connections as there may be"),
            }
        }
        let token = Source::Control(self.connections.next_key().slot()).token();
        if let Err(error) = turn.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE) {
            return debug!("a control connection cannot be served: {error}");
        }
        let key = self.connections.insert(Connection::new(stream, door, turn.now + REQUEST_TIMEOUT));
        self.work(turn, key);
    }

    /// Returns the connections that came in by a door.
    fn of_door(&self, door: Key<Door>) -> impl Iterator<Item = (ControlKey, &Connection)> {
        self.connections.iter().filter(move |(_, connection)| connection.door == door)
    }

    /// Does what a connection lets be done.
    fn work(&mut self, turn: &mut Turn, key: ControlKey) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if connection.is_reading()
            && let Some(request) = connection.read(turn.now)
        {
            let door = self.doors.get(connection.door);
            match door.map(|door| control::understand(&door.door, &request)) {
                Some(Wanted::Order(order)) => {
                    connection.wait(request.is_head());
                    self.orders.push_back((key, order));
                }
                Some(Wanted::Answer(answer)) => {
                    connection.wait(request.is_head());
                    connection.answer(turn.now, &answer);
                }
                None => connection.is_gone = true,
            }
        }
        match connection.go_on(turn.now) {
            Ok(true) => turn.tell(ControlNotice::Poll { connection: key.mark() }),
            Ok(false) if !connection.is_over() => {}
            Ok(false) | Err(_) => self.drop_connection(turn, key),
        }
    }

    fn handle_due(&mut self, turn: &mut Turn) {
        self.due_at = self.due_at.filter(|at| *at > turn.now);
        let late = self.connections.iter().filter(|(_, connection)| connection.due_at() <= turn.now);
        let late: Vec<ControlKey> = late.map(|(key, _)| key).collect();
        for key in late {
            match self.connections[key].handle_due(turn.now) {
                true => self.work(turn, key),
                false => self.drop_connection(turn, key),
            }
        }
    }

    /// Sets a deadline for the connection that is due first, if none before is set.
    fn set_deadline(&mut self, turn: &mut Turn) {
        let next = self.connections.iter().map(|(_, connection)| connection.due_at()).min();
        if let Some(at) = next
            && self.due_at.is_none_or(|due_at| at < due_at)
        {
            self.due_at = Some(at);
            turn.deadlines.add(at, Due::Control);
        }
    }

    fn drop_connection(&mut self, turn: &mut Turn, key: ControlKey) {
        drop(self.remove(turn, key));
    }

    fn remove(&mut self, turn: &mut Turn, key: ControlKey) -> Option<Connection> {
        let mut connection = self.connections.remove(key)?;
        if let State::Following(follower) = &connection.state {
            turn.tap.followers = turn.tap.followers.saturating_sub(1);
            if let Some(watcher) = follower.watcher {
                turn.looks.forget(watcher);
            }
        }
        turn.deregister(&mut connection.stream);
        Some(connection)
    }
}
