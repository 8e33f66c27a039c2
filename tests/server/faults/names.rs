//! Hosts made by hand, which do what hosts do not do often: they change servers at once, take names, and come in
//! crowds.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pinhole::internals::signaling::rendezvous::{FromServer, Instance, instance};
use rand::seq::IndexedRandom as _;
use tungstenite::{Error, Message};

use super::rig::code;
use super::stories::Scene;
use super::world::{REACHABLE, SERVERS};
use crate::members::meets;
use crate::raw::Raw;

/// How often a host changes servers.
const MOVES: usize = 6;

/// A host whose name another process took is told so within this time.
const TOLD: Duration = Duration::from_secs(15);

/// How often a host looks whether it was told something.
const LOOK: Duration = Duration::from_millis(10);

/// How many come at once.
const DOORS: usize = 16;

/// Of so many that came, one is looked for.
const SAMPLE: usize = 20;

const TOKEN: Option<&str> = Some("a-token-of-hosts");

impl Scene {
    /// A name that nobody had.
    fn name(&mut self) -> String {
        self.named += 1;
        format!("by-hand-{}", self.named)
    }

    /// Looks for clients that get through to a host, at every server.
    fn meets_everywhere(&mut self, id: &str, host: &mut Raw) {
        let begun = Instant::now();
        for through in self.rig.world.running() {
            let (client, _) = meets(self.rig.address(through), id, host);
            drop(client);
            let took = begun.elapsed();
            self.reachable.push(took);
            if took > REACHABLE {
                self.rig.world.violated(&format!("{id} is reachable through server {through} only after {took:?}"));
            }
        }
    }
}

/// One process goes from server to server, and does not say goodbye.
pub(super) fn moves(scene: &mut Scene) {
    let (id, same, mut at) = (scene.name(), instance(), scene.any_server());
    let mut host = Raw::asking(scene.rig.address(at), &id, TOKEN, same);
    host.is_registered();
    scene.meets_everywhere(&id, &mut host);
    for _ in 0..MOVES {
        let others: Vec<usize> = (0..SERVERS).filter(|&server| server != at).collect();
        at = *others.choose(&mut rand::rng()).unwrap();
        let mut moved = Raw::asking(scene.rig.address(at), &id, TOKEN, same);
        moved.is_registered();
        scene.meets_everywhere(&id, &mut moved);
        if let Some(code) = std::mem::replace(&mut host, moved).closed() {
            scene.rig.world.violated(&format!("{id} moved and was told so: {code}"));
        }
    }
}

/// Another process with the same token comes to another server.
pub(super) fn taken_over(scene: &mut Scene) {
    let (id, at) = (scene.name(), scene.any_server());
    let mut first = Raw::asking(scene.rig.address(at), &id, TOKEN, instance());
    first.is_registered();
    scene.meets_everywhere(&id, &mut first);
    let begun = Instant::now();
    // It answers pings meanwhile.
    let told = thread::spawn(move || (first.refused().code, begun.elapsed()));
    let mut second = Raw::asking(scene.rig.address((at + 1) % SERVERS), &id, TOKEN, instance());
    second.is_registered();
    scene.back.push(begun.elapsed());
    let (code, took) = told.join().unwrap();
    if code != "replaced" || took > TOLD {
        scene.rig.world.violated(&format!("{id} was told {code} after {took:?}"));
    }
    scene.meets_everywhere(&id, &mut second);
}

