//! The `-D` port: local programs name their destinations by SOCKS5 or HTTP CONNECT, or send plain HTTP requests
//! ([`requests`]).

mod requests;

use std::io::{self, Read as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use log::info;

use super::Client;
use crate::address::Target;
use crate::net::listener::Ends;
use crate::net::system::Interest;
use crate::run::connections::{Asker, Incoming, answer, answer_and_end};
use crate::run::deadlines::{ClientDue, Due};
use crate::run::flows::UdpListener;
use crate::run::keys::UdpListenerKey;
use crate::run::notice::ClientNotice;
use crate::run::table::{Key, Mark};
use crate::run::token;
use crate::shares::Source;
use crate::socks::{Negotiation, Refusal, Request};
use crate::tunnel::{AbortReason, ConnectTarget};

/// How long a program may negotiate.
const NEGOTIATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of programs that negotiate at a time.
const MAX_NEGOTIATIONS: usize = 1024;

/// Maximum number of programs whose datagrams are relayed.
const MAX_RELAYS: usize = 256;

/// Bytes read at once. Data after a program's request then fits into one message.
const PIECE: usize = 8 * 1024;

pub(super) use requests::Programs;
use requests::RequestsKey;

/// A program that may have to wait before its login is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    Negotiation(NegotiationKey),
    Requests(RequestsKey),
}

/// Key of a program that negotiates with the proxy.
pub(super) type NegotiationKey = Key<Negotiating>;

/// A program that negotiates, or whose datagrams are relayed for as long as its connection lasts.
pub(super) struct Negotiating {
    incoming: Incoming,
    negotiation: Negotiation,
    /// It may log in now; others wait for their turn.
    has_turn: bool,
    /// The UDP listener for its datagrams.
    relay: Option<UdpListenerKey>,
}

impl Client {
    /// Begins to negotiate with a program.
    pub(super) fn negotiate(&mut self, mut incoming: Incoming) {
        if self.negotiations.len() >= MAX_NEGOTIATIONS {
            return incoming.stream.reset();
        }
        let token = token::Source::Negotiation(self.negotiations.next_key().slot()).token();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.core.turn.registry().register(&mut incoming.stream, token, interest) {
            info!("a program cannot be served: {error}");
            return incoming.stream.reset();
        }
        let negotiation = Negotiation::new(self.config.credentials.clone());
        let key = self.negotiations.insert(Negotiating { incoming, negotiation, has_turn: false, relay: None });
        self.core.turn.set(NEGOTIATION_TIMEOUT, Due::Client(ClientDue::Negotiation(key.mark())));
    }

    /// Ends a program's negotiation that took too long.
    pub(super) fn handle_negotiation_due(&mut self, program: Mark) {
        if let Some(key) = self.negotiations.find(program)
            && self.negotiations[key].relay.is_none()
            && let Some(entry) = self.end_negotiation(key)
        {
            entry.incoming.stream.reset();
        }
    }

    /// Reads from a program, until it has to wait or its request is complete.
    pub(super) fn handle_negotiation(&mut self, key: NegotiationKey) {
        let mut piece = [0; PIECE];
        loop {
            if self.waits_for_login(key) {
                return;
            }
            let Some(entry) = self.negotiations.get_mut(key) else { return };
            let len = match entry.incoming.stream.read(&mut piece) {
                Ok(len) if len > 0 => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                _ => return self.close_negotiation(key),
            };
            // After a UDP ASSOCIATE nothing follows; further bytes must not keep the loop busy.
            if entry.relay.is_some() {
                return self.core.turn.tell(ClientNotice::Negotiation { slot: key.slot() });
            }
            let taken = entry.negotiation.handle_bytes(&piece[..len]);
            let is_heard = answer(&mut entry.incoming.stream, &mut entry.negotiation);
            let request = entry.negotiation.poll_request();
            match (taken, request) {
                (Ok(taken), Some(request)) => return self.serve(key, request, &piece[taken..len]),
                (Ok(_), None) if is_heard => {}
                (Err(refusal), _) => {
                    let Some(mut entry) = self.end_negotiation(key) else { return };
                    let Incoming { name, ends, .. } = &entry.incoming;
                    self.note_refused(name, source(ends), refusal);
                    return answer_and_end(entry.incoming.stream, &mut entry.negotiation);
                }
                (Ok(_), None) => return self.close_negotiation(key),
            }
        }
    }

    /// Tells whether a program has to wait before its bytes are read: they may contain a login, and earlier ones were
    /// wrong.
    fn waits_for_login(&mut self, key: NegotiationKey) -> bool {
        let now = self.core.turn.now;
        let Some(entry) = self.negotiations.get_mut(key) else { return false };
        let source = source(&entry.incoming.ends);
        if !entry.negotiation.may_log_in() || std::mem::take(&mut entry.has_turn) || self.logins.is_free(now, source) {
            return false;
        }
        self.await_login(Asking::Negotiation(key), source);
        true
    }

    /// Has a login wait for its turn. Another one may have to go for it.
    fn await_login(&mut self, program: Asking, source: Source) {
        self.logins.cancel(program);
        match self.logins.wait(self.core.turn.now, program, source, rand::random()) {
            Some(Asking::Negotiation(key)) => {
                if let Some(entry) = self.end_negotiation(key) {
                    entry.incoming.stream.reset();
                }
            }
            Some(Asking::Requests(key)) => self.drop_requests(key),
            None => {}
        }
        self.await_logins();
    }

