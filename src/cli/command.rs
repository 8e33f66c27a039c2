//! Arguments, the environment and answers, joined into one command that is ready to run.

use std::ffi::OsString;
use std::path::PathBuf;

use super::args::{Action, Arguments};
use super::check;
use super::choices;
use super::client::{self, ClientSurroundings};
use super::control::{self, ControlArguments, ControlSurroundings};
use super::documents::{Document, NameKind};
use super::failure::UsageError;
use super::host::{self, HostSurroundings};
use super::hosts::{self, Asked, Change};
#[cfg(unix)]
use super::install::Plan;
use super::logging::Verbosity;
use super::machine::Machine;
use super::output::Output;
use super::question::{Ask, NoAnswer};
#[cfg(unix)]
use super::running::{self, Task};
use super::saving::SavedName;
use super::secrets::PIN;
#[cfg(feature = "server")]
use super::server;
#[cfg(unix)]
use super::unit::UninstallArguments;
use super::wizard::{self, Answers, Around};
#[cfg(feature = "server")]
use crate::config::ServerConfig;
use crate::config::{CheckConfig, ClientConfig, HostConfig, StreamTarget};
use crate::http::proxy::ProxyVariables;
use crate::run::PingPlan;

/// What a command line asks for, ready to run.
#[derive(Debug, Clone)]
pub enum Command {
    /// `pinhole host`.
    Host(HostConfig, Output),
    /// `pinhole client`.
    Client(ClientConfig, Option<StreamTarget>, Output),
    /// `pinhole server`.
    #[cfg(feature = "server")]
    Server(ServerConfig, Output),
    /// `pinhole check`.
    Check(CheckConfig, Output),
    /// `pinhole ping`.
    Ping(ClientConfig, PingPlan, Output),
    /// `pinhole demo`.
    Demo(Output),
    /// `pinhole verify` and `--print-config`: says this, and ends.
    Print(String),
    /// `pinhole client --save` and `pinhole hosts --remove`.
    SaveHosts(Box<Change>),
    /// `pinhole completions` and `pinhole man`.
    Document(Document, Output),
    /// `pinhole status`, `invite` and `uninvite`.
    #[cfg(unix)]
    Running(Box<Task>, Output),
    /// `pinhole install`.
    #[cfg(unix)]
    Install(Box<Plan>),
    /// `pinhole uninstall`.
    #[cfg(unix)]
    Uninstall(UninstallArguments),
}

impl Command {
    /// Returns how the run talks.
    pub fn output(&self) -> Output {
        match self {
            Command::Host(_, output)
            | Command::Client(_, _, output)
            | Command::Check(_, output)
            | Command::Ping(_, _, output)
            | Command::Demo(output)
            | Command::Document(_, output) => *output,
            #[cfg(feature = "server")]
            Command::Server(_, output) => *output,
            Command::Print(_) | Command::SaveHosts(_) => Output::default(),
            #[cfg(unix)]
            Command::Install(_) | Command::Uninstall(_) => Output::default(),
            #[cfg(unix)]
            Command::Running(_, output) => *output,
        }
    }
}

/// A command line that made sense.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What to run.
    pub command: Command,
    /// When questions led to it, the command line that does the same without them.
    pub equivalent: Option<String>,
    /// What is to be warned of.
    pub remarks: Vec<String>,
    /// The role of the file of `pinhole run`.
    pub role: Option<&'static str>,
    /// The name of the saved host whose saved pin is used.
    pub keeper: Option<String>,
}

impl From<Command> for Parsed {
    fn from(command: Command) -> Parsed {
        Parsed { command, equivalent: None, remarks: Vec::new(), role: None, keeper: None }
    }
}

