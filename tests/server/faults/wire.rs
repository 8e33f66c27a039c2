//! What is between two servers: connections that can be held up in each direction, and cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::common::any_port;

/// Passes connections on, unless told otherwise.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    held: Mutex<Held>,
    changed: Condvar,
    ends: Mutex<Vec<TcpStream>>,
}

/// Directions in which nothing passes. What is sent meanwhile arrives later, as it does where packets are lost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) there: bool,
    pub(super) back: bool,
}

impl Wire {
    pub(super) fn to(far: SocketAddr) -> Wire {
        let listener = TcpListener::bind(any_port()).unwrap();
        let wire = Wire { address: listener.local_addr().unwrap(), state: Arc::default() };
        let state = wire.state.clone();
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                // Nobody may be there at the moment.
                if let Ok(far) = TcpStream::connect(far) {
                    state.join(near, far);
                }
            }
        });
        wire
    }

    pub(super) fn hold(&self, held: Held) {
        *self.state.held.lock().unwrap() = held;
        self.state.changed.notify_all();
    }

    /// Ends every connection that there is.
    pub(super) fn cut(&self) {
        for end in self.state.ends.lock().unwrap().drain(..) {
            // One that is gone already cannot be cut.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl State {
    fn join(self: &Arc<State>, near: TcpStream, far: TcpStream) {
        let again = |stream: &TcpStream| stream.try_clone().unwrap();
        self.ends.lock().unwrap().extend([again(&near), again(&far)]);
        let (there, back) = (self.clone(), self.clone());
        let (near_again, far_again) = (again(&near), again(&far));
        thread::spawn(move || there.pass(near, far, |held| held.there));
        thread::spawn(move || back.pass(far_again, near_again, |held| held.back));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_held: impl Fn(&Held) -> bool) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            drop(self.changed.wait_while(self.held.lock().unwrap(), |held| is_held(held)).unwrap());
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        drop(self.changed.wait_while(self.held.lock().unwrap(), |held| is_held(held)).unwrap());
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }
}
