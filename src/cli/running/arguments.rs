//! The arguments of `pinhole status`, `invite` and `uninvite`.

use std::path::PathBuf;

use clap::Args;

use crate::access::{ReverseRule, Rule};
use crate::cli::expiry;
use crate::cli::parse;
use crate::cli::problem::{Problem, WrongValue};
use crate::config::{MAX_LABEL, ProcessName, is_service_name};
use crate::signaling::invitation::InvitationId;
use crate::signaling::url::SignalingUrl;

// No line of these is longer than 80 columns, where clap would wrap it.
pub(in crate::cli) const STATUS_EXAMPLES: &str = "\
Examples:
  pinhole status               what runs on this machine, and how it is
  pinhole status nas --watch   one of them, as it changes; Ctrl-C ends
  pinhole status --json        for programs, one object a line

It shows what this user started; as root, also what systemd runs. A process is
called by --name, else by its file under pinhole run, else by role and number.
Exit codes: 0 something runs, 1 nothing does or it does not answer, 2 wrong
usage.";

pub(in crate::cli) const INVITE_EXAMPLES: &str = "\
Examples:
  pinhole invite --services web --expires 2h
                               for one service, and for two hours
  pinhole invite nas --services web,ssh --once --qr
                               of the host nas, for one client
  pinhole invite --allow db.local:5432 --label \"the new colleague\" --json

What is not named is denied to whoever comes by it. It ends with the host, or
earlier: pinhole uninvite.
Exit codes: 0 done, 1 failed, 2 wrong usage, or several hosts run and none is
named.";

pub(in crate::cli) const UNINVITE_EXAMPLES: &str = "\
Examples:
  pinhole status               shows the invitations and their ids
  pinhole uninvite k3          takes the one with the id k3 back
  pinhole uninvite nas k3      that of the host nas

Sessions by it end within a second, and are told why.";

/// Arguments of `pinhole status`.
#[derive(Debug, Clone, Args)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct StatusArguments {
    /// The process to show, instead of all
    #[arg(value_name = "NAME", value_parser = parse::process_name)]
    pub name: Option<ProcessName>,
    /// Show it again whenever something changes
    ///
    /// At most once a second. On a terminal the last picture is replaced.
    #[arg(long)]
    pub watch: bool,
    /// Print one JSON object a line on stdout instead of a picture
    ///
    /// With --watch, also the events as they happen. docs/events.md explains them.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pinhole invite`.
#[derive(Debug, Clone, Args)]
#[command(after_help = INVITE_EXAMPLES)]
pub struct InviteArguments {
    /// The host that invites, if several run
    #[arg(value_name = "NAME", value_parser = parse::process_name)]
    pub name: Option<ProcessName>,
    /// The services that guests have, by name: web,ssh
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = service)]
    pub services: Vec<ServiceName>,
    /// What guests may have dialled, beside services (repeatable)
    ///
    /// As --allow of pinhole host: db.local:5432, 10.0.0.0/8:*.
    #[arg(long, value_name = "HOST:PORTS", value_parser = parse::rule)]
    pub allow: Vec<Rule>,
    /// Where guests may have the host listen (repeatable)
    ///
    /// As --allow-reverse of pinhole host: 8000, 0.0.0.0:8000-8010.
    #[arg(long, value_name = "[BIND:]PORTS", value_parser = parse::reverse_rule)]
    pub allow_reverse: Vec<ReverseRule>,
    /// When it ends: 30s, 15m, 2h, 7d, or a date with a time
    ///
    /// Such as 2026-12-24T18:00:00+08:00. Without this it ends with the host.
    #[arg(long, value_name = "TIME", value_parser = ending)]
    pub expires: Option<EndingTime>,
    /// For one client only
    ///
    /// It may come back after an outage, and nobody else may come.
    #[arg(long)]
    pub once: bool,
    /// How many may be there at a time
    #[arg(long, value_name = "N", value_parser = parse::max_sessions)]
    pub max_sessions: Option<usize>,
    /// What the host calls it, where it is shown
    #[arg(long, value_name = "TEXT", value_parser = label)]
    pub label: Option<Label>,
    /// A file with the pin in its first line; without it, the host makes one
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
    /// The address under which guests reach the host, if it does not know it
    ///
    /// Such as the one that VS Code shows for a forwarded port.
    #[arg(long, value_name = "URL", value_parser = parse::public_url)]
    pub public_url: Option<SignalingUrl>,
    /// Show the URL as a QR code, too
    #[arg(long, conflicts_with = "json")]
    pub qr: bool,
    /// Print a JSON object with id, url and expires instead of sentences
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pinhole uninvite`.
#[derive(Debug, Clone, Args)]
#[command(after_help = UNINVITE_EXAMPLES, override_usage = "pinhole uninvite [OPTIONS] [NAME] <ID>")]
pub struct UninviteArguments {
    /// The host, if several run, and the id of the invitation
    #[arg(value_name = "ID", required = true, num_args = 1..=2, value_parser = word)]
    pub words: Vec<Word>,
    /// Print a JSON object if it fails, instead of a sentence
    #[arg(long)]
    pub json: bool,
}

impl UninviteArguments {
    /// Returns the host's name, if there is one, and the id.
    ///
    /// # Errors
    /// The name is none, or the id.
    pub(super) fn parts(&self) -> Result<(Option<ProcessName>, InvitationId), WrongValue> {
        let (host, id) = match self.words.as_slice() {
            [Word(host), Word(id)] => (Some(parse::process_name(host)?), id.as_str()),
            [Word(id)] => (None, id.as_str()),
            _ => (None, ""),
        };
        Ok((host, parse::invitation_id(id)?))
    }
}

/// A name of a process, or the id of an invitation: its place says which of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

fn word(text: &str) -> Result<Word, WrongValue> {
    match parse::process_name(text) {
        Ok(_) => Ok(Word(text.to_owned())),
        Err(_) => parse::invitation_id(text).map(|id| Word(id.to_string())),
    }
}

/// The name of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(pub(super) String);

fn service(text: &str) -> Result<ServiceName, WrongValue> {
    let hint = "give the names that the host printed, for example web,ssh";
    let text = text.trim();
    match is_service_name(text) {
        true => Ok(ServiceName(text.to_owned())),
        false => Err(WrongValue::new(text, Problem::ServiceName, hint)),
    }
}

/// When an invitation ends, as it was written. The host's clock says what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingTime(pub(super) String);

fn ending(text: &str) -> Result<EndingTime, WrongValue> {
    expiry::expiry(text).map(|_| EndingTime(text.trim().to_owned()))
}

/// What an invitation is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(pub(super) String);

fn label(text: &str) -> Result<Label, WrongValue> {
    let is_label = (1..=MAX_LABEL).contains(&text.chars().count()) && !text.contains(char::is_control);
    let hint = "give a few words, for example guests";
    is_label.then(|| Label(text.to_owned())).ok_or_else(|| WrongValue::new(text, Problem::Label, hint))
}
