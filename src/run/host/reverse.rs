//! Reverse forwards: a client asks this side to listen, and `--allow-reverse` decides. Connections to such a listener
//! go to the client, which dials its own target.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use log::debug;

use super::Host;
use crate::address::{Bind, ListenAddress};
use crate::config::ReverseAccess;
use crate::net::listen::Second;
use crate::net::listener::{Accepted, Listener};
use crate::net::system::Interest;
use crate::run::connections::Incoming;
use crate::run::flows::UdpListener;
use crate::run::keys::{Scope, SessionKey, UdpListenerKey};
use crate::run::notice::{Listening, Notice};
use crate::run::table::Key;
use crate::run::token::Source;
use crate::status::event::Event;
use crate::tunnel::ConnectTarget;

/// Maximum number of connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Key of a listener for a client.
pub(super) type ReverseKey = Key<ReverseListener>;

/// A listener for a client.
pub(super) struct ReverseListener {
    session: SessionKey,
    id: u16,
    /// Where it listens, as the client asked.
    bind: Bind,
    socket: Socket,
}

impl ReverseListener {
    /// Returns for whom it listens.
    pub(super) fn session(&self) -> SessionKey {
        self.session
    }

    /// Returns where it listens.
    pub(super) fn bind(&self) -> &Bind {
        &self.bind
    }
}

enum Socket {
    Streams(Listener),
    Datagrams(UdpListenerKey),
}

impl Host {
    /// Handles a client's request to listen.
    pub(super) fn handle_listen(&mut self, session: SessionKey, id: u16, text: &str) {
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let result = match entry.scope {
            Scope::Peer => self.listen_for(session, id, text),
            #[cfg(feature = "server")]
            Scope::Link => Err("a server cannot ask for this".to_owned()),
            Scope::Server => Err("a server cannot ask for this".to_owned()),
        };
        let Some(entry) = self.core.sessions.get_mut(session) else { return };
        let name = entry.name.clone();
        match &result {
            Ok(bound) => entry.session.mux().listened(id, Ok(bound)),
            Err(reason) => entry.session.mux().listened(id, Err(reason)),
        }
        self.core.sessions.touch(session);
        match result {
            Ok(local) => {
                self.core.turn.report(&Event::ReverseForwarding { session: name, local, target: String::new() })
            }
            Err(reason) => {
                self.core.turn.warn("denied", format!("session {name} asked us to listen on {text}: {reason}"))
            }
        }
    }

    fn listen_for(&mut self, session: SessionKey, id: u16, text: &str) -> Result<String, String> {
        let bind: Bind = text.parse().map_err(|error| format!("{error}"))?;
        let bind = self.access_of(session).check(&bind).map_err(|_| self.no_rule(session).to_owned())?;
        self.check_both_families(session, &bind)?;
        self.make_way(&bind)?;
        let failed = |error: &dyn std::error::Error| error.to_string();
        match &bind {
            Bind::Udp(address) => {
                let (first, bound, second) = UdpListener::take_both(*address).map_err(|error| failed(&error))?;
                for listener in [Some(first), self.second(second)].into_iter().flatten() {
                    let key = self.core.add_listener(listener).map_err(|error| failed(&error))?;
                    self.reverse.insert(ReverseListener {
                        session,
                        id,
                        bind: bind.clone(),
                        socket: Socket::Datagrams(key),
                    });
                }
                Ok(format!("udp:{bound}"))
            }
            Bind::Tcp(address) => {
                let (first, bound, second) =
                    Listener::take_both(address.addresses()).map_err(|error| failed(&error))?;
                for listener in [Some(first), self.second(second)].into_iter().flatten() {
                    self.add_reverse(session, id, &bind, listener).map_err(|error| failed(&error))?;
                }
                Ok(bound.to_string())
            }
            #[cfg(unix)]
            Bind::Unix(path) => {
                let listener = Listener::unix(path).map_err(|error| failed(&error))?;
                self.add_reverse(session, id, &bind, listener).map_err(|error| failed(&error))?;
                Ok(bind.to_string())
            }
            #[cfg(not(unix))]
            Bind::Unix(_) => Err("the host's system has no unix sockets".to_owned()),
        }
    }

    fn add_reverse(&mut self, session: SessionKey, id: u16, bind: &Bind, mut listener: Listener) -> io::Result<()> {
        let token = Source::Listener(self.reverse.next_key().slot()).token();
        self.core.turn.registry().register(&mut listener, token, Interest::READABLE)?;
        self.reverse.insert(ReverseListener { session, id, bind: bind.clone(), socket: Socket::Streams(listener) });
        Ok(())
    }

    /// Returns the second address of a port, if it was bound; warns if another program has it.
    fn second<T>(&mut self, second: Second<T>) -> Option<T> {
        match second {
            Second::Taken(second) => Some(second),
            Second::Absent => None,
            Second::InUse(addr) => {
                let message = format!(
                    "another program has {addr}: a connection to localhost:{} may reach it, and not a client's forward",
                    addr.port()
                );
                self.core.turn.warn("port-shared", message);
                None
            }
        }
    }

