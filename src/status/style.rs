//! Whom the sentences are for, and how they look.

use std::env;
use std::io::{self, IsTerminal};
use std::net::IpAddr;

use crate::config::SharedService;

/// Which side's events a person reads; some words differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A host, with its services.
    Host {
        /// Its services.
        services: Vec<SharedService>,
    },
    /// A client.
    Client,
    /// A server.
    Server,
}

/// Which lines there are about single streams, requests and clients of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// None.
    Silent,
    /// For each stream that fails, each request and each client.
    Failed,
    /// For each stream that opens, closes or fails, too.
    All,
}

/// How a person wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Colours on stdout.
    pub colour: bool,
    /// Colours on stderr.
    pub error_colour: bool,
    /// Which lines there are about single streams.
    pub streams: Streams,
    /// An invitation has a QR code.
    pub qr: bool,
    /// The first invitation goes into the terminal's clipboard.
    pub copy: bool,
    /// The address by which machines of the same network reach this one, if it is known.
    pub address: Option<IpAddr>,
}

impl Style {
    /// Returns plain text with everything in it.
    #[cfg(test)]
    pub fn plain() -> Style {
        Style { colour: false, error_colour: false, streams: Streams::All, qr: false, copy: false, address: None }
    }

    /// Returns the style for this process's stdout and stderr: colours on a terminal only, and never with `NO_COLOR`
    /// set.
    pub fn of_process(streams: Streams) -> Style {
        let wanted = colours_wanted();
        Style {
            colour: wanted && io::stdout().is_terminal(),
            error_colour: wanted && io::stderr().is_terminal(),
            streams,
            qr: false,
            copy: false,
            address: None,
        }
    }
}

/// Tells whether colours are wanted, as <https://no-color.org> says, and shown by a terminal.
pub fn colours_wanted() -> bool {
    !is_set("NO_COLOR") && !is_dumb() && is_understood()
}

/// Tells whether a terminal moves its cursor and clears as it is told.
#[cfg(feature = "cli")]
pub fn is_terminal_able() -> bool {
    let is_named = cfg!(not(unix)) || is_set("TERM");
    is_named && !is_dumb() && is_understood()
}

fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Old Windows consoles print the codes.
fn is_understood() -> bool {
    cfg!(not(windows)) || is_set("WT_SESSION") || is_set("TERM")
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}
