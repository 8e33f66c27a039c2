//! A check of this machine's network that somebody asked for. It has a loop of its own, so it runs on a thread of its
//! own, and the answer waits for it.

use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::ControlKey;
use crate::address::Target;
use crate::config::CheckConfig;
use crate::net::system::Waker;
use crate::run::check::Check;
use crate::status::event::Event;
use crate::status::json;

/// The check that runs, if one does.
#[derive(Default)]
pub(super) struct Checking(Option<(ControlKey, Receiver<Vec<u8>>)>);

impl Checking {
    /// Begins a check. Returns false if there is one already, or no thread for it.
    pub(super) fn begin(&mut self, key: ControlKey, stun: Vec<Target>, waker: Arc<Waker>) -> bool {
        if self.0.is_some() {
            return false;
        }
        let (sender, findings) = bounded(1);
        let wake = Wake(waker);
        let run = move || {
            let _wake = wake;
            let _ = sender.try_send(check(stun));
            drop(sender);
        };
        let is_begun = thread::Builder::new().name("check".to_owned()).spawn(run).is_ok();
        self.0 = is_begun.then_some((key, findings));
        is_begun
    }

    /// Returns what a check found, a line each, and who asked for it.
    pub(super) fn poll(&mut self) -> Option<(ControlKey, Bytes)> {
        let (key, findings) = self.0.as_ref()?;
        let found = match findings.try_recv() {
            Ok(found) => (*key, found.into()),
            Err(TryRecvError::Empty) => return None,
            // Its thread did not come to its end.
            Err(TryRecvError::Disconnected) => (*key, Bytes::new()),
        };
        self.0 = None;
        Some(found)
    }
}

/// Wakes the loop when this is dropped, so also after a panic.
struct Wake(Arc<Waker>);

impl Drop for Wake {
    fn drop(&mut self) {
        let _ = self.0.wake();
    }
}

/// Runs a check to its end, within seconds.
fn check(stun: Vec<Target>) -> Vec<u8> {
    let (sender, lines): (Sender<Vec<u8>>, _) = crossbeam_channel::unbounded();
    let tell = move |event: &Event| {
        // The receiver lives as long as the check.
        let _ = json::line(event).map(|line| sender.send(line));
    };
    let result = Check::new(CheckConfig::new(stun), Box::new(tell.clone())).run();
    if let Err(error) = result {
        tell(&Event::Error { code: error.code().to_owned(), message: error.to_string() });
    }
    drop(tell);
    lines.iter().flatten().collect()
}
