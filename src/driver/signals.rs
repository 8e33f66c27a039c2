//! SIGINT and SIGTERM, as events of the loop.

use std::io;

use mio::{Registry, Token};

/// The signals a run ends on; none are handled until they are registered.
#[derive(Default)]
pub(super) struct Signals {
    #[cfg(unix)]
    source: Option<signal_hook_mio::v1_0::Signals>,
}

#[cfg(unix)]
impl Signals {
    /// Takes over SIGINT and SIGTERM for the process.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let source = self.source.insert(signal_hook_mio::v1_0::Signals::new([SIGINT, SIGTERM])?);
        registry.register(source, token, mio::Interest::READABLE)
    }

    /// Returns how many signals came since the last call.
    pub(super) fn pending(&mut self) -> usize {
        self.source.as_mut().map_or(0, |source| source.pending().count())
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Leaves Ctrl-C to the system, which ends the process; the peer notices by itself.
    pub(super) fn register(&mut self, _registry: &Registry, _token: Token) -> io::Result<()> {
        Ok(())
    }

    /// Returns 0.
    pub(super) fn pending(&mut self) -> usize {
        0
    }
}
