//! The file of `pinhole run`, read again.

use std::env;
use std::ffi::OsString;

use super::command::{Command, Parsed, Surroundings};
use super::line;
use super::output::Output;
use super::question::{NoAnswer, Question};
use super::surroundings;
#[cfg(feature = "server")]
use crate::config::ServerConfig;
use crate::config::{ClientConfig, HostConfig, StreamTarget};
use crate::fault;
use crate::run::{Reader, Reread};

/// What is said of a file that runs nothing; none does.
const NOTHING: &str = "the file is for nothing that runs";

/// A command line with a file that is read again: it counts as it did at the start, and so does the environment.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    arguments: Vec<OsString>,
    role: &'static str,
    /// How the run talks.
    output: Output,
    /// What was remarked already.
    remarks: Vec<String>,
    /// There was somebody to ask.
    is_interactive: bool,
}

impl Origin {
    /// Returns where a command came from, if that is a file.
    pub(super) fn of(parsed: &Parsed, is_interactive: bool) -> Option<Origin> {
        let role = parsed.role?;
        let (output, remarks) = (parsed.command.output(), parsed.remarks.clone());
        Some(Origin { arguments: env::args_os().collect(), role, output, remarks, is_interactive })
    }

    /// Returns what reads the settings of a host again.
    pub(super) fn host(mut self) -> Reader<Reread<HostConfig>> {
        Box::new(move || match self.read("")? {
            Command::Host(config, output) => Ok(Reread { config, left: self.left(output) }),
            _ => Err(NOTHING.to_owned()),
        })
    }

    /// Returns what reads the settings of a client again. `pin` is what a person answered, or would.
    pub(super) fn client(mut self, pin: String, pipe: Option<StreamTarget>) -> Reader<Reread<ClientConfig>> {
        Box::new(move || match self.read(&pin)? {
            Command::Client(config, wanted, output) => {
                let mut left = self.left(output);
                left.extend((wanted != pipe).then(|| "pipe".to_owned()));
                Ok(Reread { config, left })
            }
            _ => Err(NOTHING.to_owned()),
        })
    }

    /// Returns what reads the settings of a server again.
    #[cfg(feature = "server")]
    pub(super) fn server(mut self) -> Reader<Reread<ServerConfig>> {
        Box::new(move || match self.read("")? {
            Command::Server(config, output) => Ok(Reread { config, left: self.left(output) }),
            _ => Err(NOTHING.to_owned()),
        })
    }

    /// Reads the file.
    fn read(&mut self, pin: &str) -> Result<Command, String> {
        // Nobody is asked twice.
        let mut answer = |_: &Question<'_>| -> Result<String, NoAnswer> { Ok(pin.to_owned()) };
        let ask = self.is_interactive.then_some(&mut answer as _);
        let surroundings = Surroundings { role: Some(self.role), ..surroundings(ask) };
        let parsed = fault::caught(|| line::parse(self.arguments.clone(), surroundings));
        let parsed = parsed.map_err(|fault| fault.to_string())?;
        let Parsed { command, remarks, .. } = parsed.map_err(|failure| failure.to_string())?;
        for remark in remarks {
            if !self.remarks.contains(&remark) {
                log::warn!("{remark}");
                self.remarks.push(remark);
            }
        }
        Ok(command)
    }

    /// Names what is different about how the run talks.
    fn left(&self, output: Output) -> Vec<String> {
        // What only answers can say is no part of a file.
        let Output { json, verbosity, plain, qr, copy: _ } = output;
        let own = self.output;
        let names = [
            (json != own.json, "json"),
            (verbosity != own.verbosity, "verbose"),
            (plain != own.plain, "plain"),
            (qr != own.qr, "qr"),
        ];
        names.into_iter().filter(|(differs, _)| *differs).map(|(_, name)| name.to_owned()).collect()
    }
}
