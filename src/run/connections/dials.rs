//! The dials in progress: their sockets, and the addresses they try. Some wait for a descriptor.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::course::{Course, Overtake, Retry, Step};
use crate::address::{Endpoint, Protocol, Target};
use crate::net::interfaces::is_own_address;
use crate::net::listener::Ends;
use crate::net::resolver::Lookup;
use crate::net::stream::{Attempt, Stream};
use crate::net::system::{self, Interest};
use crate::run::deadlines::{DialDue, Due};
use crate::run::dialer::{Waiter, Wanted, asker};
use crate::run::keys::{ConnectionKey, SessionKey};
use crate::run::shared::Shared;
use crate::run::token::Source;
use crate::run::trails::Trails;
use crate::tunnel::{AbortReason, Hop, Trail};

/// Time for a target to answer, including the name look-up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The result of a dial.
pub(super) enum Outcome {
    /// A connection, its names, and an error if it takes nothing more.
    Made(Stream, Vec<Hop>, Option<io::Error>),
    /// No address of the requested host may be dialled; the text is for people on this side.
    Denied(String),
    /// No connection, and why.
    Failed(AbortReason, String),
}

impl Outcome {
    pub(super) fn failed(error: &io::Error) -> Outcome {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => AbortReason::Refused,
            io::ErrorKind::TimedOut => AbortReason::Timeout,
            io::ErrorKind::PermissionDenied => AbortReason::Denied,
            _ => AbortReason::Unreachable,
        };
        Outcome::Failed(reason, error.to_string())
    }

    fn unreachable(detail: &str) -> Outcome {
        Outcome::Failed(AbortReason::Unreachable, detail.to_owned())
    }
}

/// The dials in progress.
#[derive(Default)]
pub(super) struct Dials {
    table: HashMap<ConnectionKey, Dial>,
    retry: Retry,
}

struct Dial {
    course: Course<Stream>,
    origin: Origin,
    /// The session whose peer it is for.
    session: SessionKey,
    /// The host that the peer named, whose addresses must be checked; `None` for a service.
    named: Option<Target>,
}

/// Record of a dial, to recognise dials that come back because of it.
struct Origin {
    target: String,
    /// The connections that led to it.
    trail: Trail,
    /// Its names in trails.
    hops: Vec<Hop>,
}

impl Origin {
    fn remember(&mut self, trails: &mut Trails, ends: &Ends) {
        self.hops = trails.add(Protocol::Tcp, ends, &self.target, &self.trail);
    }
}

