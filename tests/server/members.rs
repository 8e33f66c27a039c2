//! Servers of a cluster as processes, and what stands in front of them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{fs, io, thread};

use nix::sys::signal::Signal;
use pinhole::internals::signaling::rendezvous::{Packet, Payload};
use rand::seq::IndexedRandom as _;
use tungstenite::Message;

use super::in_process::get;
use crate::common::{ReservedPort, any_port, wait_until};
use crate::lab::Server;
use crate::raw::Raw;

pub(crate) const SECRET: &str = "the secret of this cluster";

/// A file for a test, removed with this.
pub(crate) struct Secret(PathBuf);

impl Secret {
    pub(crate) fn of(name: &str, text: &str) -> Secret {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Secret(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // What is left is in the folder of the build.
        let _ = fs::remove_file(&self.0);
    }
}

/// A server of a cluster.
pub(crate) struct Member {
    pub(crate) server: Server,
    /// Where other servers come to.
    pub(crate) peers: ReservedPort,
}

impl Member {
    /// Starts a server that dials the others.
    pub(crate) fn start(secret: &Secret, others: &[SocketAddr], more: &[&str]) -> Member {
        let peers = ReservedPort::new();
        let listen = peers.address.to_string();
        let own = ["--peer-listen", &listen, "--cluster-secret-file", secret.path()];
        let urls: Vec<String> = others.iter().map(|other| format!("ws://{other}")).collect();
        let dialled: Vec<&str> = urls.iter().flat_map(|url| ["--peer", url]).collect();
        Member { server: Server::start(&[&own, &dialled[..], more].concat()), peers }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = get(self.address(), "localhost", "/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn has_links(&self, count: u64) {
        wait_until("links between servers", || self.metric("pinhole_cluster_links") == count);
    }

    pub(crate) fn kill(&mut self) {
        self.server.process.signal(Signal::SIGKILL);
        self.server.process.end();
    }
}

/// Starts servers of which each dials all before it, and waits for their links.
pub(crate) fn cluster<const N: usize>(secret: &Secret, more: &[&str]) -> [Member; N] {
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..N {
        let others: Vec<SocketAddr> = members.iter().map(|member| member.peers.address).collect();
        members.push(Member::start(secret, &others, more));
    }
    let links = u64::try_from(N).unwrap() - 1;
    members.iter().for_each(|member| member.has_links(links));
    members.try_into().unwrap_or_else(|_| panic!("as many as were started"))
}

/// A host's URL at another server.
pub(crate) fn at(url: &str, from: &Member, to: &Member) -> String {
    url.replace(&from.address().to_string(), &to.address().to_string())
}

/// Waits until a client of this id gets through to its host at that server, and returns it. The server may not have
/// heard of the host yet, and a client may have to come again.
#[track_caller]
pub(crate) fn meets(server: SocketAddr, id: &str, host: &mut Raw) -> (Raw, u32) {
    let id = id.to_owned();
    let client = thread::spawn(move || {
        loop {
            let mut client = Raw::client(server, &id);
            client.text("hello");
            if client.next_text() == "welcome" {
                return client;
            }
        }
    });
    let number = host.joined();
    assert_eq!(host.packet(), Packet { conversation: number, payload: Payload::Text("hello".to_owned()) });
    host.say(number, "welcome");
    (client.join().unwrap(), number)
}

/// Waits until a server knows where a host is.
#[track_caller]
pub(crate) fn knows(member: &Member, id: &str) {
    wait_until("a host is known at another server", || {
        let mut client = Raw::client(member.address(), id);
        client.0.send(Message::Ping("known?".into())).is_ok() && matches!(client.0.read(), Ok(Message::Pong(_)))
    });
}

/// Passes connections on to any of those that it is told, as a balancer in front of servers does.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Balancer {
    pub(crate) fn to(target: SocketAddr) -> Balancer {
        Balancer::over(vec![target])
    }

    pub(crate) fn over(targets: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind(any_port()).unwrap();
        let balancer = Balancer { address: listener.local_addr().unwrap(), targets: Arc::new(Mutex::new(targets)) };
        let targets = balancer.targets.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // A server that is gone ends the connection, as a balancer would.
                let target = targets.lock().unwrap().choose(&mut rand::rng()).copied();
                let Some(far) = target.and_then(|target| TcpStream::connect(target).ok()) else { continue };
                for (mut from, mut to) in [
                    (near.try_clone().unwrap(), far.try_clone().unwrap()),
                    (far.try_clone().unwrap(), near.try_clone().unwrap()),
                ] {
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        balancer
    }

    /// Leads what connects from now on there.
    pub(crate) fn lead_to(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap() = targets;
    }
}
