//! Reverse forwards: what a client asks this side to listen on, if `--allow-reverse` has it. Connections made there go to the
//! client, which dials its own target.

use log::debug;
use mio::Interest;

use super::Host;
use crate::config::Bind;
use crate::driver::connections::Incoming;
use crate::driver::core::Notice;
use crate::driver::flows::UdpListener;
use crate::driver::sessions::SessionKey;
use crate::driver::token::Source;
use crate::net::listener::{Accepted, Listener};
use crate::status::event::Event;
use crate::tunnel::ConnectTarget;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Listeners that all clients together may have.
const MAX_LISTENERS: usize = 1024;

/// The signaling port is the first listener; those of clients follow.
const FIRST: usize = 1;

/// A listener that belongs to a client.
pub(super) struct ReverseListener {
    session: SessionKey,
    id: u16,
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
        let result = self.listen_for(session, id, text);
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
        if self.reverse.len() >= MAX_LISTENERS {
            return Err("the host listens on too many ports already".to_owned());
        }
        let bind: Bind = text.parse().map_err(|error| format!("{error}"))?;
        let bind = self
            .config
            .allow_reverse
            .check(&bind)
            .map_err(|_| "no --allow-reverse rule of the host has it".to_owned())?;
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
        entry.insert(ReverseListener { session, id, socket });
        Ok(bound)
    }

    /// Takes connections for clients; `None` looks at every listener.
    pub(super) fn accept_reverse(&mut self, index: Option<usize>) {
        let indices: Vec<usize> = match index {
            Some(index) => index.checked_sub(FIRST).into_iter().collect(),
            None => self.reverse.iter().map(|(index, _)| index).collect(),
        };
        for index in indices {
            for count in 0.. {
                let Some(ReverseListener { session, id, socket: Socket::Streams(listener) }) = self.reverse.get(index)
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
            match self.reverse.remove(index).socket {
                Socket::Datagrams(listener) => self.core.close_listener(listener),
                Socket::Streams(mut listener) => {
                    if let Err(error) = self.core.poll.registry().deregister(&mut listener) {
                        debug!("deregister error={error}");
                    }
                }
            }
        }
    }
}
