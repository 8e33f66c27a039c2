//! Whom the sentences are for, and how they look.

use std::env;
use std::io::{self, IsTerminal};

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

/// How a person wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Colours on stdout.
    pub colour: bool,
    /// Colours on stderr.
    pub error_colour: bool,
    /// A line for every stream that opens, closes or fails.
    pub streams: bool,
    /// An invitation has a QR code.
    pub qr: bool,
}

impl Style {
    /// Returns plain text with everything in it.
    #[cfg(test)]
    pub fn plain() -> Style {
        Style { colour: false, error_colour: false, streams: true, qr: false }
    }

    /// Returns the style for this process's stdout and stderr: colours on a terminal only, and never with `NO_COLOR`
    /// set.
    pub fn of_process(streams: bool) -> Style {
        let wanted = colours_wanted();
        Style {
            colour: wanted && io::stdout().is_terminal(),
            error_colour: wanted && io::stderr().is_terminal(),
            streams,
            qr: false,
        }
    }
}

/// Follows <https://no-color.org>. No colours on dumb terminals, nor on old Windows consoles, which print the codes.
fn colours_wanted() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let understood = cfg!(not(windows)) || set("WT_SESSION") || set("TERM");
    !set("NO_COLOR") && !dumb && understood
}
