//! What a run is doing, at the bottom of the terminal: whether that is wanted, and what Ctrl-Z does to it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use dialoguer::console::Term;

use crate::run::Observer;
use crate::status::board::{Size, Watch};
use crate::status::printer::{Printer, Terminal};
use crate::status::style::{colours_wanted, is_terminal_able};

/// Shortest time between two looks at what a run is doing.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);

/// Returns the terminal behind stderr, if lines can stay at its bottom.
pub(super) fn terminal() -> Option<Terminal> {
    let is_able = io::stderr().is_terminal() && is_terminal_able();
    is_able.then(|| Terminal { size: Box::new(size), colour: colours_wanted() })
}

/// Returns columns and rows of a terminal that can do more than print lines.
pub(super) fn screen() -> Option<(usize, usize)> {
    let is_able = [io::stdout().is_terminal(), io::stderr().is_terminal(), is_terminal_able()] == [true; 3];
    let (rows, columns) = is_able.then(|| Term::stderr().size_checked()).flatten()?;
    Some((columns.into(), rows.into()))
}

/// Returns the size of the terminal, if it belongs to this process at present.
fn size() -> Option<Size> {
    let size = || Term::stderr().size_checked();
    let (rows, columns) = job::is_in_foreground().then(size).flatten()?;
    Some(Size { columns: columns.into(), rows: rows.into() })
}

/// The bottom of the terminal while a run has it. It is as before when this is dropped, also by a panic.
pub(super) struct Bottom<'a> {
    printer: &'a Printer,
}

impl<'a> Bottom<'a> {
    /// Takes over what stops the process and lets it go on, if there is a terminal with lines at its bottom.
    pub(super) fn begin(printer: &'a Printer) -> Option<Bottom<'a>> {
        if !printer.has_bottom() {
            return None;
        }
        if let Err(error) = job::watch(printer.clone()) {
            log::warn!("Ctrl-Z will leave the status on the screen: {error}");
        }
        Some(Bottom { printer })
    }

    /// Returns what shows what a run is doing.
    pub(super) fn observer(&self) -> Observer {
        let (printer, mut watch) = (self.printer.clone(), Watch::default());
        Box::new(move |snapshot| printer.show(watch.board(snapshot)))
    }
}

impl Drop for Bottom<'_> {
    fn drop(&mut self) {
        self.printer.clear();
        self.printer.finish();
    }
}

#[cfg(unix)]
mod job {
    use std::fs;
    use std::io;
    use std::thread;

    use rustix::process::{Pid, getpgid, getpgrp, getppid, getsid};
    use signal_hook::consts::{SIGCONT, SIGTSTP, SIGWINCH};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    use crate::status::printer::Printer;

    /// How far up parents are looked at: more of them in one job are unheard of.
    const MAX_PARENTS: usize = 16;

    /// Tells whether the terminal is this job's. A terminal that controls nothing has no jobs.
    pub(super) fn is_in_foreground() -> bool {
        rustix::termios::tcgetpgrp(io::stderr()).map_or(true, |group| group == getpgrp())
    }

    /// Has the bottom cleared before Ctrl-Z stops the process, and drawn again when it goes on, or the size changed.
    pub(super) fn watch(printer: Printer) -> io::Result<()> {
        let mut signals = Signals::new([SIGTSTP, SIGCONT, SIGWINCH])?;
        let watch = move || {
            for signal in signals.forever() {
                if signal != SIGTSTP {
                    printer.redraw();
                } else if !is_orphaned() {
                    printer.hide();
                    // Stops here, and goes on here.
                    let _ = emulate_default_handler(SIGTSTP);
                    printer.unhide();
                }
            }
        };
        thread::Builder::new().name("job control".into()).spawn(watch).map(drop)
    }

    /// Tells whether nobody could let a stopped process go on. The system does not stop such a process, either.
    fn is_orphaned() -> bool {
        let (session, group) = (getsid(None).ok(), getpgrp());
        let mut parent = getppid();
        for _ in 0..MAX_PARENTS {
            let Some(pid) = parent.filter(|pid| getsid(Some(*pid)).ok() == session) else { return true };
            if getpgid(Some(pid)).ok() != Some(group) {
                return false;
            }
            let Some(next) = parent_of(pid) else { return false };
            parent = Pid::from_raw(next);
        }
        false
    }

    /// Returns the parent of a process, where the system tells.
    fn parent_of(pid: Pid) -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // The second field may hold anything, in parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        fields.split_whitespace().nth(1)?.parse().ok()
    }
}

#[cfg(not(unix))]
mod job {
    use std::io;

    use crate::status::printer::Printer;

    pub(super) fn is_in_foreground() -> bool {
        true
    }

    pub(super) fn watch(_printer: Printer) -> io::Result<()> {
        Ok(())
    }
}
