//! A command line, from its words to a command, whatever it takes for that: clap, a file of settings, the environment,
//! a person.

use std::ffi::OsString;
use std::path::Path;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::args::{Action, Arguments};
use super::check::CheckArguments;
use super::client::ClientArguments;
use super::command::{Command, Parsed, Refusal, Surroundings, ask_for_all, command};
use super::failure::{Failure, UsageError};
use super::file::{self, Document, Keys, Places, ROLES, Setting};
use super::hosts::{self, Change, Named};
#[cfg(unix)]
use super::install::{Role, Wanted};
use super::logging::Verbosity;
use super::output::Output;
use super::question::Question;
use super::saving::SavedName;
use super::secrets;
#[cfg(unix)]
use super::unit::InstallArguments;
use super::verify::{self, Right};

/// Turns arguments (the program's name first) into a command, asking a person for what is missing.
///
/// # Errors
/// [`Failure`]. With `--json` it is to be said as JSON, whatever else is wrong.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    surroundings: Surroundings<'_>,
) -> Result<Parsed, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut output = Output { json: wants_json(&arguments), ..Output::default() };
    given(arguments, surroundings, &mut output).map_err(|refusal| match refusal {
        Refusal::Help(help) => Failure::Help(help),
        Refusal::Usage(usage) => Failure::Usage { usage, output },
        Refusal::NoAnswer(no_answer) => Failure::NoAnswer(no_answer),
    })
}