    /// Serves the programs whose turn to log in has come.
    pub(super) fn serve_logins(&mut self) {
        let now = self.core.turn.now;
        while let Some(program) = self.logins.poll_turn(now, rand::random()) {
            match program {
                Asking::Negotiation(key) => self.serve_login(key),
                Asking::Requests(key) => self.serve_request_login(key),
            }
        }
        self.await_logins();
    }

    fn serve_login(&mut self, key: NegotiationKey) {
        if let Some(entry) = self.negotiations.get_mut(key) {
            entry.has_turn = true;
            self.handle_negotiation(key);
        }
        // The program may not have sent anything.
        if let Some(entry) = self.negotiations.get_mut(key) {
            entry.has_turn = false;
        }
    }

    fn await_logins(&mut self) {
        if let Some(turn) = self.logins.poll_timeout() {
            self.core.turn.deadlines.add(turn, Due::Client(ClientDue::Logins));
        }
    }

    /// Warns that a program was refused; for wrong logins, only now and then.
    fn note_refused(&mut self, name: &str, source: Source, refusal: Refusal) {
        if refusal != Refusal::LoginWrong {
            return self.core.turn.warn("proxy-refused", format!("{name}: {refusal}"));
        }
        match self.logins.failed(self.core.turn.now, source) {
            Some(1) => self.core.turn.warn("proxy-refused", format!("{name}: {refusal}")),
            Some(count) => {
                let message = format!("{name}: {refusal}; {count} so far, so each has to wait for its turn");
                self.core.turn.warn("proxy-refused", message);
            }
            None => {}
        }
    }

    /// Serves a program's request; `early` came behind it.
    fn serve(&mut self, key: NegotiationKey, request: Request, early: &[u8]) {
        match request {
            Request::UdpAssociate => self.associate(key),
            Request::Connect(target) => self.connect(key, &target, early),
            Request::Http(head) => {
                if let Some(entry) = self.end_negotiation(key) {
                    self.serve_requests(entry.incoming, &[&head, early].concat());
                }
            }
        }
    }

    /// Opens a stream to a destination.
    fn connect(&mut self, key: NegotiationKey, target: &Target, early: &[u8]) {
        let Some(mut entry) = self.end_negotiation(key) else { return };
        let session = self.session.filter(|_| self.local.is_connected);
        match session {
            Some(session) if self.core.sessions.get_mut(session).is_some() => {
                let incoming = Incoming { name: format!("{} ({})", target, entry.incoming.name), ..entry.incoming };
                let target = ConnectTarget::Tcp(target.to_string());
                self.core.open_asking(session, incoming, Asker::Program(entry.negotiation, early.to_vec()), &target);
            }
            _ => {
                entry.negotiation.refuse(AbortReason::Shutdown);
                answer_and_end(entry.incoming.stream, &mut entry.negotiation);
            }
        }
    }

    /// Opens a relay for a program's datagrams, at the address where the program reached us.
    fn associate(&mut self, key: NegotiationKey) {
        let is_full = self.negotiations.iter().filter(|(_, entry)| entry.relay.is_some()).count() >= MAX_RELAYS;
        let Some(entry) = self.negotiations.get_mut(key) else { return };
        let ends = entry.incoming.ends.ports().filter(|_| !is_full);
        let relay = ends.and_then(|(local, remote)| UdpListener::relay(local, remote.ip()).ok());
        let added = relay.map(|relay| (relay.socket.local(), self.core.add_listener(relay)));
        match added {
            Some((bound, Ok(listener))) => {
                entry.relay = Some(listener);
                entry.negotiation.accept(Some(bound));
                if !answer(&mut entry.incoming.stream, &mut entry.negotiation) {
                    return self.close_negotiation(key);
                }
                // The end of the connection may have come with the request.
                self.core.turn.tell(ClientNotice::Negotiation { slot: key.slot() });
            }
            _ => {
                let Some(mut entry) = self.end_negotiation(key) else { return };
                entry.negotiation.refuse(AbortReason::TooManyStreams);
                answer_and_end(entry.incoming.stream, &mut entry.negotiation);
            }
        }
    }

    /// Ends the connection of a program that has gone or was answered.
    fn close_negotiation(&mut self, key: NegotiationKey) {
        if let Some(entry) = self.end_negotiation(key) {
            let _ = entry.incoming.stream.finish();
        }
    }

    fn end_negotiation(&mut self, key: NegotiationKey) -> Option<Negotiating> {
        let mut entry = self.negotiations.remove(key)?;
        self.logins.cancel(Asking::Negotiation(key));
        if let Some(listener) = entry.relay {
            self.core.close_listener(listener);
        }
        self.core.turn.deregister(&mut entry.incoming.stream);
        Some(entry)
    }
}

/// Returns the source of a program; all programs of a unix socket have the same.
fn source(ends: &Ends) -> Source {
    Source::of(ends.ports().map_or(Ipv4Addr::UNSPECIFIED.into(), |(_, remote)| remote.ip()))
}
