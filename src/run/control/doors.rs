//! Where requests come in: a unix socket that only the user may open, and a TCP port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{AdminToken, ControlConfig};
use crate::control;
use crate::net::listen;
use crate::net::listen::ListenError;
use crate::net::listener::Listener;
#[cfg(unix)]
use crate::run::turn::Turn;

/// A listener, and who may come in there.
pub(in crate::run) struct Door {
    pub(super) listener: Listener,
    pub(super) door: control::Door,
}

impl Door {
    /// Listens on a TCP address, for those who have the token.
    pub(super) fn port(address: SocketAddr, token: AdminToken) -> Result<Door, ListenError> {
        Ok(Door { listener: Listener::Tcp(listen::listen(address)?), door: control::Door::Port(token) })
    }
}

/// Returns what a process calls itself that has no socket.
pub(super) fn name_of(config: &ControlConfig) -> String {
    config.name.to_string()
}

/// Returns where somebody on this machine finds what listens at an address.
pub(super) fn nearest(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(addr) if addr.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, addr.port()).into(),
        SocketAddr::V6(addr) if addr.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, addr.port()).into(),
        addr => addr,
    }
}

/// Listens on a unix socket, if that is possible. Returns the name that the process has there.
#[cfg(unix)]
pub(super) fn socket(turn: &mut Turn, config: &ControlConfig) -> Option<(Door, String)> {
    if config.folders.is_empty() {
        return None;
    }
    match unix::socket(config) {
        Ok((listener, name)) => {
            if name != config.name.as_str() {
                let message = format!("another process is called {}, so this one is {name}", config.name);
                turn.warn("control", message);
            }
            Some((Door { listener, door: control::Door::Socket }, name))
        }
        Err(message) if config.is_named => {
            turn.warn("control", message);
            None
        }
        Err(message) => {
            log::info!("{message}");
            None
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::path::Path;
    use std::process;

    use crate::config::{ControlConfig, ControlFolder};
    use crate::net::folder;
    use crate::net::listen::ListenError;
    use crate::net::listener::Listener;

    /// Makes the socket in the first folder that can be used.
    pub(super) fn socket(config: &ControlConfig) -> Result<(Listener, String), String> {
        let mut problems = Vec::new();
        for ControlFolder { path, is_made, .. } in &config.folders {
            let problem = match prepared(path, *is_made) {
                Ok(()) => match in_folder(path, config.name.as_str()) {
                    Ok(found) => return Ok(found),
                    Err(error) => error.to_string(),
                },
                Err(error) => format!("{}: {error}", path.display()),
            };
            problems.push(problem);
        }
        Err(format!("this run has no control socket, because no folder can have it: {}", problems.join("; ")))
    }

    fn prepared(path: &Path, is_made: bool) -> io::Result<()> {
        if is_made {
            folder::make(path)?;
        }
        folder::check(path)
    }

    fn in_folder(path: &Path, name: &str) -> Result<(Listener, String), ListenError> {
        let at = |name: &str| Listener::unix(&path.join(format!("{name}.sock")));
        match at(name) {
            Err(ListenError::Path { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                let other = format!("{name}-{}", process::id());
                Ok((at(&other)?, other))
            }
            listener => Ok((listener?, name.to_owned())),
        }
    }
}
