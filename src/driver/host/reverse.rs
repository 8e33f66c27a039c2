//! Reverse forwards: what a client asks this side to listen on, if `--allow-reverse` has it. Connections made there go to the
//! client, which dials its own target.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use log::debug;
use mio::Interest;

use super::Host;
use crate::config::Bind;
use crate::driver::connections::Incoming;
use crate::driver::core::Notice;
use crate::driver::flows::UdpListener;
use crate::driver::sessions::{Scope, SessionKey};
use crate::driver::token::Source;
use crate::net::listener::{Accepted, Listener};
use crate::status::event::Event;
use crate::tunnel::ConnectTarget;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// The signaling port is the first listener; those of clients follow.
const FIRST: usize = 1;

/// A listener that belongs to a client.
pub(super) struct ReverseListener {
    session: SessionKey,
    id: u16,
    /// Where, as it was asked for.
    bind: Bind,
    socket: Socket,
}

enum Socket {
    Streams(Listener),
    /// The place of a UDP listener in the loop's table.
    Datagrams(usize),
}

impl Host {
    /// A client wants us to listen.
    pub(super) fn handle_listen(&mut self, session: SessionKey, id: u16, text: &str) {
        let Some(entry) = self.core.session(session) else { return };
        let result = match entry.scope {
            Scope::Peer => self.listen_for(session, id, text),
            Scope::Server => Err("servers are not listened for".to_owned()),
        };
        let Some(entry) = self.core.session(session) else { return };
        let name = entry.name.clone();
        match &result {
            Ok(bound) => entry.session.mux().listened(id, Ok(bound)),
            Err(reason) => entry.session.mux().listened(id, Err(reason)),
        }
        self.core.touch(session.index);
        match result {
            Ok(local) => self.core.report(&Event::ReverseForwarding { session: name, local, target: String::new() }),
            Err(reason) => self.core.warn("denied", format!("session {name} asked us to listen on {text}: {reason}")),
        }
    }

    fn listen_for(&mut self, session: SessionKey, id: u16, text: &str) -> Result<String, String> {
        let bind: Bind = text.parse().map_err(|error| format!("{error}"))?;
        let bind = self
            .config
            .allow_reverse
            .check(&bind)
            .map_err(|_| "no --allow-reverse rule of the host has it".to_owned())?;
        self.check_both_families(&bind)?;
        self.make_way(&bind)?;
        let entry = self.reverse.vacant_entry();
        let token = Source::Listener(FIRST + entry.key()).token();
        let (socket, bound) = match &bind {
            Bind::Udp(address) => {
                let listener = UdpListener::bind(*address).and_then(|listener| self.core.add_listener(listener));
                let (index, bound) = listener.map_err(|error| error.to_string())?;
                (Socket::Datagrams(index), format!("udp:{bound}"))
            }
            Bind::Tcp(_) | Bind::Unix(_) => {
                let mut listener = match &bind {
                    #[cfg(unix)]
                    Bind::Unix(path) => Listener::unix(path),
                    #[cfg(not(unix))]
                    Bind::Unix(_) => return Err("the host's system has no unix sockets".to_owned()),
                    Bind::Tcp(address) | Bind::Udp(address) => Listener::tcp(*address),
                }
                .map_err(|error| error.to_string())?;
                self.core
                    .poll
                    .registry()
                    .register(&mut listener, token, Interest::READABLE)
                    .map_err(|error| error.to_string())?;
                let bound = listener.local_addr().map_or_else(|| bind.to_string(), |address| address.to_string());
                (Socket::Streams(listener), bound)
            }
        };
        entry.insert(ReverseListener { session, id, bind, socket });
        Ok(bound)
    }

