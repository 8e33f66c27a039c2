//! `pinhole status`, `invite` and `uninvite`: they ask processes that run on this machine, each by its socket.

mod absent;
mod arguments;
mod ask;
mod http;
mod invite;
mod lines;
mod place;
mod show;
mod status;
mod watch;

#[cfg(test)]
mod fake_tests;

pub use arguments::{InviteArguments, StatusArguments, UninviteArguments};

#[cfg(test)]
pub(in crate::cli) use arguments::{INVITE_EXAMPLES, STATUS_EXAMPLES, UNINVITE_EXAMPLES};

use std::path::PathBuf;

/// What one of these commands is to do.
#[derive(Debug, Clone)]
pub enum Task {
    /// `pinhole status`.
    Status(StatusArguments),
    /// `pinhole invite`.
    Invite(InviteArguments),
    /// `pinhole uninvite`.
    Uninvite(UninviteArguments),
}

impl Task {
    /// Does it.
    pub(super) fn run(&self, scene: &Scene) -> Ending {
        match self {
            Task::Status(arguments) => status::status(arguments, scene),
            Task::Invite(arguments) => invite::invite(arguments, scene),
            Task::Uninvite(arguments) => invite::uninvite(arguments, scene),
        }
    }
}

/// How one of these commands ended, beside what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was asked for.
    Done,
    /// It failed: a stable word for programs, and a sentence.
    Failed(&'static str, String),
    /// What it was asked for can mean several things: a sentence.
    Unclear(String),
}

/// What is around one of these commands.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The folders where sockets of this user's processes may be.
    pub folders: Vec<PathBuf>,
    /// Somebody is at the terminal, and may be asked.
    pub is_asked: bool,
}
