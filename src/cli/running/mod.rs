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

use crate::config::{ControlFolder, ProcessName};

/// Returns the names of the sockets there are, one a line. Nobody is asked: a shell waits for this.
pub(super) fn names(folders: &[ControlFolder]) -> String {
    let folders: Vec<PathBuf> = folders.iter().map(|folder| folder.path.clone()).collect();
    let sockets = place::sockets(&folders, None).sockets.into_iter();
    // What is no name of a process could be more than a word to a shell.
    let names = sockets.filter_map(|socket| socket.name.parse::<ProcessName>().ok());
    names.map(|name| format!("{name}\n")).collect()
}

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
    /// The terminal is written to line by line.
    pub is_plain: bool,
}