/// Tells whether these arguments are of a run that SIGHUP does not end, before anything else is known of them.
pub fn reloads(arguments: impl IntoIterator<Item = OsString>) -> bool {
    let is_word = |argument: &OsString| !argument.as_encoded_bytes().starts_with(b"-");
    let command = arguments.into_iter().skip(1).find(is_word);
    command.is_some_and(|command| command == "run" || command == "server")
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

/// Does so. `output` is how a refusal is said, which a file has a say in.
fn given(arguments: Vec<OsString>, surroundings: Surroundings<'_>, output: &mut Output) -> Result<Parsed, Refusal> {
    let matches = Arguments::command().try_get_matches_from(arguments)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    let flags = flags(&arguments);
    match (arguments.command, matches.subcommand()) {
        (Some(Action::Run(run)), _) => {
            let document = read(&run.file, &surroundings)?;
            if let Some(role) = surroundings.role.filter(|role| *role != document.keys.role()) {
                return Err(document.of_other_role(role).into());
            }
            output.json |= document.wants_json();
            let json = run.json.then_some("--json");
            let options = flags.into_iter().chain(json).map(OsString::from).chain(run.options);
            let (line, matches) = document.keys.behind_file(options)?;
            let mut surroundings = surroundings;
            surroundings.control.file = run.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let mut parsed = joined(&document, line, &matches, surroundings)?;
            parsed.role = Some(document.keys.role());
            Ok(parsed)
        }
        (Some(Action::Verify(verify)), _) => {
            let document = read(&verify.file, &surroundings)?;
            let settings = document.join(Vec::new(), |key| surroundings.has_secret(key));
            let arguments = of_file(&document, &settings)?;
            let (mut parsed, is_pin_missing) =
                look(arguments, surroundings).map_err(|refusal| explained(&document, &settings, refusal))?;
            invite(&document, &mut parsed)?;
            let remark = verify::files(&parsed.command).map_err(|usage| document.explain(&settings, usage))?;
            parsed.remarks.extend(document.remark().into_iter().chain(remark));
            let (file, role) = (document.name(), document.keys.role());
            let right = Right { file, role, command: &parsed.command, is_pin_missing };
            parsed.command = Command::Print(match verify.json {
                true => right.event(&std::mem::take(&mut parsed.remarks)),
                false => right.sentence(),
            });
            Ok(parsed)
        }
        #[cfg(unix)]
        (Some(Action::Install(install)), _) => installed(install, surroundings),
        (Some(Action::Ping(ping)), Some((_, matches))) => {
            let mut parsed = as_client(matches, surroundings, output)?;
            parsed.command = match parsed.command {
                Command::Client(config, _, output) => Command::Ping(config, ping.plan(), output),
                other => other,
            };
            Ok(parsed)
        }
        (action, Some((name, matches))) => {
            if name == "check"
                && let Some(named) =
                    hosts::named(matches, surroundings.config.as_deref(), surroundings.has_secret("pin"))?
            {
                return checked(named, matches, surroundings, output);
            }
            if let Some(Action::Client(ClientArguments { save: Some(name), .. })) = &action {
                let name = name.clone();
                return saved(&name, Arguments { command: action, ..arguments }, matches, surroundings);
            }
            if name == "client"
                && let Some(named) =
                    hosts::named(matches, surroundings.config.as_deref(), surroundings.has_secret("pin"))?
            {
                let line = named.document.keys.given(matches);
                return of_saved(named, line, matches, surroundings, output);
            }
            let arguments = Arguments { command: action, ..arguments };
            let role = ROLES.iter().find(|role| **role == name).filter(|_| is_printed(matches));
            let mut parsed = match role {
                Some(role) => {
                    let keys = Keys::of(role);
                    let settings = keys.given(matches);
                    print(&keys, settings, surroundings, |_| Ok(arguments))?
                }
                None => command(arguments, surroundings)?,
            };
            parsed.remarks.extend(secrets::shown(matches));
            Ok(parsed)
        }
        (None, None) => asked(Arguments { command: None, ..arguments }, surroundings, output),
        (action, None) => command(Arguments { command: action, ..arguments }, surroundings),
    }
}

/// Has a client made of the arguments of another command, and of the saved host if they name one.
fn as_client(matches: &ArgMatches, surroundings: Surroundings<'_>, output: &mut Output) -> Result<Parsed, Refusal> {
    let keys = Keys::of("client");
    let line = keys.given(matches);
    if let Some(named) = hosts::named(matches, surroundings.config.as_deref(), surroundings.has_secret("pin"))? {
        return of_saved(named, line, matches, surroundings, output);
    }
    let arguments = Arguments::from_arg_matches(&keys.parse(&line)?)?;
    let mut parsed = command(arguments, surroundings)?;
    parsed.remarks.extend(secrets::shown(matches));
    Ok(parsed)
}

/// Has a client made of a saved host and of what the command line says beside its name.
fn of_saved(
    named: Named,
    mut line: Vec<Setting>,
    matches: &ArgMatches,
    surroundings: Surroundings<'_>,
    output: &mut Output,
) -> Result<Parsed, Refusal> {
    let Named { document, keeper } = named;
    line.retain(|setting| setting.key != "url");
    output.json |= document.wants_json();
    Ok(Parsed { keeper, ..joined(&document, line, matches, surroundings)? })
}

/// Has a saved host checked.
fn checked(
    named: Named,
    matches: &ArgMatches,
    surroundings: Surroundings<'_>,
    output: &mut Output,
) -> Result<Parsed, Refusal> {
    let Named { document, keeper } = named;
    let document = &document;
    let mut line = document.keys.given(matches);
    line.retain(|setting| setting.key != "url");
    output.json |= document.wants_json();
    let settings = document.join(line, |key| surroundings.has_secret(key));
    let mut arguments = of_file(document, &settings)?;
    arguments.command = match arguments.command {
        Some(Action::Client(client)) => Some(Action::Check(CheckArguments::of_saved(client))),
        other => other,
    };
    let mut parsed = command(arguments, surroundings).map_err(|refusal| explained(document, &settings, refusal))?;
    parsed.remarks.extend(document.remark().into_iter().chain(secrets::shown(matches)));
    Ok(Parsed { keeper, ..parsed })
}

/// Asks a person for everything. A saved host is joined as if it had been named.
fn asked(arguments: Arguments, mut surroundings: Surroundings<'_>, output: &mut Output) -> Result<Parsed, Refusal> {
    let verbosity = Verbosity::new(arguments.quiet, arguments.verbose);
    let talk = Output { verbosity, plain: arguments.plain, ..Output::default() };
    match ask_for_all(&mut surroundings, talk)? {
        Ok(parsed) => Ok(parsed),
        Err(name) => {
            let flags = flags(&arguments).into_iter();
            let line = ["pinhole", "client", name.as_str()].into_iter().chain(flags).map(OsString::from).collect();
            let parsed = given(line, surroundings, output)?;
            Ok(Parsed { equivalent: Some(format!("pinhole client {}", name.as_str())), ..parsed })
        }
    }
}

/// Returns the flags of all commands as a command line has them.
fn flags(arguments: &Arguments) -> Vec<&'static str> {
    let mut flags = if arguments.quiet { vec!["-q"] } else { vec!["-v"; arguments.verbose.into()] };
    flags.extend(arguments.plain.then_some("--plain"));
    flags
}

/// Joins what a file says and what a command line says of the same role.
fn joined(
    document: &Document,
    line: Vec<Setting>,
    matches: &ArgMatches,
    surroundings: Surroundings<'_>,
) -> Result<Parsed, Refusal> {
    let settings = document.join(line, |key| surroundings.has_secret(key));
    let mut parsed = match is_printed(matches) {
        true if document.invites() => {
            let sentence = "--print-config does not write [[invitation]]; change the file by hand";
            return Err(UsageError::File(sentence.to_owned()).into());
        }
        true => print(&document.keys, settings, surroundings, |settings| of_file(document, settings))?,
        false => {
            let arguments = of_file(document, &settings)?;
            command(arguments, surroundings).map_err(|refusal| explained(document, &settings, refusal))?
        }
    };
    invite(document, &mut parsed)?;
    parsed.remarks.extend(document.remark());
    parsed.remarks.extend(secrets::shown(matches));
    Ok(parsed)
}

