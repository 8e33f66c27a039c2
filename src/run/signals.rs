//! SIGINT, SIGTERM and SIGHUP, as events of the loop.

use std::io;

#[cfg(unix)]
use crate::net::system::Interest;
use crate::net::system::{Registry, Token};

/// The meaning of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// The run should end: SIGINT, SIGTERM, or the SIGHUP of a closed terminal.
    Stop,
    /// Settings and files should be read again: SIGHUP, for a side that uses it so.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

/// The meaning of SIGHUP, unless it reports a closed terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HangUp {
    /// The run ends.
    Ends,
    /// Settings and files are read again.
    Reloads,
}

/// SIGHUP, taken over before there is a loop: one that comes until then is for the loop.
pub struct HangUps {
    #[cfg(unix)]
    handled: unix::Handled,
}

impl HangUps {
    /// Takes SIGHUP over, so that it does not end the process.
    ///
    /// # Errors
    /// The system's.
    pub fn take() -> io::Result<HangUps> {
        #[cfg(unix)]
        let handled = unix::Handled::new()?;
        #[cfg(unix)]
        handled.take_hang_up()?;
        Ok(HangUps {
            #[cfg(unix)]
            handled,
        })
    }
}

/// The signals of a run; none are handled until they are registered.
#[derive(Default)]
pub(super) struct Signals {
    #[cfg(unix)]
    handled: Option<unix::Handled>,
}

#[cfg(unix)]
impl Signals {
    /// Takes over SIGINT, SIGTERM and SIGHUP for the process. A SIGHUP that `nohup` makes it ignore ends nothing.
    pub(super) fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        hang_up: HangUp,
        taken: Option<HangUps>,
    ) -> io::Result<()> {
        let handled = taken.map_or_else(unix::Handled::new, |taken| Ok(taken.handled))?;
        let handled = self.handled.insert(handled);
        handled.begin(hang_up)?;
        registry.register(handled.source(), token, Interest::READABLE)
    }

    /// Returns the meanings of the signals since the last call.
    pub(super) fn pending(&mut self) -> Vec<Wish> {
        self.handled.as_mut().map_or_else(Vec::new, unix::Handled::pending)
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Leaves Ctrl-C to the system, which ends the process; the peer notices by itself.
    pub(super) fn register(
        &mut self,
        _registry: &Registry,
        _token: Token,
        _hang_up: HangUp,
        _taken: Option<HangUps>,
    ) -> io::Result<()> {
        Ok(())
    }

    /// Returns nothing.
    pub(super) fn pending(&mut self) -> Vec<Wish> {
        Vec::new()
    }
}

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook_mio::v1_0::Signals;

    use super::{HangUp, Wish};

    /// Signals that were taken over.
    pub(super) struct Handled {
        source: Signals,
        meaning: Meaning,
    }

    /// Derives the meaning of signals, one after the other.
    struct Meaning {
        hang_up: HangUp,
        /// SIGHUP was ignored when the process started.
        is_nohup: bool,
        /// Which of stdin, stdout and stderr were terminals at the start.
        terminals: [bool; 3],
        /// A signal has asked for the end.
        is_stopping: bool,
    }

    impl Handled {
        /// Looks at how the process was started; no signal is taken over yet.
        pub(super) fn new() -> io::Result<Handled> {
            let terminals = terminals();
            let is_nohup = is_hang_up_ignored().unwrap_or(!terminals[1] && !terminals[2]);
            let source = Signals::new::<[i32; 0], i32>([])?;
            Ok(Handled { source, meaning: Meaning { hang_up: HangUp::Ends, is_nohup, terminals, is_stopping: false } })
        }

        pub(super) fn take_hang_up(&self) -> io::Result<()> {
            self.source.add_signal(SIGHUP)
        }

        /// Takes the signals over, if they are not yet.
        pub(super) fn begin(&mut self, hang_up: HangUp) -> io::Result<()> {
            self.meaning.hang_up = hang_up;
            if hang_up == HangUp::Reloads || !self.meaning.is_nohup {
                self.take_hang_up()?;
            }
            [SIGINT, SIGTERM].into_iter().try_for_each(|signal| self.source.add_signal(signal))
        }

        pub(super) fn source(&mut self) -> &mut Signals {
            &mut self.source
        }

        pub(super) fn pending(&mut self) -> Vec<Wish> {
            self.source.pending().filter_map(|signal| self.meaning.wish(signal)).collect()
        }
    }

    impl Meaning {
        fn wish(&mut self, signal: i32) -> Option<Wish> {
            let was_stopping = self.is_stopping;
            if signal == SIGHUP {
                if self.hang_up == HangUp::Reloads && (self.is_nohup || !self.has_lost_terminal()) {
                    return Some(Wish::Reload);
                }
                self.is_stopping = true;
                // Shells and service managers send it along with others, so it never counts as the second one, which
                // ends at once.
                return (!was_stopping).then_some(Wish::Stop);
            }
            self.is_stopping = true;
            Some(Wish::Stop)
        }

        /// Tells whether a former terminal is no longer one: it was closed.
        fn has_lost_terminal(&self) -> bool {
            self.terminals.iter().zip(terminals()).any(|(was, is)| *was && !is)
        }
    }

    fn terminals() -> [bool; 3] {
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
    }

    /// Tells whether the process was started with SIGHUP ignored, if the system says. Elsewhere, under `nohup`, neither
    /// stdout nor stderr is a terminal.
    fn is_hang_up_ignored() -> Option<bool> {
        ignores_hang_up(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    /// Reads the mask of ignored signals (proc_pid_status(5)); its lowest bit is signal 1.
    fn ignores_hang_up(status: &str) -> Option<bool> {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        let mask = u64::from_str_radix(mask.trim(), 16).ok()?;
        Some(mask >> (SIGHUP - 1) & 1 == 1)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_mask_of_ignored_signals_is_read() {
            assert_eq!(ignores_hang_up("SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n"), Some(false));
            assert_eq!(ignores_hang_up("SigIgn:\t0000000000001001\n"), Some(true));
            assert_eq!(ignores_hang_up("SigIgn:\tx\n"), None);
            assert_eq!(ignores_hang_up(""), None);
        }

        #[test]
        fn a_hang_up_is_never_the_second_signal() {
            let new = || Meaning { hang_up: HangUp::Ends, is_nohup: false, terminals: terminals(), is_stopping: false };
            let mut meaning = new();
            assert_eq!([SIGHUP, SIGHUP].map(|signal| meaning.wish(signal)), [Some(Wish::Stop), None]);
            assert_eq!(meaning.wish(SIGTERM), Some(Wish::Stop));
            let mut meaning = new();
            assert_eq!([SIGTERM, SIGHUP].map(|signal| meaning.wish(signal)), [Some(Wish::Stop), None]);
            assert_eq!(meaning.wish(SIGINT), Some(Wish::Stop));
        }

        #[test]
        fn files_are_read_again_while_there_is_no_terminal_to_lose() {
            let mut meaning =
                Meaning { hang_up: HangUp::Reloads, is_nohup: false, terminals: [false; 3], is_stopping: false };
            assert_eq!([SIGHUP, SIGHUP].map(|signal| meaning.wish(signal)), [Some(Wish::Reload); 2]);
            assert_eq!([SIGTERM, SIGHUP].map(|signal| meaning.wish(signal)), [Some(Wish::Stop), Some(Wish::Reload)]);
        }
    }
}
