//! The command line: arguments, questions at the terminal, exit codes.

mod approval;
pub mod args;
mod bottom;
pub mod check;
mod choices;
pub mod client;
pub mod command;
mod control;
pub mod documents;
pub mod expiry;
mod failure;
mod file;
pub mod forwards;
pub mod host;
pub mod hosts;
#[cfg(unix)]
pub mod install;
pub mod line;
mod listening;
pub mod logging;
mod machine;
pub mod manual;
mod output;
pub mod parse;
pub mod ping;
#[cfg(unix)]
mod pipe;
mod private_file;
mod problem;
pub mod prompt;
pub mod quantity;
pub mod question;
mod reach;
pub mod registration;
mod reload;
#[cfg(unix)]
pub mod running;
mod saving;
pub mod secret_file;
mod secrets;
#[cfg(feature = "server")]
pub mod server;
pub mod services;
mod supervision;
#[cfg(unix)]
pub mod unit;
mod verify;
pub mod wizard;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

pub use command::{Command, Parsed, Surroundings};
pub use failure::{Failure, UsageError};
pub use output::Output;

use crate::config::{ClientConfig, StreamTarget};
use crate::http::proxy::ProxyVariables;
use crate::net::limits;
#[cfg(feature = "server")]
use crate::run::Server;
use crate::run::{Check, Client, HangUps, Host, Ping, PingError, PingPlan, RunError};
use crate::signaling::url::SignalingUrl;
use crate::status::event::Event;
use crate::status::printer::Printer;
use crate::status::report::Reporter;
use crate::status::style::{Role, is_terminal_able};
use crate::status::summary::Summary;
use crate::{demo, fault};
use args::Arguments;
use bottom::Bottom;
use control::ControlSurroundings;
use machine::Machine;
#[cfg(unix)]
use pipe::RunningPipe;
use prompt::Prompter;
use question::{Ask, NoAnswer, Question};
use reload::Origin;

/// Exit code of a run that failed.
const FAILED: u8 = 1;

/// Exit code of arguments that make no sense.
const WRONG_USAGE: u8 = 2;

/// Runs the program: reads the arguments and the environment, asks what is missing, and does what they say.
pub fn run() -> ExitCode {
    let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut questions = Questions { is_plain: is_plain(env::args_os()), prompter: None };
    let mut ask = |question: &Question<'_>| questions.ask(question);
    let hang_ups = line::reloads(env::args_os()).then(HangUps::take).transpose();
    let parsed = line::parse(env::args_os(), surroundings(interactive.then_some(&mut ask)));
    let interrupted = questions.is_interrupted();
    drop(questions);
    match parsed {
        Ok(_) if interrupted => fail(&NoAnswer::Cancelled.into()),
        Ok(parsed) => {
            let origin = Origin::of(&parsed, interactive);
            let Parsed { command, equivalent, remarks, keeper, .. } = parsed;
            if let Some(line) = equivalent {
                tell(&format!("\nThe same without questions:\n  {line}\n"));
            }
            let is_piped = matches!(&command, Command::Client(_, Some(_), _));
            let printer = command.output().printer(is_piped);
            logging::start(command.output().verbosity, printer.err());
            fault::log_panics();
            for remark in remarks {
                log::warn!("{remark}");
            }
            let hang_ups = hang_ups.unwrap_or_else(|error| {
                log::warn!("SIGHUP cannot be handled yet: {error}");
                None
            });
            let code = execute(command, &printer, Reloads { hang_ups, origin }, keeper.as_deref());
            printer.finish();
            code
        }
        Err(failure) => fail(&failure),
    }
}

/// What SIGHUP has read again, and whether it was taken over already.
struct Reloads {
    hang_ups: Option<HangUps>,
    origin: Option<Origin>,
}

/// Returns what is around a command line.
fn surroundings<'a>(ask: Option<&'a mut Ask<'a>>) -> Surroundings<'a> {
    Surroundings {
        ask,
        pin: secrets::PIN.environment(),
        token: secrets::TOKEN.environment(),
        public_auth: secrets::PUBLIC_AUTH.environment(),
        proxy_auth: secrets::PROXY_AUTH.environment(),
        proxies: ProxyVariables::read(|name| env::var_os(name)),
        credentials: env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty()).map(PathBuf::from),
        folder: env::current_dir().ok(),
        config: config_folder(),
        machine: Machine::present(bottom::screen()),
        role: None,
        control: ControlSurroundings::of_process(),
    }
}

/// Returns the folder of a person's settings.
fn config_folder() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))
}