/// Joins the command line that is to be saved as a host.
fn saved(
    name: &SavedName,
    arguments: Arguments,
    matches: &ArgMatches,
    surroundings: Surroundings<'_>,
) -> Result<Parsed, Refusal> {
    let (folder, config) = (surroundings.folder.clone().unwrap_or_default(), surroundings.config.clone());
    let (_, is_pin_missing) = look(arguments, surroundings)?;
    let keys = Keys::of("client");
    let settings = file::fixed(&keys, keys.given(matches), Places { folder: &folder, credentials: None });
    let change = Change::save(config.as_deref(), name, &keys, &settings)?.asking(is_pin_missing);
    let remarks = secrets::shown(matches);
    Ok(Parsed { remarks, ..Command::SaveHosts(Box::new(change)).into() })
}

/// Joins the command line that a unit is to have.
#[cfg(unix)]
fn installed(install: InstallArguments, surroundings: Surroundings<'_>) -> Result<Parsed, Refusal> {
    let role = install.role.command();
    let line = ["pinhole", role].map(OsString::from).into_iter().chain(install.options.iter().cloned());
    let matches = Arguments::command().try_get_matches_from(line)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    let (keys, matches) = (Keys::of(role), matches.subcommand_matches(role).cloned().unwrap_or_default());
    if is_printed(&matches) {
        let sentence = format!("--print-config installs nothing; give it to pinhole {role}, or leave it out");
        return Err(UsageError::Install(sentence).into());
    }
    let folder = surroundings.folder.clone().unwrap_or_default();
    let settings = file::fixed(&keys, keys.given(&matches), Places { folder: &folder, credentials: None });
    let wanted = Wanted::new(install, keys, settings, |key| surroundings.secret(key).cloned())?;
    let Parsed { command, mut remarks, .. } = command(arguments, surroundings)?;
    let plan = wanted.plan(match &command {
        Command::Host(config, _) => Role::Host(config),
        Command::Client(config, ..) => Role::Client(config),
        _ => Role::Server,
    })?;
    remarks.extend(plan.remarks.iter().cloned().chain(secrets::shown(&matches)));
    Ok(Parsed { remarks, ..Command::Install(Box::new(plan)).into() })
}

fn read(path: &Path, surroundings: &Surroundings<'_>) -> Result<Document, UsageError> {
    Document::read(path, surroundings.credentials.as_deref()).map_err(UsageError::from)
}

/// Gives a host the invitations of its file.
fn invite(document: &Document, parsed: &mut Parsed) -> Result<(), UsageError> {
    let Command::Host(host, _) = &mut parsed.command else { return Ok(()) };
    document.invite(host, &mut parsed.remarks)
}

/// Has clap read what a file and what stands behind it say.
fn of_file(document: &Document, settings: &[Setting]) -> Result<Arguments, Refusal> {
    let matches = document.keys.parse(settings).and_then(|matches| Arguments::from_arg_matches(&matches));
    matches.map_err(|error| document.explain_clap(settings, error).into())
}

fn explained(document: &Document, settings: &[Setting], refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Usage(usage) => document.explain(settings, usage).into(),
        other => other,
    }
}

/// Tells whether a role is to be printed as a file.
fn is_printed(matches: &ArgMatches) -> bool {
    matches.try_get_one::<bool>("print_config").ok().flatten().is_some_and(|is_printed| *is_printed)
}

/// Writes the file of settings that make sense.
fn print(
    keys: &Keys,
    settings: Vec<Setting>,
    surroundings: Surroundings<'_>,
    arguments: impl FnOnce(&[Setting]) -> Result<Arguments, Refusal>,
) -> Result<Parsed, Refusal> {
    let folder = surroundings.folder.clone().unwrap_or_default();
    look(arguments(&settings)?, surroundings)?;
    let settings = file::fixed(keys, settings, Places { folder: &folder, credentials: None });
    Ok(Command::Print(file::toml(keys, &settings)?).into())
}

/// Joins arguments and what is around them without asking anybody. Returns whether the pin would be asked for, too.
fn look(arguments: Arguments, surroundings: Surroundings<'_>) -> Result<(Parsed, bool), Refusal> {
    let mut is_asked = false;
    let mut ask = |_: &Question<'_>| {
        is_asked = true;
        Ok("unknown".to_owned())
    };
    let Surroundings {
        ask: _,
        pin,
        token,
        public_auth,
        proxy_auth,
        proxies,
        credentials,
        folder,
        config,
        machine,
        role,
        control,
    } = surroundings;
    let ask = Some(&mut ask as _);
    let surroundings = Surroundings {
        ask,
        pin,
        token,
        public_auth,
        proxy_auth,
        proxies,
        credentials,
        folder,
        config,
        machine,
        role,
        control,
    };
    let parsed = command(arguments, surroundings)?;
    Ok((parsed, is_asked))
}
