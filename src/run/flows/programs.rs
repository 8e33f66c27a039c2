//! UDP sockets for local programs: one for all of them, with a flow for each.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use log::{debug, info};

use super::{DATAGRAMS_PER_TURN, FlowEnd, Flows};
use crate::address::{ListenAddress, Protocol, Target};
use crate::net::listen::{self, ListenError, Second};
use crate::net::listener::Ends;
use crate::net::program_socket::{ProgramSocket, Received};
use crate::net::system::Interest;
use crate::run::connections::stream_hash;
use crate::run::keys::{FlowKey, SessionKey, UdpListenerKey};
use crate::run::notice::PeerNotice;
use crate::run::shared::Shared;
use crate::run::token::Source;
use crate::run::turn::Turn;
use crate::socks::datagram;
use crate::status::event::StreamEnd;
use crate::tunnel::ConnectTarget;

/// Maximum number of flows of local programs in a session; beyond it the one that was idle for longest ends.
const MAX_FLOWS: usize = 1024;

/// A UDP socket for local programs.
pub(in crate::run) struct UdpListener {
    pub(in crate::run) socket: ProgramSocket,
    /// Set if this is the relay of a UDP ASSOCIATE: every datagram has a header with its target, and must come from
    /// this address. Its port is that of the first datagram, and 0 before.
    owner: Option<SocketAddr>,
    /// The flow of each program.
    pub(in crate::run) flows: HashMap<Program, FlowKey>,
}

/// The sender of a datagram; through a relay, also its target. Each combination has its own flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::run) struct Program {
    source: SocketAddr,
    /// Which of our addresses the program sent to, if there are several; answers come from there.
    asked: Option<IpAddr>,
    target: Option<Target>,
}

impl UdpListener {
    /// Binds the addresses of a port, as far as the port is free there.
    pub(in crate::run) fn take_both(
        address: ListenAddress,
    ) -> Result<(UdpListener, SocketAddr, Second<UdpListener>), ListenError> {
        listen::take_both(address.addresses(), |one| {
            let listener = UdpListener::bind(one).map_err(|error| ListenError::new(one, error))?;
            let bound = listener.socket.local();
            Ok((listener, bound))
        })
    }

    pub(in crate::run) fn bind(address: SocketAddr) -> io::Result<UdpListener> {
        Ok(UdpListener { socket: ProgramSocket::bind(address)?, owner: None, flows: HashMap::new() })
    }

    /// Binds the relay of a UDP ASSOCIATE for a program at `owner`, at any port.
    pub(in crate::run) fn relay(mut address: SocketAddr, owner: IpAddr) -> io::Result<UdpListener> {
        address.set_port(0);
        Ok(UdpListener { owner: Some(SocketAddr::new(owner, 0)), ..UdpListener::bind(address)? })
    }

    pub(in crate::run) fn send(&self, program: &Program, payload: &[u8]) -> io::Result<()> {
        match program.target.as_ref().and_then(|target| datagram::encode(target, payload)) {
            Some(datagram) => self.socket.send(&datagram, program.source, program.asked),
            None => self.socket.send(payload, program.source, program.asked),
        }
    }

    /// Returns the sender and the payload of a datagram; `None` if it is not allowed here.
    fn take<'a>(
        &mut self,
        source: SocketAddr,
        asked: Option<IpAddr>,
        datagram: &'a [u8],
    ) -> Option<(Program, &'a [u8])> {
        let Some(owner) = &mut self.owner else { return Some((Program { source, asked, target: None }, datagram)) };
        if owner.ip() != source.ip() || ![0, source.port()].contains(&owner.port()) {
            return None;
        }
        match datagram::decode(datagram) {
            Ok((target, payload)) => {
                owner.set_port(source.port());
                Some((Program { source, asked, target: Some(target) }, payload))
            }
            Err(error) => {
                debug!("a datagram from {source} is lost: {error}");
                None
            }
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            None => write!(f, "{}", self.source),
            Some(target) => write!(f, "udp:{target} ({})", self.source),
        }
    }
}

