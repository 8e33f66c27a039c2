//! A simulated dev tunnel: a public address whose connections come out at a port of the host's own machine.
//!
//! As with real ones, the host's side dials out. An agent beside the host keeps one connection to the public part in
//! reserve, which carries the next client, and then dials another. So signaling crosses the host's link and router like
//! everything else, and is back soon after they are.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::lab::{INTERNET, Lab};
use crate::namespace::Namespace;

/// Where clients connect.
pub(crate) const PUBLIC: SocketAddrV4 = SocketAddrV4::new(INTERNET[0], 9000);

/// Where the agent connects.
const AGENTS: SocketAddrV4 = SocketAddrV4::new(INTERNET[0], 9001);

/// What the public part writes to the connection in reserve: that it is there, and that a client is.
const ALIVE: u8 = b'.';
const GO: u8 = b'!';

/// How often it says that it is there, and how long the agent believes that it still is.
const HEARTBEAT: Duration = Duration::from_millis(200);
const SILENCE: Duration = Duration::from_secs(1);

/// How long the agent tries to connect before it tries anew, which is sooner than the kernel would after an outage.
const DIAL: Duration = Duration::from_millis(800);

/// How long a client waits for the agent.
const PATIENCE: Duration = Duration::from_secs(10);

/// A public address that forwards to a port of the host's machine, until it is dropped.
pub(crate) struct DevTunnel {
    internet: Namespace,
    shared: Arc<Shared>,
    agent: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A reserve came, or all is over.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    listeners: Vec<TcpListener>,
    reserve: Option<TcpStream>,
    /// The agent's end of the reserve.
    waiting: Option<TcpStream>,
    /// The sockets of connections under way, by a serial number.
    carried: HashMap<u64, Vec<TcpStream>>,
    serial: u64,
    is_over: bool,
}

impl DevTunnel {
    /// Forwards to a port of the host.
    pub(crate) fn new(lab: &Lab, port: u16) -> DevTunnel {
        let mut tunnel = DevTunnel { internet: lab.internet.clone(), shared: Arc::default(), agent: None };
        tunnel.open();
        let (shared, host) = (tunnel.shared.clone(), lab.host.inside.clone());
        tunnel.agent = Some(thread::spawn(move || shared.run_agent(&host, port)));
        let shared = tunnel.shared.clone();
        thread::spawn(move || shared.keep_reserve_alive());
        tunnel
    }

    /// Comes back after [`DevTunnel::close`].
    pub(crate) fn open(&self) {
        let [public, agents] =
            [PUBLIC, AGENTS].map(|address| self.internet.run(|| TcpListener::bind(address).unwrap()));
        let (for_clients, for_agents) = (public.try_clone().unwrap(), agents.try_clone().unwrap());
        self.shared.lock().listeners = vec![public, agents];
        let shared = self.shared.clone();
        thread::spawn(move || {
            for client in for_clients.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                thread::spawn(move || shared.carry(client));
            }
        });
        let shared = self.shared.clone();
        thread::spawn(move || {
            for agent in for_agents.incoming().map_while(Result::ok) {
                shared.lock().reserve = Some(agent);
                shared.changed.notify_all();
            }
        });
    }

    /// Goes away: connections end, and further ones are refused.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        for listener in state.listeners.drain(..) {
            // This also ends the threads that accept.
            SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        }
        state.reserve = None;
        state.cut();
    }

    /// Tells whether the next client is carried at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.lock().reserve.is_some()
    }

    /// Cuts the connections under way; further ones are welcome. Returns how many there were.
    pub(crate) fn cut(&self) -> usize {
        self.shared.lock().cut()
    }
}

impl Drop for DevTunnel {
    fn drop(&mut self) {
        self.close();
        let mut state = self.shared.lock();
        state.is_over = true;
        state.waiting.iter().for_each(end);
        drop(state);
        self.shared.changed.notify_all();
        // Left alone it would take part in the next tunnel.
        if let Some(agent) = self.agent.take() {
            let _ = agent.join();
        }
    }
}