/// Two servers take the same name while they cannot reach each other, each for another process with the same token.
pub(super) fn split(scene: &mut Scene) {
    let (id, (one, other)) = (scene.name(), scene.any_pair());
    scene.rig.part(one, other, true);
    let (is_over, (sender, all_told)) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
    // Both answer pings meanwhile. One that is told something is gone.
    let hosts = [one, other].map(|server| {
        let mut host = Raw::asking(scene.rig.address(server), &id, TOKEN, instance());
        host.is_registered();
        let (is_over, sender) = (is_over.clone(), sender.clone());
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(code) = told(&mut host) {
                    sender.send((code, Instant::now())).unwrap();
                    return None;
                }
                thread::park_timeout(LOOK);
            }
            Some(host)
        })
    });
    scene.rig.pass(scene.size.parts);
    let begun = Instant::now();
    scene.rig.join(one, other);
    let mut first = None;
    scene.rig.until("one of two holders to be told", |_| {
        first = first.take().or_else(|| all_told.try_recv().ok());
        first.is_some()
    });
    is_over.store(true, Ordering::Relaxed);
    // With a directory it is told while the two are still parted.
    let (code, took) = first.map(|(code, at)| (code, at.saturating_duration_since(begun))).unwrap();
    scene.back.push(took);
    let left: Vec<Raw> = hosts.into_iter().filter_map(|host| host.join().unwrap()).collect();
    let Ok([mut winner]) = <[Raw; 1]>::try_from(left) else {
        return scene.rig.world.violated(&format!("{id} had two holders, and none was left"));
    };
    if code != "replaced" || took > TOLD {
        scene.rig.world.violated(&format!("{id} had two holders, and one was told {code} after {took:?}"));
    }
    winner.stream().set_nonblocking(false).unwrap();
    scene.meets_everywhere(&id, &mut winner);
}

/// Returns what a host was told by now, if it was told anything.
fn told(host: &mut Raw) -> Option<String> {
    host.stream().set_nonblocking(true).unwrap();
    loop {
        match host.0.read() {
            Ok(Message::Text(text)) if code(&text).is_some() => return code(&text),
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => return Some(error.to_string()),
        }
    }
}

/// All hosts of a server that died come to the others in the same moment.
pub(super) fn flood(scene: &mut Scene) {
    let ids: Vec<(String, Instance)> = (0..scene.size.flood).map(|_| (scene.name(), instance())).collect();
    let dies = scene.any_server();
    drop(register(&ids, &[scene.rig.address(dies)]));
    scene.begun = Instant::now();
    scene.rig.kill(dies);
    let running = scene.rig.world.running();
    let others: Vec<SocketAddr> = running.iter().map(|&server| scene.rig.address(server)).collect();
    let hosts = register(&ids, &others);
    scene.back.push(scene.begun.elapsed());
    let begun = Instant::now();
    for (id, _) in ids.iter().step_by(SAMPLE) {
        for &server in &others {
            while !is_known(server, id) {
                thread::park_timeout(Duration::from_millis(10));
            }
            let took = begun.elapsed();
            scene.reachable.push(took);
            if took > REACHABLE {
                scene.rig.world.violated(&format!("{id} is known at {server} only after {took:?}"));
            }
        }
    }
    drop(hosts);
    scene.settle();
    scene.rig.start_again(dies);
}

/// Registers hosts at any of those servers, as many at once as can be.
fn register(ids: &[(String, Instance)], servers: &[SocketAddr]) -> Vec<Raw> {
    let parts = ids.chunks(ids.len().div_ceil(DOORS)).map(|part| (part.to_vec(), servers.to_vec()));
    let register = |(part, servers): (Vec<(String, Instance)>, Vec<SocketAddr>)| {
        let come = move |(id, instance): &(String, Instance)| {
            loop {
                let mut host = Raw::asking(*servers.choose(&mut rand::rng()).unwrap(), id, TOKEN, *instance);
                if matches!(host.next_from_server(), FromServer::Registered { .. }) {
                    return host;
                }
            }
        };
        thread::spawn(move || part.iter().map(come).collect::<Vec<Raw>>())
    };
    let threads: Vec<_> = parts.map(register).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// Tells whether a server lets clients of a host in.
fn is_known(server: SocketAddr, id: &str) -> bool {
    let mut client = Raw::client(server, id);
    client.0.send(Message::Ping("known?".into())).is_ok() && matches!(client.0.read(), Ok(Message::Pong(_)))
}
