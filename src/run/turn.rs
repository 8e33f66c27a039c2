//! What every part of the loop uses: the time, the system's events, deadlines, and notices.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use log::{debug, trace};

use super::deadlines::{Deadlines, Due};
use super::looks::{Looks, Observer, WatcherId};
use super::notice::{ControlNotice, HostNotice, Listening, Notice};
#[cfg(feature = "cli")]
use super::signals::{HangUp, HangUps, Signals, Wish};
use super::supervision::Supervision;
use super::tap::Tap;
use super::token::Source;
use crate::net::system::{self, Events, Poll, Registry, Waker};
use crate::net::watch::InterfaceWatch;
use crate::status::event::Event;
use crate::status::snapshot::Snapshot;

/// Maximum number of events taken from the system at once.
const EVENTS: usize = 1024;

/// How long the listeners pause if no descriptor is free.
pub(super) const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Receives the events of a run.
pub type Reporter = Box<dyn FnMut(&Event) + Send>;

/// Ends a run from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    sender: Sender<()>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// Asks for an orderly end, as Ctrl-C does; the second call asks for an end at once.
    pub fn stop(&self) {
        // A full queue contains enough requests; a dead loop needs no waking.
        let _ = self.sender.try_send(());
        let _ = self.waker.wake();
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }
}

/// The present turn of a loop.
pub(super) struct Turn {
    /// The time of this turn.
    pub(super) now: Instant,
    pub(super) deadlines: Deadlines,
    /// Notices for the side.
    pub(super) notices: VecDeque<Notice>,
    /// When the next guess of the pin may be verified.
    pub(super) verify_at: Option<Instant>,
    poll: Poll,
    events: Events,
    interfaces: InterfaceWatch,
    /// No descriptors are free: the listeners pause until a deadline.
    is_accepting_paused: bool,
    reporter: Reporter,
    pub(super) looks: Looks,
    /// What the control interface tells of events.
    pub(super) tap: Tap,
    /// Tells a service manager, if there is one.
    supervision: Option<Supervision>,
    #[cfg(feature = "cli")]
    signals: Signals,
    stops: Receiver<()>,
    stopper: Stopper,
}

impl Turn {
    pub(super) fn new(reporter: Reporter) -> io::Result<Turn> {
        let poll = Poll::new()?;
        let interfaces = InterfaceWatch::start(poll.registry(), Source::Interfaces.token());
        let waker = Arc::new(Waker::new(poll.registry(), Source::Waker.token())?);
        let (sender, stops) = bounded(2);
        Ok(Turn {
            now: system::now(),
            deadlines: Deadlines::default(),
            notices: VecDeque::new(),
            verify_at: None,
            poll,
            events: Events::with_capacity(EVENTS),
            interfaces,
            is_accepting_paused: false,
            reporter,
            looks: Looks::default(),
            tap: Tap::default(),
            supervision: None,
            #[cfg(feature = "cli")]
            signals: Signals::default(),
            stops,
            stopper: Stopper { sender, waker },
        })
    }

    /// Returns where sockets are registered.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Removes a socket from the poll; one that is not registered does no harm.
    pub(super) fn deregister(&self, socket: &mut (impl system::Source + ?Sized)) {
        if let Err(error) = self.registry().deregister(socket) {
            debug!("deregister error={error}");
        }
    }

    /// Returns a handle that ends this loop from another thread.
    pub(super) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Returns a handle that wakes this loop from another thread.
    pub(super) fn waker(&self) -> Arc<Waker> {
        self.stopper.waker()
    }

    /// Makes SIGINT, SIGTERM and a closed terminal end the run in order; `hang_up` is the meaning of SIGHUP, which may
    /// have been `taken` over already.
    #[cfg(feature = "cli")]
    pub(super) fn handle_signals(&mut self, hang_up: HangUp, taken: Option<HangUps>) -> io::Result<()> {
        self.signals.register(self.poll.registry(), Source::Signals.token(), hang_up, taken)
    }

    /// Has a service manager told how the run is.
    pub(super) fn supervise(&mut self, supervision: Supervision) {
        self.supervision = Some(supervision);
    }

    pub(super) fn report(&mut self, event: &Event) {
        if let Some(supervision) = &mut self.supervision {
            supervision.observe(event);
        }
        (self.reporter)(event);
        self.tap.observe(event);
        self.changed();
    }

    /// Has somebody shown what the run is doing, when it changes, at most once in an interval.
    pub(super) fn observe(&mut self, interval: Duration, observer: Observer) {
        self.looks.observe(interval, observer);
        self.changed();
    }

    /// What the run is doing changed, perhaps: those who watch it are shown it soon.
    pub(super) fn changed(&mut self) {
        if let Some(at) = self.looks.changed(self.now) {
            self.deadlines.add(at, Due::Look);
        }
    }

    /// Tells the side if it is time to show what it is doing.
    pub(super) fn handle_look_due(&mut self) {
        let (is_due, again) = self.looks.poll_due(self.now);
        if is_due {
            self.tell(Notice::Look);
        }
        if let Some(at) = again {
            self.deadlines.add(at, Due::Look);
        }
    }