impl Dials {
    /// Begins to dial a target. Returns the result if it is known at once, as the other functions do.
    pub(super) fn begin(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        wanted: Wanted,
    ) -> Option<Outcome> {
        let target = wanted.target();
        let Wanted { session, endpoint, is_named, trail, .. } = wanted;
        let origin = Origin { target, trail, hops: Vec::new() };
        let dial = Dial { course: Course::new(), origin, session, named: None };
        let dial = self.table.entry(connection).insert_entry(dial).into_mut();
        shared.turn.set(DIAL_TIMEOUT, Due::Dial(DialDue::Timeout(connection)));
        match endpoint {
            Endpoint::Tcp(address) => {
                let (asker, waiter) = (asker(session, is_named), Waiter::Connection(connection));
                let lookup = shared.resolver.resolve(asker, waiter, &address.host, address.port);
                dial.named = is_named.then_some(address);
                match lookup {
                    Ok(Lookup::Ready(addresses)) => self.handle_addresses(shared, connection, &addresses),
                    Ok(Lookup::Pending) => None,
                    Err(error) => Some(Outcome::unreachable(&error.to_string())),
                }
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => match system::UnixStream::connect(&path) {
                Ok(stream) => {
                    dial.origin.remember(shared.trails, &Ends::of_file(&path));
                    dial.course.try_only(Stream::Unix(stream));
                    self.follow(shared, connection, Step::Trying(None))
                }
                Err(error) => Some(Outcome::failed(&error)),
            },
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Some(Outcome::unreachable("this system has no unix sockets")),
            Endpoint::Udp(_) => {
                Some(Outcome::Failed(AbortReason::UnknownService, "it is no service of streams".to_owned()))
            }
        }
    }

    /// Handles the resolver's answer.
    pub(super) fn handle_lookup(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        answer: Result<Vec<SocketAddr>, String>,
    ) -> Option<Outcome> {
        match answer {
            _ if !self.table.contains_key(&connection) => None,
            Ok(addresses) => self.handle_addresses(shared, connection, &addresses),
            Err(error) => Some(Outcome::unreachable(&error)),
        }
    }

    /// Dials those addresses of a target that may be dialled: exactly the checked ones, whatever the name means a
    /// moment later.
    fn handle_addresses(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        addresses: &[SocketAddr],
    ) -> Option<Outcome> {
        let Dial { course, origin, session, named } = self.table.get_mut(&connection)?;
        let access = shared.access(*session)?;
        let mut denied = None;
        let mut is_allowed = |address: &SocketAddr| {
            let Some(named) = &named else { return true };
            let checked = access.check_address(Protocol::Tcp, &named.host, address.ip(), named.port, is_own_address);
            checked.map_err(|error| denied = Some(format!("{named}: {error}"))).is_ok()
        };
        let allowed: VecDeque<SocketAddr> = addresses.iter().copied().filter(|address| is_allowed(address)).collect();
        if let Some(denied) = denied
            && allowed.is_empty()
        {
            return Some(Outcome::Denied(denied));
        }
        let step = course.resolved(shared.turn.now, allowed, |address| connect(origin, shared.trails, address));
        self.follow(shared, connection, step)
    }

    /// Handles an event of a dial's socket.
    pub(super) fn handle_event(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey) -> Option<Outcome> {
        let dial = self.table.get_mut(&connection)?;
        let error = match dial.course.socket()?.attempt() {
            Ok(Attempt::Connected) => return self.made(connection, None),
            Ok(Attempt::Reset(error)) => return self.made(connection, Some(error)),
            Ok(Attempt::Pending) => return None,
            Err(error) => error,
        };
        let socket = dial.course.failed(error);
        self.drop_socket(shared, connection, socket);
        self.advance(shared, connection)
    }

    /// Handles a deadline of a dial.
    pub(super) fn handle_due(
        &mut self,
        shared: &mut Shared<'_>,
        connection: ConnectionKey,
        due: DialDue,
    ) -> Option<Outcome> {
        let dial = self.table.get_mut(&connection)?;
        match due {
            DialDue::Timeout(_) => Some(Outcome::Failed(AbortReason::Timeout, "no answer within 10 s".to_owned())),
            DialDue::Attempt { left, .. } => {
                let socket = Some(dial.course.skip(left)?);
                self.drop_socket(shared, connection, socket);
                self.advance(shared, connection)
            }
            DialDue::Retry(_) if dial.course.is_starved() => self.advance(shared, connection),
            DialDue::Retry(_) => None,
        }
    }

    /// Gives up a dial, if there is one.
    pub(super) fn forget(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey) {
        let Some(Dial { mut course, origin, .. }) = self.table.remove(&connection) else { return };
        shared.trails.remove(&origin.hops);
        if course.is_resolving() {
            shared.resolver.forget(Waiter::Connection(connection));
        }
        if let Some(mut socket) = course.take_socket() {
            shared.turn.deregister(&mut socket);
        }
    }

    fn advance(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey) -> Option<Outcome> {
        let Dial { course, origin, .. } = self.table.get_mut(&connection)?;
        let step = course.advance(shared.turn.now, |address| connect(origin, shared.trails, address));
        self.follow(shared, connection, step)
    }

    /// Carries out the next step of a dial.
    fn follow(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, step: Step) -> Option<Outcome> {
        match step {
            Step::Trying(overtake) => {
                let socket = self.table.get_mut(&connection)?.course.socket()?;
                let token = Source::Connection(connection.slot()).token();
                let interest = Interest::READABLE | Interest::WRITABLE;
                if let Err(error) = shared.turn.registry().register(socket, token, interest) {
                    return Some(Outcome::failed(&error));
                }
                if let Some(Overtake { at, left }) = overtake {
                    shared.turn.deadlines.add(at, Due::Dial(DialDue::Attempt { connection, left }));
                }
                None
            }
            Step::Starved => {
                let at = self.retry.after(shared.turn.now);
                shared.turn.deadlines.add(at, Due::Dial(DialDue::Retry(connection)));
                None
            }
            Step::Failed(error) => Some(Outcome::failed(&error)),
        }
    }

    /// Ends a dial with its connection.
    fn made(&mut self, connection: ConnectionKey, failure: Option<io::Error>) -> Option<Outcome> {
        let Dial { mut course, origin, .. } = self.table.remove(&connection)?;
        Some(Outcome::Made(course.take_socket()?, origin.hops, failure))
    }

    /// Gives up the socket of an address that is no longer tried.
    fn drop_socket(&mut self, shared: &mut Shared<'_>, connection: ConnectionKey, socket: Option<Stream>) {
        if let Some(dial) = self.table.get_mut(&connection) {
            shared.trails.remove(&std::mem::take(&mut dial.origin.hops));
        }
        socket.into_iter().for_each(|mut socket| shared.turn.deregister(&mut socket));
    }
}

fn connect(origin: &mut Origin, trails: &mut Trails, address: SocketAddr) -> io::Result<Stream> {
    let stream = system::TcpStream::connect(address)?;
    // The connection may be accepted before the loop notices.
    if let Ok(local) = stream.local_addr() {
        origin.remember(trails, &Ends::Ports { local, remote: address });
    }
    Ok(Stream::Tcp(stream))
}
