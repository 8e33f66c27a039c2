//! Settings that change while a run goes on: where they come from, how they differ, and what is said of it.
//!
//! ```text
//!  SIGHUP ─▶ begin ─▶ a thread reads ─┐
//!                                     ├─▶ woken, poll ─▶ the side compares and applies ─▶ Turn::reload_ends
//!  another thread has settings ───────┘
//! ```
//!
//! The loop reads no file: one may be on a disk that is away. The thread takes one request after the other, and one
//! waits at most, because two in a row want the same.

use std::fmt;
#[cfg(feature = "cli")]
use std::io;
use std::sync::Arc;
#[cfg(feature = "cli")]
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
#[cfg(feature = "cli")]
use log::info;

#[cfg(feature = "cli")]
use super::signals::{HangUp, HangUps};
use super::turn::Turn;
use crate::config::{Bounds, ControlConfig, SharedService};
use crate::net::system::Waker;
use crate::session::Reach;
use crate::status::event::Event;

/// Settings that may wait for the loop. Of more than that, the newest count.
const MAX_WAITING: usize = 4;

/// Gives a run its settings anew, or says in a sentence why there are none. It may block.
#[cfg(feature = "cli")]
pub type Reader<T> = Box<dyn FnMut() -> Result<T, String> + Send>;

/// Settings to go by from now on.
#[derive(Debug, Clone)]
pub struct Reread<C> {
    /// What the run is to go by.
    pub config: C,
    /// What is no part of that, and counts from the next start on.
    pub left: Vec<String>,
}

impl<C> From<C> for Reread<C> {
    fn from(config: C) -> Reread<C> {
        Reread { config, left: Vec::new() }
    }
}

/// Where settings come in.
pub(super) struct Reloading<T> {
    answer: Sender<Result<T, String>>,
    answers: Receiver<Result<T, String>>,
    /// Has the thread read, if there is one.
    #[cfg(feature = "cli")]
    requests: Option<Sender<()>>,
}

impl<T: Send + 'static> Reloading<T> {
    pub(super) fn new() -> Reloading<T> {
        let (answer, answers) = bounded(MAX_WAITING);
        Reloading {
            answer,
            answers,
            #[cfg(feature = "cli")]
            requests: None,
        }
    }

    /// Takes over the signals of the process for a run. With a `reader`, SIGHUP has it read the settings; otherwise it
    /// ends the run.
    ///
    /// # Errors
    /// The system's.
    #[cfg(feature = "cli")]
    pub(super) fn handle_signals(
        &mut self,
        turn: &mut Turn,
        taken: Option<HangUps>,
        reader: Option<Reader<T>>,
    ) -> io::Result<()> {
        let hang_up = if reader.is_some() { HangUp::Reloads } else { HangUp::Ends };
        if let Some(reader) = reader {
            self.read_with(turn.waker(), reader)?;
        }
        turn.handle_signals(hang_up, taken)
    }

    /// Starts the thread that reads. It may outlive the loop: nothing can interrupt somebody who waits for a disk.
    #[cfg(feature = "cli")]
    fn read_with(&mut self, waker: Arc<Waker>, mut reader: Reader<T>) -> io::Result<()> {
        let (requests, asked) = bounded(1);
        let answer = self.answer.clone();
        thread::Builder::new().name("pinhole-reload".to_owned()).spawn(move || {
            for () in asked {
                if answer.send(reader()).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        self.requests = Some(requests);
        Ok(())
    }

    /// Has the settings read, unless a request waits already, or nothing reads them.
    #[cfg(feature = "cli")]
    pub(super) fn begin(&self, turn: &mut Turn) {
        if self.requests.as_ref().is_some_and(|requests| requests.try_send(()).is_ok()) {
            turn.reload_begins();
        }
    }

    /// Returns settings that came in.
    pub(super) fn poll(&self) -> Option<Result<T, String>> {
        self.answers.try_recv().ok()
    }

    /// Returns a handle that gives other settings.
    pub(super) fn reloader(&self, waker: Arc<Waker>) -> Reloader<T> {
        Reloader { answer: self.answer.clone(), waiting: self.answers.clone(), waker }
    }
}

/// Gives a run other settings, from another thread.
pub(crate) struct Reloader<T> {
    answer: Sender<Result<T, String>>,
    waiting: Receiver<Result<T, String>>,
    waker: Arc<Waker>,
}

impl<T> Reloader<T> {
    /// Has the run go by these settings. One that has ended takes none.
    pub(crate) fn reload(&self, settings: impl Into<T>) {
        let mut settings = Ok(settings.into());
        while let Err(TrySendError::Full(newest)) = self.answer.try_send(settings) {
            let _ = self.waiting.try_recv();
            settings = newest;
        }
        let _ = self.waker.wake();
    }
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reloader")
    }
}

/// What came of a reload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What changed, in words.
    pub(super) changed: Vec<String>,
    /// What counts from the next start on.
    pub(super) left: Vec<String>,
    /// What a host shares, if its invitation changed.
    pub(super) services: Option<Vec<SharedService>>,
}

