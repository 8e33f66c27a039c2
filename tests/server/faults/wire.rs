//! What is in front of a server where others come to it: connections that can be held up in each direction, and cut.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::world::SERVERS;
use crate::common::any_port;

/// How often it is looked whose a connection is, and the pause between.
const LOOKS: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// The processes of the servers.
pub(super) type Processes = Arc<Mutex<[u32; SERVERS]>>;

/// Passes connections to a server on, unless told otherwise.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    processes: Processes,
    /// For each server that comes.
    held: Mutex<[Held; SERVERS]>,
    changed: Condvar,
    ends: Mutex<Vec<(usize, TcpStream)>>,
}

/// Directions in which nothing passes. What is sent meanwhile arrives later, as it does where packets are lost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) there: bool,
    pub(super) back: bool,
}

impl Wire {
    pub(super) fn to(far: SocketAddr, processes: Processes) -> Wire {
        let listener = TcpListener::bind(any_port()).unwrap();
        let (held, ends) = (Mutex::default(), Mutex::default());
        let state = Arc::new(State { processes, held, changed: Condvar::new(), ends });
        let wire = Wire { address: listener.local_addr().unwrap(), state: state.clone() };
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                // Nobody may be there at the moment, and whoever came may be gone.
                if let (Some(from), Ok(far)) = (state.who(&near), TcpStream::connect(far)) {
                    state.join(from, near, far);
                }
            }
        });
        wire
    }

    /// Holds up what one server says on its connections, and what is answered there.
    pub(super) fn hold(&self, from: usize, held: Held) {
        self.state.held.lock().unwrap()[from] = held;
        self.state.changed.notify_all();
    }

    /// Ends every connection of a server.
    pub(super) fn cut(&self, from: usize) {
        for (_, end) in self.state.ends.lock().unwrap().extract_if(.., |(of, _)| *of == from) {
            // One that is gone already cannot be cut.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    /// Returns the server whose connection that is. One that was started just now may not be known yet.
    fn who(&self, near: &TcpStream) -> Option<usize> {
        let address = near.peer_addr().ok()?;
        let of = |socket: &str| self.processes.lock().unwrap().iter().position(|&process| has_socket(process, socket));
        (0..LOOKS).find_map(|_| {
            let socket = inode(address)?;
            of(&socket).or_else(|| {
                thread::park_timeout(PAUSE);
                None
            })
        })
    }

    fn join(self: &Arc<State>, from: usize, near: TcpStream, far: TcpStream) {
        let again = |stream: &TcpStream| stream.try_clone().unwrap();
        self.ends.lock().unwrap().extend([(from, again(&near)), (from, again(&far))]);
        let (there, back) = (self.clone(), self.clone());
        let (near_again, far_again) = (again(&near), again(&far));
        thread::spawn(move || there.pass(near, far, |held| held[from].there));
        thread::spawn(move || back.pass(far_again, near_again, |held| held[from].back));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_held: impl Fn(&[Held]) -> bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            self.wait(&is_held);
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        self.wait(&is_held);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn wait(&self, is_held: impl Fn(&[Held]) -> bool) {
        drop(self.changed.wait_while(self.held.lock().unwrap(), |held| is_held(held)).unwrap());
    }
}

/// Returns the number of the socket that has this address here (proc(5), `/proc/net/tcp`).
fn inode(local: SocketAddr) -> Option<String> {
    let SocketAddr::V4(local) = local else { return None };
    let address = format!("{:08X}:{:04X}", u32::from_ne_bytes(local.ip().octets()), local.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let found = sockets.find(|fields| fields.get(1) == Some(&address.as_str()))?;
    found.get(9).map(|inode| format!("socket:[{inode}]"))
}

fn has_socket(process: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.to_str() == Some(socket))
}