/// What the command line takes from around it.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// Asks a person; `None` when stdin or stderr is no terminal.
    pub ask: Option<&'a mut Ask<'a>>,
    /// The value of `PINHOLE_PIN`; empty counts as unset.
    pub pin: Option<OsString>,
    /// The value of `PINHOLE_TOKEN`; empty counts as unset.
    pub token: Option<OsString>,
    /// The value of `PINHOLE_PUBLIC_AUTH`; empty counts as unset.
    pub public_auth: Option<OsString>,
    /// The value of `PINHOLE_PROXY_AUTH`; empty counts as unset.
    pub proxy_auth: Option<OsString>,
    /// The variables that name proxies.
    pub proxies: ProxyVariables,
    /// The value of `CREDENTIALS_DIRECTORY`, where systemd has the secrets of a unit.
    pub credentials: Option<PathBuf>,
    /// The folder that paths of the command line are relative to.
    pub folder: Option<PathBuf>,
    /// The folder of the person's settings.
    pub config: Option<PathBuf>,
    /// The machine that questions are asked on.
    pub machine: Machine,
    /// The role that runs already, for a file that is read again.
    pub role: Option<&'static str>,
    /// Where the process may be looked at.
    pub control: ControlSurroundings,
}

impl Surroundings<'_> {
    /// Tells whether a variable gives the secret of this key.
    pub(super) fn has_secret(&self, key: &str) -> bool {
        self.secret(key).is_some()
    }

    /// Returns the secret of this key that a variable gives.
    pub(super) fn secret(&self, key: &str) -> Option<&OsString> {
        let variable = match key {
            "pin" => &self.pin,
            "token" => &self.token,
            "public-auth" => &self.public_auth,
            "proxy-auth" => &self.proxy_auth,
            _ => &None,
        };
        variable.as_ref().filter(|value| !value.is_empty())
    }
}

/// Why arguments and their surroundings are no command.
pub(super) enum Refusal {
    /// Help or the version was asked for.
    Help(clap::Error),
    Usage(UsageError),
    NoAnswer(NoAnswer),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Refusal {
        if error.use_stderr() { Refusal::Usage(UsageError::of(error)) } else { Refusal::Help(error) }
    }
}

impl From<UsageError> for Refusal {
    fn from(usage: UsageError) -> Refusal {
        Refusal::Usage(usage)
    }
}

impl From<NoAnswer> for Refusal {
    fn from(no_answer: NoAnswer) -> Refusal {
        Refusal::NoAnswer(no_answer)
    }
}