impl State {
    fn cut(&mut self) -> usize {
        self.carried.values().flatten().for_each(end);
        // Either part of the tunnel carries a connection.
        self.carried.drain().count().div_ceil(2)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The public part: hands a client to the agent.
    fn carry(&self, client: TcpStream) {
        if let Some(mut agent) = self.take_reserve(&client)
            && agent.write_all(&[GO]).is_ok()
        {
            self.join(client, agent);
        }
    }

    /// Waits for a connection to the agent, unless the client gives up before.
    fn take_reserve(&self, client: &TcpStream) -> Option<TcpStream> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        while !state.is_over && Instant::now() < deadline && is_open(client) {
            if let Some(agent) = state.reserve.take() {
                return Some(agent);
            }
            state = self.changed.wait_timeout(state, HEARTBEAT).unwrap().0;
        }
        None
    }

    fn keep_reserve_alive(&self) {
        let mut state = self.lock();
        while !state.is_over {
            if let Some(mut agent) = state.reserve.take() {
                // A failed one is replaced by the agent.
                state.reserve = agent.write_all(&[ALIVE]).is_ok().then_some(agent);
            }
            let next = Instant::now() + HEARTBEAT;
            while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                state = self.changed.wait_timeout(state, left).unwrap().0;
            }
        }
    }

    /// The host's part: keeps a connection in reserve.
    fn run_agent(self: &Arc<Shared>, host: &Namespace, port: u16) {
        while !self.lock().is_over {
            let dialled = host.run(|| TcpStream::connect_timeout(&AGENTS.into(), DIAL));
            let Ok(reserve) = dialled else {
                // Refused at once where the public part is gone.
                thread::park_timeout(HEARTBEAT);
                continue;
            };
            {
                let mut state = self.lock();
                state.waiting = reserve.try_clone().ok();
                if state.is_over {
                    return;
                }
            }
            if wait_for_client(&reserve).is_ok() {
                let (shared, host) = (self.clone(), host.clone());
                thread::spawn(move || {
                    let address = SocketAddr::from(([127, 0, 0, 1], port));
                    // Without a host, the client sees its connection end.
                    if let Ok(local) = host.run(|| TcpStream::connect_timeout(&address, DIAL)) {
                        shared.join(reserve, local);
                    }
                });
            }
        }
    }

    /// Carries bytes both ways until both ended, or one failed.
    fn join(&self, one: TcpStream, other: TcpStream) {
        let sockets = [&one, &other].map(|socket| {
            // It cannot be without it: then every message would wait for the acknowledgement of the one before.
            socket.set_nodelay(true).unwrap();
            socket.set_read_timeout(None).unwrap();
            socket.try_clone().unwrap()
        });
        let serial = {
            let mut state = self.lock();
            state.serial += 1;
            let serial = state.serial;
            state.carried.insert(serial, sockets.into());
            serial
        };
        thread::scope(|scope| {
            scope.spawn(|| copy(&one, &other));
            scope.spawn(|| copy(&other, &one));
        });
        self.lock().carried.remove(&serial);
    }
}

/// Returns once a client is there, or with an error when the public part is gone.
fn wait_for_client(mut reserve: &TcpStream) -> io::Result<()> {
    reserve.set_read_timeout(Some(SILENCE))?;
    let mut byte = [ALIVE];
    while byte == [ALIVE] {
        reserve.read_exact(&mut byte)?;
    }
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    match io::copy(&mut from, &mut to) {
        // The other direction may go on.
        Ok(_) => drop(to.shutdown(Shutdown::Write)),
        Err(_) => [from, to].into_iter().for_each(end),
    }
}

/// Ends a connection at once, whoever holds its socket.
fn end(socket: &TcpStream) {
    // It may have ended before.
    let _ = socket.shutdown(Shutdown::Both);
}

/// Tells whether the other end did not hang up.
fn is_open(socket: &TcpStream) -> bool {
    let looked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let restored = socket.set_nonblocking(false);
    restored.is_ok() && looked.map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |len| len > 0)
}
