//! Latched readiness of one socket.

use super::system::Event;
/// Whether a socket can be read or written without blocking, as far as is known.
///
/// mio reports edges, so a bit stays set until the system answers `WouldBlock`; a caller that stops earlier finds it
/// still set. Ends and errors of the socket count as readable and writable: the next call reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// A read may return bytes, the end, or an error.
    pub readable: bool,
    /// A write may take bytes or return an error.
    pub writable: bool,
}

impl Readiness {
    /// Nothing is known; the first event tells. For sockets that still connect.
    pub const NONE: Self = Self { readable: false, writable: false };

    /// Both may work; at worst the answer is `WouldBlock`. For accepted sockets.
    pub const BOTH: Self = Self { readable: true, writable: true };

    /// Sets the bits of an event.
    pub fn handle_event(&mut self, event: &Event) {
        let failed = event.is_error();
        self.readable |= failed || event.is_readable() || event.is_read_closed();
        self.writable |= failed || event.is_writable() || event.is_write_closed();
    }

    /// Clears the readable bit after a read answered `WouldBlock`.
    pub fn clear_readable(&mut self) {
        self.readable = false;
    }

    /// Clears the writable bit after a write answered `WouldBlock`.
    pub fn clear_writable(&mut self) {
        self.writable = false;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use super::*;
    use crate::net::system::{Events, Interest, Poll, TcpStream, Token};

    #[test]
    fn bits_stay_until_cleared() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = TcpStream::from_std(far);
        let mut poll = Poll::new().unwrap();
        poll.registry().register(&mut far, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        near.write_all(b"x").unwrap();

        let mut readiness = Readiness::NONE;
        let mut events = Events::with_capacity(4);
        for _ in 0..100 {
            if readiness == Readiness::BOTH {
                break;
            }
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            events.iter().for_each(|event| readiness.handle_event(event));
        }
        assert_eq!(readiness, Readiness::BOTH);
        readiness.clear_writable();
        assert_eq!(readiness, Readiness { readable: true, writable: false });

        drop(near);
        readiness = Readiness::NONE;
        for _ in 0..100 {
            if readiness.readable {
                break;
            }
            poll.poll(&mut events, Some(Duration::from_millis(100))).unwrap();
            events.iter().for_each(|event| readiness.handle_event(event));
        }
        assert!(readiness.readable, "the end of the peer is readable");
    }
}