/// Joins the arguments of a command that is no file's, and what is around them.
pub(super) fn command(arguments: Arguments, surroundings: Surroundings<'_>) -> Result<Parsed, Refusal> {
    let Surroundings { ask, pin, token, public_auth, proxy_auth, proxies, config, control, .. } = surroundings;
    let verbosity = Verbosity::new(arguments.quiet, arguments.verbose);
    let plain = arguments.plain;
    let output = |json| Output { json, verbosity, plain, ..Output::default() };
    match arguments.command {
        #[cfg(unix)]
        Some(Action::Uninstall(uninstall)) => Ok(Command::Uninstall(uninstall).into()),
        #[cfg(unix)]
        Some(Action::Status(status)) => {
            let output = output(status.json);
            Ok(Command::Running(Box::new(Task::Status(status)), output).into())
        }
        #[cfg(unix)]
        Some(Action::Invite(invite)) => {
            let output = Output { qr: invite.qr, ..output(invite.json) };
            Ok(Command::Running(Box::new(Task::Invite(invite)), output).into())
        }
        #[cfg(unix)]
        Some(Action::Uninvite(uninvite)) => {
            let output = output(uninvite.json);
            Ok(Command::Running(Box::new(Task::Uninvite(uninvite)), output).into())
        }
        Some(Action::Host(host)) => {
            let output = Output { qr: host.qr, ..output(host.json) };
            let (terminal, proxies) = (ask.is_some(), &proxies);
            let surroundings = HostSurroundings { pin, token, public_auth, proxies, terminal, control };
            let (config, remarks) = host::settings(host, surroundings)?;
            Ok(Parsed { remarks, ..Command::Host(config, output).into() })
        }
        #[cfg(feature = "server")]
        Some(Action::Server(server)) => {
            let output = output(server.wants_json());
            let mut remarks = Vec::new();
            let config = server::settings(server, control, &mut remarks)?;
            Ok(Parsed { remarks, ..Command::Server(config, output).into() })
        }
        Some(Action::Client(client)) => {
            let output = output(client.json);
            let mut remarks = Vec::new();
            let surroundings =
                ClientSurroundings { pin, proxy_auth, proxies: &proxies, remarks: &mut remarks, control };
            let pipe = client.pipe.clone();
            let (settings, pin) = client::settings(client, surroundings)?;
            let pin = match (pin, ask) {
                (Some(pin), _) => pin,
                (None, Some(ask)) => wizard::pin(ask)?,
                (None, None) => return Err(UsageError::NoPin.into()),
            };
            Ok(Parsed { remarks, ..Command::Client(settings(pin), pipe, output).into() })
        }
        Some(Action::Check(check)) => {
            let output = output(check.json);
            let config = check::settings(check, pin, &proxies)?;
            Ok(Command::Check(config, output).into())
        }
        Some(Action::Hosts(arguments)) => match hosts::asked(&arguments, config.as_deref())? {
            Asked::List(text) => Ok(Command::Print(text).into()),
            Asked::Removal(change) => Ok(Command::SaveHosts(Box::new(change)).into()),
        },
        // A shell that completes shows no error.
        Some(Action::Names(names)) => Ok(Command::Print(match names.kind {
            NameKind::Saved => hosts::names(config.as_deref()),
            #[cfg(unix)]
            NameKind::Running => running::names(&control.folders),
            #[cfg(not(unix))]
            NameKind::Running => String::new(),
        })
        .into()),
        Some(Action::Demo(demo)) => Ok(Command::Demo(output(demo.json)).into()),
        Some(Action::Completions(completions)) => {
            Ok(Command::Document(Document::Completions(completions.shell), output(false)).into())
        }
        Some(Action::Man(manual)) => Ok(Command::Document(Document::Manual(manual.folder), output(false)).into()),
        // Questions, files and units are no commands by themselves: what they say is joined in their place.
        None | Some(Action::Run(_) | Action::Verify(_) | Action::Ping(_)) => Err(UsageError::NoCommand.into()),
        #[cfg(unix)]
        Some(Action::Install(_)) => Err(UsageError::NoCommand.into()),
    }
}

/// Asks for everything. Returns the name of a saved host, if that is the answer.
pub(super) fn ask_for_all(
    surroundings: &mut Surroundings<'_>,
    output: Output,
) -> Result<Result<Parsed, SavedName>, Refusal> {
    let ask = surroundings.ask.as_mut().ok_or(UsageError::NoCommand)?;
    let pin = PIN.pick(None, None, surroundings.pin.clone(), &mut Vec::new())?;
    let machine = Machine { screen: surroundings.machine.screen.filter(|_| !output.plain), ..surroundings.machine };
    let around = Around { pin, machine, saved: hosts::saved(surroundings.config.as_deref()) };
    let answers = wizard::questions(*ask, around)?;
    let equivalent = Some(answers.command());
    let around = std::mem::take(&mut surroundings.control);
    let control = |role| control::settings(ControlArguments::default(), role, around, &mut Vec::new());
    let command = match answers {
        Answers::Host(mut config, extras) => {
            config.control = control("host")?;
            Command::Host(config, Output { qr: extras.qr, copy: extras.copy, ..output })
        }
        Answers::Client(mut config) => {
            config.proxy = choices::proxy(&config.url, &surroundings.proxies)?;
            config.control = control("client")?;
            Command::Client(config, None, output)
        }
        Answers::Saved(name) => return Ok(Err(name)),
    };
    Ok(Ok(Parsed { equivalent, ..command.into() }))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