impl Turn {
    /// A reload that a signal asked for begins. Each has an end, unless the run ends first.
    #[cfg(feature = "cli")]
    pub(super) fn reload_begins(&mut self) {
        info!("settings are read again");
        self.reloading();
    }

    /// A reload is over: says what came of it, unless there were no settings in it.
    pub(super) fn reload_ends(&mut self, outcome: Result<Option<Outcome>, String>) {
        match outcome {
            Ok(None) => {}
            Ok(Some(Outcome { changed, left, services })) => {
                if let Some(message) = until_restart(&left) {
                    self.warn("restart", message);
                }
                self.report(&Event::Reloaded { what: "settings".to_owned(), changed, left, services });
            }
            Err(reason) => self.warn("reload", format!("the settings stay as they were: {reason}")),
        }
        self.reloaded();
    }
}

/// Says what is left as it was.
fn until_restart(left: &[String]) -> Option<String> {
    let (last, others) = left.split_last()?;
    Some(match others {
        [] => format!("{last} stays as it was: a change of it counts from the next start on"),
        _ => {
            format!("{} and {last} stay as they were: changes of them count from the next start on", others.join(", "))
        }
    })
}

/// Compares settings field by field, and notes what is new.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// What changed, in words.
    pub(super) changed: Vec<String>,
    /// What counts from the next start on.
    pub(super) left: Vec<String>,
}

impl Differences {
    /// Notes what changed.
    pub(super) fn note(&mut self, what: String) {
        self.changed.push(what);
    }

    /// Notes what counts from the next start on.
    pub(super) fn put_off(&mut self, name: &str) {
        if self.left.iter().all(|known| known != name) {
            self.left.push(name.to_owned());
        }
    }

    /// Takes what is wanted.
    pub(super) fn take<T: PartialEq>(&mut self, name: &str, present: &T, wanted: T) -> T {
        if *present != wanted {
            self.note(format!("{name} changed"));
        }
        wanted
    }

    /// Leaves what there is.
    pub(super) fn leave<T: PartialEq + Clone>(&mut self, name: &str, present: &T, wanted: &T) -> T {
        if present != wanted {
            self.put_off(name);
        }
        present.clone()
    }

    /// Leaves where the run is looked at and steered.
    pub(super) fn control(
        &mut self,
        present: &Option<ControlConfig>,
        wanted: Option<&ControlConfig>,
    ) -> Option<ControlConfig> {
        let own = present.as_ref();
        let listen = |config: Option<&ControlConfig>| config.and_then(|config| config.listen);
        self.leave("admin-listen", &listen(own), &listen(wanted));
        let token = |config: Option<&ControlConfig>| config.and_then(|config| config.token.clone());
        self.leave("admin-token-file", &token(own), &token(wanted));
        let has_socket = |config: Option<&ControlConfig>| config.is_some_and(|config| !config.folders.is_empty());
        if has_socket(own) != has_socket(wanted) {
            self.put_off("no-control");
        }
        if let (Some(own), Some(wanted)) = (own, wanted) {
            self.leave("name", &own.name, &wanted.name);
        }
        present.clone()
    }

