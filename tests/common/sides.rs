//! Hosts, clients and servers on threads of the test itself, through the library.

use std::io::{Read as _, Write as _};
use std::iter;
use std::net::{Shutdown, SocketAddr};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use pinhole::internals::run::{Reporter, RunError, Stopper};
use pinhole::internals::status::event::Event;

use super::{DEADLINE, connect};

/// A side on its own thread.
pub(crate) struct Side {
    pub(crate) events: Receiver<Event>,
    pub(crate) stopper: Stopper,
    pub(crate) thread: JoinHandle<Result<(), RunError>>,
}

impl Side {
    /// Waits for an event that `fits`; skips others.
    #[track_caller]
    pub(crate) fn find<T>(&self, what: &str, fits: impl Fn(Event) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let event = self.events.recv_deadline(deadline).unwrap_or_else(|error| panic!("no {what}: {error}"));
            if let Some(found) = fits(event) {
                return found;
            }
        }
    }

    /// Waits for the run to return; a loop that never does reaches the deadline.
    #[track_caller]
    pub(crate) fn end(self) -> Result<(), RunError> {
        self.last().1
    }

    /// Ends the run in order and returns the remaining events.
    #[track_caller]
    pub(crate) fn stop(self) -> Vec<Event> {
        self.stopper.stop();
        let (events, result) = self.last();
        result.unwrap();
        events
    }

    #[track_caller]
    fn last(self) -> (Vec<Event>, Result<(), RunError>) {
        // The reporter goes with the loop.
        let deadline = Instant::now() + DEADLINE;
        let events = iter::from_fn(|| self.events.recv_deadline(deadline).ok()).collect();
        assert!(Instant::now() < deadline, "the loop did not end");
        (events, self.thread.join().expect("the loop does not panic"))
    }
}

/// Creates the callback of a side, and the receiver of its events.
pub(crate) fn reporter() -> (Reporter, Receiver<Event>) {
    let (sender, events) = unbounded();
    // Nobody listens any more once a test is over.
    (Box::new(move |event| drop(sender.send(event.clone()))), events)
}

/// Sends a text to an echo, ends, and compares what comes back until its end.
#[track_caller]
pub(crate) fn check_echo(local: SocketAddr, text: &str) {
    let mut stream = connect(local);
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, text);
}