/// Runs a command to its end. `keeper` is the saved host whose saved pin is used.
fn execute(command: Command, printer: &Printer, reloads: Reloads, keeper: Option<&str>) -> ExitCode {
    if let Err(error) = limits::raise_descriptor_limit() {
        log::warn!("the limit of open files stays as it is: {error}");
    }
    let output = command.output();
    let Reloads { hang_ups, origin } = reloads;
    let result = match command {
        Command::Host(mut config, output) => {
            let bottom = Bottom::begin(printer);
            if config.approver.is_some() {
                config.approver = Some(approval::at_terminal(printer.clone()));
            }
            let reporter = output.reporter(Role::Host { services: config.services.clone() }, printer).into_callback();
            let server = config.server.as_ref();
            let server = server.map(|registration| place(&registration.server, registration.others.len()));
            Host::bind(config, reporter).and_then(|mut host| {
                host.handle_signals(hang_ups, origin.map(Origin::host))?;
                if let Some(told) = supervision::of_process(Summary::host(server.as_deref())) {
                    host.supervise(told);
                }
                if let Some(bottom) = &bottom {
                    host.observe(bottom::INTERVAL, bottom.observer());
                }
                host.run()
            })
        }
        Command::Client(config, pipe, output) => {
            return match run_client(config, pipe, (output, printer), Reloads { hang_ups, origin }) {
                Ok(()) => ExitCode::SUCCESS,
                Err((code, message)) => {
                    let message = stale(keeper, &code).unwrap_or(message);
                    failed(output, printer, &code, message)
                }
            };
        }
        #[cfg(feature = "server")]
        Command::Server(config, output) => {
            let bottom = Bottom::begin(printer);
            let reporter = output.reporter(Role::Server, printer).into_callback();
            Server::bind(config, reporter).and_then(|mut server| {
                server.handle_signals(hang_ups, origin.map(Origin::server))?;
                if let Some(told) = supervision::of_process(Summary::server()) {
                    server.supervise(told);
                }
                if let Some(bottom) = &bottom {
                    server.observe(bottom::INTERVAL, bottom.observer());
                }
                server.run()
            })
        }
        Command::Check(config, output) => {
            return match Check::new(config, output.reporter(Role::Client, printer).into_callback()).run() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let message = stale(keeper, error.code()).unwrap_or_else(|| error.to_string());
                    failed(output, printer, error.code(), message)
                }
            };
        }
        Command::Ping(config, plan, output) => {
            return match ping(config, plan, (output, printer), hang_ups) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    let message = stale(keeper, error.code()).unwrap_or_else(|| error.to_string());
                    failed(output, printer, error.code(), message)
                }
            };
        }
        Command::Print(text) => return print(&text, output, printer),
        Command::SaveHosts(change) => return said(change.write(), "save", (output, printer)),
        #[cfg(unix)]
        Command::Running(task, output) => return ended(task.run(&scene(output)), (output, printer)),
        #[cfg(unix)]
        Command::Install(plan) => return said(install::install(&plan), "install", (output, printer)),
        #[cfg(unix)]
        Command::Uninstall(arguments) => return said(install::uninstall(&arguments), "install", (output, printer)),
        Command::Demo(output) => {
            return match demo::run(output.reporter(Role::Client, printer).into_callback()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(output, printer, "demo", error.to_string()),
            };
        }
        Command::Document(document, _) => {
            return match document.write(Arguments::command(), &file::tables()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(message) => failed(output, printer, "write", message),
            };
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(output, printer, error.code(), error.to_string()),
    }
}

/// Runs a client, and the pipe between its stdin and stdout and the host. Returns the error's code and its sentence.
fn run_client(
    config: ClientConfig,
    pipe: Option<StreamTarget>,
    (output, printer): (Output, &Printer),
    reloads: Reloads,
) -> Result<(), (String, String)> {
    let told = |error: RunError| (error.code().to_owned(), error.to_string());
    let reporter = client_reporter(pipe.is_some(), output, printer).into_callback();
    let summary = Summary::client(&place(&config.url, config.others.len()));
    let pin = config.pin.reveal().to_owned();
    let reader = reloads.origin.map(|origin| origin.client(pin, pipe.clone()));
    let bottom = Bottom::begin(printer);
    let mut client = Client::bind(config, reporter).map_err(told)?;
    if let Some(bottom) = &bottom {
        client.observe(bottom::INTERVAL, bottom.observer());
    }
    client.handle_signals(reloads.hang_ups, reader).map_err(told)?;
    if let Some(told) = supervision::of_process(summary) {
        client.supervise(told);
    }
    #[cfg(unix)]
    let pipe =
        pipe.map(|target| RunningPipe::start(&client, target)).transpose().map_err(|error| told(error.into()))?;
    #[cfg(not(unix))]
    drop(pipe);
    client.run().map_err(told)?;
    #[cfg(unix)]
    pipe.map_or(Ok(()), RunningPipe::finish).map_err(|error| (error.code().to_owned(), error.to_string()))?;
    Ok(())
}