impl Flows {
    /// Handles datagrams that programs sent to a listener. `wanted` gives their session and target (for a relay, only
    /// the session); without it they are lost.
    pub(in crate::run) fn receive_from_programs(
        &mut self,
        shared: &mut Shared<'_>,
        listener: UdpListenerKey,
        wanted: Option<(SessionKey, Option<&ConnectTarget>)>,
    ) {
        let mut buffer = std::mem::take(&mut self.datagram);
        for count in 0.. {
            let Some(entry) = self.listeners.get_mut(listener) else { break };
            if count == DATAGRAMS_PER_TURN {
                shared.turn.tell(PeerNotice::Programs { listener });
                break;
            }
            let Received { len, stride, source, asked } = match entry.socket.receive(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // This is an error of an earlier datagram.
                Err(_) => continue,
            };
            // An empty datagram counts, too.
            let mut rest = &buffer[..len];
            loop {
                let datagram;
                (datagram, rest) = rest.split_at(stride.min(rest.len()));
                let Some(entry) = self.listeners.get_mut(listener) else { break };
                if let Some((program, payload)) = entry.take(source, asked, datagram) {
                    let flow = entry.flows.get(&program).copied().or_else(|| {
                        let (session, wanted) = wanted?;
                        let named = program.target.as_ref().map(|target| ConnectTarget::Udp(target.to_string()));
                        self.open_flow(shared, session, named.as_ref().or(wanted)?, listener, program)
                    });
                    if let Some(flow) = flow {
                        self.send_to_peer(shared, flow, payload);
                    }
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        self.datagram = buffer;
    }

    /// Adds a listener to the loop.
    pub(in crate::run) fn add_listener(
        &mut self,
        turn: &Turn,
        mut listener: UdpListener,
    ) -> io::Result<UdpListenerKey> {
        let token = Source::Programs(self.listeners.next_key().slot()).token();
        turn.registry().register(&mut listener.socket, token, Interest::READABLE)?;
        Ok(self.listeners.insert(listener))
    }

    /// Closes a listener and ends its flows.
    pub(in crate::run) fn close_listener(&mut self, shared: &mut Shared<'_>, listener: UdpListenerKey) {
        let Some(mut entry) = self.listeners.remove(listener) else { return };
        shared.turn.deregister(&mut entry.socket);
        for flow in entry.flows.into_values() {
            self.end_flow(shared, flow, StreamEnd::Closed);
        }
    }

    fn open_flow(
        &mut self,
        shared: &mut Shared<'_>,
        session: SessionKey,
        target: &ConnectTarget,
        listener: UdpListenerKey,
        program: Program,
    ) -> Option<FlowKey> {
        if shared.sessions.get(session)?.flows.len() >= MAX_FLOWS {
            let own = self.table.iter().filter(|(_, entry)| entry.session == session);
            let oldest = own.min_by_key(|(_, entry)| entry.used_at).map(|(flow, _)| flow)?;
            self.end_flow(shared, oldest, StreamEnd::failed("another flow needs its place"));
        }
        let mut local = self.listeners.get(listener)?.socket.local();
        if let Some(asked) = program.asked {
            local.set_ip(asked);
        }
        let ends = Ends::Ports { local, remote: program.source };
        let trail = shared.trails.of_accepted(shared.sessions, session, Protocol::Udp, &ends);
        let entry = &mut shared.sessions[session];
        let hash = stream_hash(&entry.salt, &format!("udp|{local}|{program}"));
        let key = match entry.session.mux().open_from(hash, target, &trail) {
            Ok(key) => key,
            Err(error) => {
                info!("datagrams from {program} are lost: {error}");
                return None;
            }
        };
        let name = program.to_string();
        let flow =
            self.insert_flow(shared, session, key, FlowEnd::Program { listener, program: program.clone() }, name)?;
        self.table[flow].asked = Some(target.clone());
        self.listeners.get_mut(listener)?.flows.insert(program, flow);
        self.report_opened(shared, flow);
        Some(flow)
    }
}