    /// A socket at `[::]` takes IPv4 too, so that has to be allowed as well.
    fn check_both_families(&self, bind: &Bind) -> Result<(), String> {
        let (Bind::Tcp(address) | Bind::Udp(address)) = bind else { return Ok(()) };
        if address.ip() != Ipv6Addr::UNSPECIFIED {
            return Ok(());
        }
        let both = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let both = if matches!(bind, Bind::Tcp(_)) { Bind::Tcp(both) } else { Bind::Udp(both) };
        let checked = self.config.allow_reverse.check(&both);
        checked.map(drop).map_err(|_| format!("it would take IPv4 too, and no --allow-reverse rule has {both}"))
    }

    /// Closes what listens there for a client that is away: the one that asks now may be the same, started again.
    fn make_way(&mut self, bind: &Bind) -> Result<(), String> {
        if matches!(bind, Bind::Tcp(address) | Bind::Udp(address) if address.port() == 0) {
            return Ok(());
        }
        let Some((index, entry)) = self.reverse.iter().find(|(_, entry)| entry.bind == *bind) else { return Ok(()) };
        let session = self.core.session(entry.session);
        if session.is_some_and(|entry| entry.session.recovering_since().is_none()) {
            return Err("the host listens there for a client already".to_owned());
        }
        self.core.warn("reverse-moved", format!("connections to {bind} go to another client from now on"));
        self.close_listener(index);
        Ok(())
    }

    fn close_listener(&mut self, index: usize) {
        match self.reverse.remove(index).socket {
            Socket::Datagrams(listener) => self.core.close_listener(listener),
            Socket::Streams(mut listener) => {
                if let Err(error) = self.core.poll.registry().deregister(&mut listener) {
                    debug!("deregister error={error}");
                }
            }
        }
    }

    /// Takes connections for clients; `None` looks at every listener.
    pub(super) fn accept_reverse(&mut self, index: Option<usize>) {
        let indices: Vec<usize> = match index {
            Some(index) => index.checked_sub(FIRST).into_iter().collect(),
            None => self.reverse.iter().map(|(index, _)| index).collect(),
        };
        for index in indices {
            for count in 0.. {
                let Some(ReverseListener { session, id, socket: Socket::Streams(listener), .. }) =
                    self.reverse.get(index)
                else {
                    break;
                };
                if count == ACCEPTS_PER_TURN {
                    self.core.notices.push_back(Notice::Acceptable { index: Some(FIRST + index) });
                    break;
                }
                match listener.accept() {
                    Accepted::Connection(stream, name, ends) => {
                        let (session, target) = (*session, ConnectTarget::Reverse(*id));
                        match self.core.session(session) {
                            Some(_) => {
                                let incoming = Incoming { stream, name, ends };
                                self.core.open_stream(session.index, incoming, &target);
                            }
                            None => stream.reset(),
                        }
                    }
                    Accepted::Empty => break,
                    Accepted::Exhausted(error) => {
                        debug!("accept paused: {error}");
                        return self.core.pause_accepting();
                    }
                    Accepted::Fatal(error) => {
                        debug!("a reverse forward is of no use any more: {error}");
                        break;
                    }
                }
            }
        }
    }

    /// Takes datagrams for clients.
    pub(super) fn receive_reverse(&mut self, listener: usize) {
        let mut reverse = self.reverse.iter();
        let found = reverse.find(|(_, entry)| matches!(entry.socket, Socket::Datagrams(index) if index == listener));
        let Some((session, id)) = found.map(|(_, entry)| (entry.session, entry.id)) else { return };
        let target = ConnectTarget::Reverse(id);
        let wanted = self.core.session(session).is_some().then_some((session.index, Some(&target)));
        self.core.receive_from_programs(listener, wanted);
    }

    /// Closes the listeners of a session that is gone.
    pub(super) fn close_reverse(&mut self, session: SessionKey) {
        let own = self.reverse.iter().filter(|(_, entry)| entry.session == session);
        for index in own.map(|(index, _)| index).collect::<Vec<_>>() {
            self.close_listener(index);
        }
    }
}
