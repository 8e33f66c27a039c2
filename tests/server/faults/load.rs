//! Who uses the cluster all the while: visitors, clients that are only let in, and clients whose bytes are compared.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use tungstenite::Message;

use super::rig::{Host, Rig, Visit, code, visit};
use super::world::{SERVERS, World};
use crate::common::bytes::piece;
use crate::common::connect;
use crate::lab::Client;
use crate::raw::Raw;

/// How long somebody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest pause between two attempts of one visitor or client.
const PAUSE: Duration = Duration::from_millis(1000);

/// What a client sends, and how often.
const PIECE: u64 = 8 * 1024;
const BEAT: Duration = Duration::from_millis(50);

/// How long a client's bytes may be on their way: longer than anything here is down.
const LONGEST: Duration = Duration::from_secs(120);

/// How many of each there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd {
    pub(super) visitors: usize,
    pub(super) guests: usize,
    pub(super) clients: usize,
}

/// All of them, at work until this is finished.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    clients: Vec<Relayed>,
    world: Arc<World>,
}

/// A client whose bytes are compared.
struct Relayed {
    client: Client,
    /// Its session has no path at the moment.
    is_recovering: bool,
}

impl Load {
    pub(super) fn start(rig: &Rig, crowd: Crowd) -> Load {
        let (is_over, world) = (Arc::new(AtomicBool::new(false)), rig.world.clone());
        let at = Place {
            world: world.clone(),
            servers: rig.addresses(),
            ids: rig.hosts.iter().map(|host| host.id.clone()).collect(),
        };
        let mut threads = Vec::new();
        let mut spawn = |count: usize, attempt: fn(&Place, usize, &str)| {
            for _ in 0..count {
                let (at, is_over) = (at.clone(), is_over.clone());
                threads.push(thread::spawn(move || at.come_again_and_again(&is_over, attempt)));
            }
        };
        spawn(crowd.visitors, Place::visit);
        spawn(crowd.guests, Place::join);
        let hosts = rig.hosts.iter().cycle().take(crowd.clients).enumerate();
        let clients = hosts.map(|(number, host)| Relayed { client: client(rig, number, host), is_recovering: false });
        let clients: Vec<Relayed> = clients.collect();
        for (Relayed { client, .. }, host) in clients.iter().zip(rig.hosts.iter().cycle()) {
            let bytes = Bytes { world: world.clone(), id: host.id.clone(), is_over: is_over.clone() };
            threads.extend(bytes.exchange(client.local));
        }
        Load { is_over, threads, clients, world }
    }

    /// Looks whether a client lost its session.
    pub(super) fn look(&mut self) {
        for Relayed { client, is_recovering } in &mut self.clients {
            for event in client.process.take_events() {
                match event["event"].as_str() {
                    Some("disconnected" | "error") => {
                        self.world.violated(&format!("a client's session ended: {event}"));
                    }
                    Some("recovering") => *is_recovering = true,
                    Some("recovered") => *is_recovering = false,
                    _ => {}
                }
            }
        }
    }

    /// Tells whether every session has a path.
    pub(super) fn is_whole(&mut self) -> bool {
        self.look();
        self.clients.iter().all(|client| !client.is_recovering)
    }

    /// Ends it, once all bytes came back.
    pub(super) fn finish(mut self) {
        self.look();
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Starts a client that reaches the cluster as a host of that number does.
fn client(rig: &Rig, number: usize, host: &Host) -> Client {
    let ways = rig.ways(number);
    let (_, path) = host.url.split_once("/ws/").unwrap();
    let others: Vec<&str> = ways[1..].iter().flat_map(|way| ["--server", way]).collect();
    Client::of(&format!("{}/ws/{path}", ways[0]), &[&["--relay-only"], &others[..]].concat())
}

/// Where visitors and clients come to.
#[derive(Clone)]
struct Place {
    world: Arc<World>,
    servers: [SocketAddr; SERVERS],
    ids: Vec<String>,
}

impl Place {
    fn come_again_and_again(&self, is_over: &AtomicBool, attempt: impl Fn(&Place, usize, &str)) {
        let mut random = rand::rng();
        while !is_over.load(Ordering::SeqCst) {
            if let Some(&through) = self.world.running().choose(&mut random) {
                attempt(self, through, self.ids.choose(&mut random).unwrap());
            }
            thread::park_timeout(random.random_range(Duration::ZERO..PAUSE));
        }
    }

    fn visit(&self, through: usize, id: &str) {
        let begun = Instant::now();
        match visit(self.servers[through], id, PATIENCE) {
            Visit::Served => self.world.served(),
            Visit::Unknown => {
                self.world.violated(&format!("a visitor of {id} at server {through} was told that there is none"));
            }
            Visit::Otherwise(what) => self.put_off(through, id, begun, &format!("a visitor got {what:?}")),
        }
    }

    /// Says something as a client, and looks who answers.
    fn join(&self, through: usize, id: &str) {
        let begun = Instant::now();
        match answer(self.servers[through], id) {
            Some(Message::Text(text)) => match code(&text).as_deref() {
                Some("unknown-host") => {
                    self.world.violated(&format!("a client of {id} at server {through} was told that there is none"));
                }
                Some("busy" | "full") => {
                    self.put_off(through, id, begun, &format!("a client was refused: {text}"));
                }
                // That is the host, who did not expect this.
                _ => self.world.served(),
            },
            other => self.put_off(through, id, begun, &format!("a client got {other:?}")),
        }
    }

    fn put_off(&self, through: usize, id: &str, begun: Instant, what: &str) {
        match self.world.was_due(id, through, begun) {
            true => self.world.violated(&format!("{id} through server {through}: {what} after {:?}", begun.elapsed())),
            false => self.world.put_off(),
        }
    }
}

/// What is answered to a client that says nonsense.
fn answer(server: SocketAddr, id: &str) -> Option<Message> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut client = Raw::try_on(stream, &format!("/ws/{id}"))?;
    client.0.send(Message::text("hello")).ok()?;
    loop {
        match client.0.read().ok()? {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return Some(message),
        }
    }
}

/// A stream of a relayed client, on which bytes go to the host and come back.
#[derive(Clone)]
struct Bytes {
    world: Arc<World>,
    id: String,
    is_over: Arc<AtomicBool>,
}

impl Bytes {
    fn exchange(&self, local: SocketAddr) -> [JoinHandle<()>; 2] {
        let stream = connect(local);
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        stream.set_write_timeout(Some(LONGEST)).unwrap();
        let (output, writer, reader) = (stream.try_clone().unwrap(), self.clone(), self.clone());
        [thread::spawn(move || writer.write(output)), thread::spawn(move || reader.compare(stream))]
    }

    fn write(&self, mut output: TcpStream) {
        let mut offset = 0;
        while !self.is_over.load(Ordering::SeqCst) {
            if output.write_all(piece(offset, PIECE)).is_err() {
                // Whoever reads says so.
                return;
            }
            offset += PIECE;
            thread::park_timeout(BEAT);
        }
        let _ = output.shutdown(Shutdown::Write);
    }

    fn compare(&self, mut input: TcpStream) {
        let (mut offset, mut buffer) = (0, [0; PIECE as usize]);
        loop {
            match input.read(&mut buffer) {
                Ok(0) if self.is_over.load(Ordering::SeqCst) && offset % PIECE == 0 => return,
                Ok(len @ 1..) if buffer[..len] == *piece(offset, len as u64) => {
                    self.world.came_back(len as u64);
                    offset += len as u64;
                }
                other => return self.world.violated(&format!("a stream to {} at {offset}: {other:?}", self.id)),
            }
        }
    }
}
