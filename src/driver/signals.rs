//! SIGINT, SIGTERM and SIGHUP, as events of the loop.

use std::io;

use mio::{Registry, Token};

/// What somebody wants by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGINT or SIGTERM.
    Stop,
    /// SIGHUP.
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no such signal"))]
    Reload,
}

/// The signals of a run; none are handled until they are registered.
#[derive(Default)]
pub(super) struct Signals {
    #[cfg(unix)]
    source: Option<signal_hook_mio::v1_0::Signals>,
}

#[cfg(unix)]
impl Signals {
    /// Takes over SIGINT and SIGTERM for the process, and SIGHUP if that has a meaning.
    pub(super) fn register(&mut self, registry: &Registry, token: Token, reloads: bool) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let signals = [SIGINT, SIGTERM].into_iter().chain(reloads.then_some(SIGHUP));
        let source = self.source.insert(signal_hook_mio::v1_0::Signals::new(signals)?);
        registry.register(source, token, mio::Interest::READABLE)
    }

    /// Returns what is wanted since the last call.
    pub(super) fn pending(&mut self) -> Vec<Wish> {
        let wish = |signal| if signal == signal_hook::consts::SIGHUP { Wish::Reload } else { Wish::Stop };
        self.source.as_mut().map_or_else(Vec::new, |source| source.pending().map(wish).collect())
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Leaves Ctrl-C to the system, which ends the process; the peer notices by itself.
    pub(super) fn register(&mut self, _registry: &Registry, _token: Token, _reloads: bool) -> io::Result<()> {
        Ok(())
    }

    /// Returns nothing.
    pub(super) fn pending(&mut self) -> Vec<Wish> {
        Vec::new()
    }
}