    /// Returns the addresses that the client of a session may name.
    pub(super) fn access_of(&self, session: SessionKey) -> &ReverseAccess {
        let rights = self.core.sessions.get(session).and_then(|entry| entry.rights.as_deref());
        rights.map_or(&self.config.allow_reverse, |rights| &rights.reverse)
    }

    /// Says why an address is not listened on for the client of a session.
    fn no_rule(&self, session: SessionKey) -> &'static str {
        match self.core.sessions.get(session).is_some_and(|entry| entry.rights.is_some()) {
            true => "the invitation does not have it",
            false => "no --allow-reverse rule of the host has it",
        }
    }

    /// Checks that a socket at `[::]` may take IPv4, too.
    fn check_both_families(&self, session: SessionKey, bind: &Bind) -> Result<(), String> {
        let (Bind::Tcp(ListenAddress::One(address)) | Bind::Udp(ListenAddress::One(address))) = bind else {
            return Ok(());
        };
        if address.ip() != Ipv6Addr::UNSPECIFIED {
            return Ok(());
        }
        let both = ListenAddress::One((Ipv4Addr::UNSPECIFIED, address.port()).into());
        let both = if matches!(bind, Bind::Tcp(_)) { Bind::Tcp(both) } else { Bind::Udp(both) };
        let checked = self.access_of(session).check(&both);
        checked.map(drop).map_err(|_| format!("it would take IPv4 too, and no rule of the host has {both}"))
    }

    /// Closes a listener there whose client has no path: the client that asks now may be the same, restarted.
    fn make_way(&mut self, bind: &Bind) -> Result<(), String> {
        if matches!(bind, Bind::Tcp(address) | Bind::Udp(address) if address.port() == 0) {
            return Ok(());
        }
        let same = self.reverse.iter().filter(|(_, entry)| entry.bind == *bind);
        let same: Vec<(ReverseKey, SessionKey)> = same.map(|(key, entry)| (key, entry.session)).collect();
        let Some((_, session)) = same.first() else { return Ok(()) };
        let session = self.core.sessions.get_mut(*session);
        if session.is_some_and(|entry| entry.session.recovering_since().is_none()) {
            return Err("the host already listens there for a client".to_owned());
        }
        self.core.turn.warn("reverse-moved", format!("connections to {bind} go to another client from now on"));
        same.into_iter().for_each(|(key, _)| self.close_listener(key));
        Ok(())
    }

    pub(super) fn close_listener(&mut self, key: ReverseKey) {
        let Some(listener) = self.reverse.remove(key) else { return };
        match listener.socket {
            Socket::Datagrams(listener) => self.core.close_listener(listener),
            Socket::Streams(mut listener) => {
                self.core.turn.deregister(&mut listener);
            }
        }
    }

    /// Accepts connections for clients at every listener.
    pub(super) fn accept_all_reverse(&mut self) {
        let all: Vec<ReverseKey> = self.reverse.iter().map(|(key, _)| key).collect();
        all.into_iter().for_each(|key| self.accept_reverse(key));
    }

    /// Accepts connections for clients.
    pub(super) fn accept_reverse(&mut self, key: ReverseKey) {
        for count in 0.. {
            let Some(ReverseListener { session, id, socket: Socket::Streams(listener), .. }) = self.reverse.get(key)
            else {
                break;
            };
            if count == ACCEPTS_PER_TURN {
                self.core.turn.tell(Notice::Acceptable(Listening::At(key.slot())));
                break;
            }
            match listener.accept() {
                Accepted::Connection(stream, name, ends) => {
                    let (session, target) = (*session, ConnectTarget::Reverse(*id));
                    match self.core.sessions.get_mut(session) {
                        Some(_) => {
                            let incoming = Incoming { stream, name, ends };
                            self.core.open_stream(session, incoming, &target);
                        }
                        None => stream.reset(),
                    }
                }
                Accepted::Empty => break,
                Accepted::Exhausted(error) => {
                    debug!("accept paused: {error}");
                    return self.core.turn.pause_accepting();
                }
                Accepted::Fatal(error) => {
                    debug!("a reverse forward is of no use any more: {error}");
                    break;
                }
            }
        }
    }

    /// Handles datagrams for clients.
    pub(super) fn receive_reverse(&mut self, listener: UdpListenerKey) {
        let mut reverse = self.reverse.iter();
        let found = reverse.find(|(_, entry)| matches!(entry.socket, Socket::Datagrams(key) if key == listener));
        let Some((session, id)) = found.map(|(_, entry)| (entry.session, entry.id)) else { return };
        let target = ConnectTarget::Reverse(id);
        let wanted = self.core.sessions.get_mut(session).is_some().then_some((session, Some(&target)));
        self.core.receive_from_programs(listener, wanted);
    }

    /// Closes the listeners of a session that is gone.
    pub(super) fn close_reverse(&mut self, session: SessionKey) {
        let own = self.reverse.iter().filter(|(_, entry)| entry.session == session);
        for key in own.map(|(key, _)| key).collect::<Vec<_>>() {
            self.close_listener(key);
        }
    }
}