/// Runs a ping. A person is told of what it finds and what goes wrong, and not of the session below.
fn ping(
    config: ClientConfig,
    plan: PingPlan,
    (output, printer): (Output, &Printer),
    hang_ups: Option<HangUps>,
) -> Result<(), PingError> {
    let mut reporter = output.reporter(Role::Client, printer);
    let is_told = move |event: &Event| match event {
        Event::Connected { .. } | Event::Path { .. } | Event::Disconnected { .. } => output.json,
        _ => true,
    };
    let report = move |event: &Event| {
        if is_told(event) {
            reporter.report(event);
        }
    };
    let mut ping = Ping::new(config, plan, Box::new(report))?;
    ping.handle_signals(hang_ups)?;
    ping.run()
}

/// Returns what `systemctl status` calls the other side.
fn place(url: &SignalingUrl, others: usize) -> String {
    match others {
        0 => url.host().to_owned(),
        _ => format!("one of {} servers", others + 1),
    }
}

/// A client whose stdout is a stream says what it has to say on stderr.
fn client_reporter(is_piped: bool, output: Output, printer: &Printer) -> Reporter {
    match is_piped {
        true => output.reporter_on_stderr(Role::Client, printer),
        false => output.reporter(Role::Client, printer),
    }
}

/// Prints a text, and returns the exit code.
fn print(text: &str, output: Output, printer: &Printer) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(output, printer, "system", format!("stdout takes no more: {error}")),
    }
}

/// Prints what was done, or reports why it was not, and returns the exit code.
fn said(done: Result<String, String>, code: &str, (output, printer): (Output, &Printer)) -> ExitCode {
    match done {
        Ok(text) => print(&text, output, printer),
        Err(message) => failed(output, printer, code, message),
    }
}

/// Returns what is around a command that asks running processes.
#[cfg(unix)]
fn scene(output: Output) -> running::Scene {
    let is_asked = !output.json && io::stdin().is_terminal() && io::stderr().is_terminal();
    let folders = control::folders().into_iter().map(|folder| folder.path).collect();
    running::Scene { folders, is_asked, is_plain: output.plain || !is_terminal_able() }
}

/// Says how a command that asks running processes ended, and returns the exit code.
#[cfg(unix)]
fn ended(ending: running::Ending, (output, printer): (Output, &Printer)) -> ExitCode {
    match ending {
        running::Ending::Done => ExitCode::SUCCESS,
        running::Ending::Failed(code, message) => failed(output, printer, code, message),
        running::Ending::Unclear(message) => {
            failed(output, printer, "usage", message);
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// Says what to do about a saved pin that is not the host's.
fn stale(keeper: Option<&str>, code: &str) -> Option<String> {
    let name = keeper.filter(|_| code == "bad-pin")?;
    let next = format!("save the URL that it printed last with pinhole client --save {name} URL");
    Some(format!(
        "the pin saved for {name} does not match; a host without --pin has a new one with every start: {next}"
    ))
}

/// Reports why a run failed, and returns the exit code.
fn failed(output: Output, printer: &Printer, code: &str, message: String) -> ExitCode {
    output.reporter(Role::Client, printer).report(&Event::Error { code: code.to_owned(), message });
    ExitCode::from(FAILED)
}

/// Says why nothing runs, and returns the exit code.
fn fail(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Help(help) => {
            // Nobody may be there to read it.
            let _ = help.print();
            ExitCode::SUCCESS
        }
        Failure::Usage { usage, output } => {
            match usage {
                UsageError::Refused(error) if !output.json => {
                    let _ = error.print();
                }
                UsageError::NoCommand if !output.json => {
                    tell(&format!("error: {usage}\n\n{}", Arguments::command().render_help()));
                }
                _ => {
                    let printer = output.printer(false);
                    let error = Event::Error { code: "usage".into(), message: usage.to_string() };
                    output.reporter(Role::Client, &printer).report(&error);
                    printer.finish();
                }
            }
            ExitCode::from(WRONG_USAGE)
        }
        Failure::NoAnswer(no_answer) => {
            let label = match no_answer {
                NoAnswer::Cancelled => "",
                NoAnswer::Terminal(_) => "error: ",
            };
            tell(&format!("{label}{no_answer}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Prints on stderr; a closed one is nobody's concern.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells whether questions are to be asked line by line: before the arguments are read, and where they cannot be.
fn is_plain(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let mut arguments = arguments.into_iter().take_while(|argument| argument != "--");
    !is_terminal_able() || arguments.any(|argument| argument == "--plain")
}

/// The terminal, taken over with the first question.
struct Questions {
    is_plain: bool,
    prompter: Option<Prompter>,
}

impl Questions {
    fn ask(&mut self, question: &Question<'_>) -> Result<String, NoAnswer> {
        if self.prompter.is_none() {
            self.prompter = Some(Prompter::new(self.is_plain)?);
        }
        match &mut self.prompter {
            Some(prompter) => prompter.ask(question),
            None => Err(NoAnswer::Cancelled),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.prompter.as_ref().is_some_and(Prompter::is_interrupted)
    }
}