    /// Shows what the run is doing to those who watch it. Returns who of them follows events and is to be shown it,
    /// too.
    pub(super) fn show(&mut self, snapshot: &Snapshot) -> Vec<WatcherId> {
        let (others, again) = self.looks.show(self.now, snapshot);
        if let Some(at) = again {
            self.deadlines.add(at, Due::Look);
        }
        others
    }

    /// The run does what it is there for. Repeating this says nothing new.
    pub(super) fn ready(&mut self) {
        self.tell_manager(Supervision::ready);
    }

    /// The run begins to read its settings again.
    pub(super) fn reloading(&mut self) {
        self.tell_manager(Supervision::reloading);
    }

    /// The run has read its settings again, or has kept the old ones.
    pub(super) fn reloaded(&mut self) {
        self.tell_manager(Supervision::reloaded);
    }

    /// The run begins to end. Repeating this says nothing new.
    pub(super) fn stopping(&mut self) {
        self.tell_manager(Supervision::stopping);
    }

    /// Tells a service manager what is due.
    pub(super) fn handle_supervision(&mut self) {
        self.tell_manager(Supervision::handle_timeout);
    }

    fn tell_manager(&mut self, tell: impl FnOnce(&mut Supervision, Instant) -> Option<String>) {
        if let Some(supervision) = &mut self.supervision
            && let Some(message) = tell(supervision, self.now)
        {
            self.warn("service-manager", message);
        }
    }

    pub(super) fn warn(&mut self, code: &str, message: String) {
        self.report(&Event::Warning { code: code.to_owned(), message });
    }

    /// Queues a notice for the side.
    pub(super) fn tell(&mut self, notice: impl Into<Notice>) {
        self.notices.push_back(notice.into());
    }

    /// Sets a deadline, counted from now.
    pub(super) fn set(&mut self, after: Duration, due: Due) {
        self.deadlines.add(self.now + after, due);
    }

    /// Pauses the listeners for a while, until a descriptor may be free.
    pub(super) fn pause_accepting(&mut self) {
        if !std::mem::replace(&mut self.is_accepting_paused, true) {
            self.set(EXHAUSTED_PAUSE, Due::Accept);
        }
    }

    /// Waits until something happens or is due; does not wait if there is work. [Put back](Turn::put_back) the events
    /// afterwards.
    pub(super) fn wait(&mut self, has_work: bool) -> io::Result<Events> {
        let timeout = if has_work || !self.notices.is_empty() { Some(Duration::ZERO) } else { self.timeout() };
        trace!("wait timeout={timeout:?}");
        if let Err(error) = self.poll.poll(&mut self.events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        self.now = system::now();
        Ok(std::mem::replace(&mut self.events, Events::with_capacity(0)))
    }

    /// Takes the buffer of events back.
    pub(super) fn put_back(&mut self, events: Events) {
        self.events = events;
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.due_at()?.saturating_duration_since(system::now()))
    }

    /// Returns the next deadline.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let supervision = self.supervision.as_ref().and_then(Supervision::poll_timeout);
        let times = [self.deadlines.next(), self.verify_at, self.interfaces.poll_timeout(), supervision];
        times.into_iter().flatten().min()
    }

    /// Handles a wake-up: another thread may want the loop to stop, or have an answer.
    pub(super) fn handle_wake(&mut self) {
        while self.stops.try_recv().is_ok() {
            self.notices.push_back(Notice::Stop);
        }
        self.tell(Notice::Woken);
    }

    /// Handles signals of the system.
    #[cfg(feature = "cli")]
    pub(super) fn handle_signal(&mut self) {
        let wishes = self.signals.pending().into_iter().map(|wish| match wish {
            Wish::Stop => Notice::Stop,
            Wish::Reload => Notice::Reload,
        });
        self.notices.extend(wishes);
    }

    /// Handles a possible change of this machine's addresses.
    pub(super) fn handle_interfaces(&mut self) {
        self.interfaces.handle_event(self.now);
    }

    /// Handles a listener that may have a connection. While accepting is paused, the listener keeps its readiness, and
    /// the deadline checks it again.
    pub(super) fn handle_listener(&mut self, notice: impl Into<Notice>) {
        if !self.is_accepting_paused {
            self.tell(notice);
        }
    }

    /// Ends the pause of accepting.
    pub(super) fn resume_accepting(&mut self) {
        self.is_accepting_paused = false;
        self.tell(Notice::Acceptable(Listening::All));
        self.tell(ControlNotice::Acceptable(Listening::All));
    }

    /// Returns this machine's addresses if they changed.
    pub(super) fn poll_addresses(&mut self) -> Option<Vec<IpAddr>> {
        self.interfaces.handle_timeout(self.now)
    }

    /// Returns the next deadline that is due.
    pub(super) fn poll_due(&mut self) -> Option<Due> {
        if self.verify_at.is_some_and(|at| at <= self.now) {
            self.verify_at = None;
            self.tell(HostNotice::Verify);
        }
        self.deadlines.pop(self.now)
    }
}