    /// Takes the wanted limits of sessions.
    pub(super) fn bounds(&mut self, present: &Bounds, wanted: Bounds) -> Bounds {
        let Bounds { max_streams, rate, memory } = wanted;
        Bounds {
            max_streams: self.take("max-streams", &present.max_streams, max_streams),
            rate: self.take("rate", &present.rate, rate),
            memory: self.take("memory", &present.memory, memory),
        }
    }

    /// Takes the wanted kinds of paths.
    pub(super) fn reach(&mut self, present: &Reach, wanted: Reach) -> Reach {
        let Reach { direct, relay, p2p_timeout, grace, records_per_key } = wanted;
        Reach {
            direct: self.take("relay-only", &present.direct, direct),
            relay: self.take("no-relay", &present.relay, relay),
            p2p_timeout: self.take("p2p-timeout", &present.p2p_timeout, p2p_timeout),
            grace: self.take("grace", &present.grace, grace),
            records_per_key,
        }
    }

    /// Returns the outcome of a reload.
    pub(super) fn outcome(self, services: Option<Vec<SharedService>>) -> Outcome {
        Outcome { changed: self.changed, left: self.left, services }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ControlFolder;

    #[test]
    fn what_is_left_is_said_in_a_sentence() {
        let said = |names: &[&str]| until_restart(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(said(&[]), None);
        let one = "id stays as it was: a change of it counts from the next start on";
        assert_eq!(said(&["id"]).as_deref(), Some(one));
        let three = "listen, server and id stay as they were: changes of them count from the next start on";
        assert_eq!(said(&["listen", "server", "id"]).as_deref(), Some(three));
    }

    #[test]
    fn where_a_run_is_looked_at_stays_until_the_next_start() {
        let of = |name: &str, port: u16, token: Option<&str>| ControlConfig {
            folders: vec![ControlFolder::made("/run")],
            listen: Some(([127, 0, 0, 1], port).into()),
            token: token.map(|token| token.parse().unwrap()),
            ..ControlConfig::new(name.parse().unwrap())
        };
        let own = Some(of("a", 1, None));
        for (wanted, left) in [
            (own.clone(), &[][..]),
            (Some(of("b", 1, None)), &["name"]),
            (Some(of("a", 2, None)), &["admin-listen"]),
            (Some(of("a", 1, Some("0123456789abcdef"))), &["admin-token-file"]),
            (Some(ControlConfig { folders: Vec::new(), ..of("a", 1, None) }), &["no-control"]),
            (None, &["admin-listen", "no-control"]),
        ] {
            let mut found = Differences::default();
            assert_eq!(found.control(&own, wanted.as_ref()), own);
            assert_eq!(found.left, left);
        }
    }

    #[test]
    fn of_many_settings_the_newest_count() {
        let turn = Turn::new(Box::new(|_| {})).unwrap();
        let reloading: Reloading<u32> = Reloading::new();
        let reloader = reloading.reloader(turn.waker());
        (0..100_u32).for_each(|number| reloader.reload(number));
        let taken: Vec<_> = std::iter::from_fn(|| reloading.poll()).collect();
        assert_eq!(taken, [96, 97, 98, 99].map(Ok));
    }

    #[test]
    fn a_name_is_put_off_once() {
        let mut differences = Differences::default();
        assert_eq!(differences.leave("server", &1, &2), 1);
        assert_eq!(differences.leave("server", &1, &3), 1);
        assert_eq!(differences.take("pin", &1, 1), 1);
        assert_eq!(differences.take("rate", &1, 2), 2);
        assert_eq!(differences.left, ["server"]);
        assert_eq!(differences.changed, ["rate changed"]);
    }
}
