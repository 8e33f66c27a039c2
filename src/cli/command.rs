//! Arguments, the environment and answers, joined into one command that is ready to run.

use std::ffi::OsString;

use clap::Parser;

use super::args::{Action, Arguments};
use super::choices::{self, PIN_VARIABLE};
use super::client::{self, ClientSurroundings};
use super::documents::Document;
use super::failure::{Failure, UsageError};
use super::host::{self, HostSurroundings};
use super::logging::Verbosity;
use super::output::Output;
use super::question::{Ask, NoAnswer};
#[cfg(feature = "server")]
use super::server;
use super::wizard::{self, Answers};
use super::{check, secrets};
#[cfg(feature = "server")]
use crate::config::ServerConfig;
use crate::config::{CheckConfig, ClientConfig, HostConfig, StreamTarget};
use crate::http::proxy::ProxyVariables;
use crate::signaling::pin::Pin;

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
    /// `pinhole demo`.
    Demo(Output),
    /// `pinhole completions` and `pinhole man`.
    Document(Document, Output),
}

impl Command {
    /// Returns how the run talks.
    pub fn output(&self) -> Output {
        match self {
            Command::Host(_, output)
            | Command::Client(_, _, output)
            | Command::Check(_, output)
            | Command::Demo(output)
            | Command::Document(_, output) => *output,
            #[cfg(feature = "server")]
            Command::Server(_, output) => *output,
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
}

impl From<Command> for Parsed {
    fn from(command: Command) -> Parsed {
        Parsed { command, equivalent: None, remarks: Vec::new() }
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
}

/// Turns arguments (the program's name first) into a command, asking a person for what is missing.
///
/// # Errors
/// [`Failure`]. With `--json` it is to be said as JSON, whatever else is wrong.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    surroundings: Surroundings<'_>,
) -> Result<Parsed, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let output = Output { json: wants_json(&arguments), ..Output::default() };
    let arguments = match Arguments::try_parse_from(arguments) {
        Err(error) if !error.use_stderr() => return Err(Failure::Help(error)),
        result => result.map_err(UsageError::of),
    };
    let parsed = arguments.map_err(Refusal::Usage).and_then(|arguments| command(arguments, surroundings));
    parsed.map_err(|refusal| match refusal {
        Refusal::Usage(usage) => Failure::Usage { usage, output },
        Refusal::NoAnswer(no_answer) => Failure::NoAnswer(no_answer),
    })
}

/// Tells whether JSON is asked for, also where the arguments are not understood.
fn wants_json(arguments: &[OsString]) -> bool {
    let flags = arguments.iter().take_while(|argument| *argument != "--");
    let mut before: Option<&OsString> = None;
    flags.into_iter().any(|argument| {
        let is_format = before.replace(argument).is_some_and(|before| before == "--log-format");
        argument == "--json" || argument == "--log-format=json" || (is_format && argument == "json")
    })
}

/// Why arguments that clap understood, and their surroundings, are no command.
enum Refusal {
    Usage(UsageError),
    NoAnswer(NoAnswer),
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

/// Joins the arguments and what is around them.
fn command(arguments: Arguments, surroundings: Surroundings<'_>) -> Result<Parsed, Refusal> {
    let Surroundings { ask, pin, token, public_auth, proxy_auth, proxies } = surroundings;
    let verbosity = Verbosity::new(arguments.quiet, arguments.verbose);
    let output = |json| Output { json, verbosity };
    match arguments.command {
        None => {
            let ask = ask.ok_or(UsageError::NoCommand)?;
            let answers = wizard::questions(ask, environment_pin(pin)?)?;
            let equivalent = Some(answers.command());
            let command = match answers {
                Answers::Host(config) => Command::Host(config, output(false)),
                Answers::Client(mut config) => {
                    config.proxy = choices::proxy(&config.url, &proxies)?;
                    Command::Client(config, None, output(false))
                }
            };
            Ok(Parsed { command, equivalent, remarks: Vec::new() })
        }
        Some(Action::Host(host)) => {
            let output = output(host.json);
            let (pin, terminal, proxies) = (environment_pin(pin)?, ask.is_some(), &proxies);
            let surroundings = HostSurroundings { pin, token, public_auth, proxies, terminal };
            let (config, remarks) = host::settings(host, surroundings)?;
            Ok(Parsed { remarks, ..Command::Host(config, output).into() })
        }
        #[cfg(feature = "server")]
        Some(Action::Server(server)) => {
            let output = output(server.wants_json());
            Ok(Command::Server(server::settings(server)?, output).into())
        }
        Some(Action::Client(client)) => {
            let output = output(client.json);
            let (pin, mut remarks) = (environment_pin(pin)?, Vec::new());
            let surroundings = ClientSurroundings { pin, proxy_auth, proxies: &proxies, remarks: &mut remarks };
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
            let remarks = check.pin.as_ref().map(|_| secrets::shown("--pin", PIN_VARIABLE)).into_iter().collect();
            let config = check::settings(check, environment_pin(pin)?, &proxies)?;
            Ok(Parsed { remarks, ..Command::Check(config, output).into() })
        }
        Some(Action::Demo(demo)) => Ok(Command::Demo(output(demo.json)).into()),
        Some(Action::Completions(completions)) => {
            Ok(Command::Document(Document::Completions(completions.shell), output(false)).into())
        }
        Some(Action::Man(manual)) => Ok(Command::Document(Document::Manual(manual.folder), output(false)).into()),
    }
}

fn environment_pin(value: Option<OsString>) -> Result<Option<Pin>, UsageError> {
    let text = value.unwrap_or_default().into_string();
    let wanted = "the pin that the host printed, for example 123456";
    text.map(Pin::new).map_err(|_| UsageError::Encoding { variable: PIN_VARIABLE, wanted })
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
