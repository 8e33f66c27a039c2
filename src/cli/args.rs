//! The arguments, as clap reads them: each value is checked by itself. What several of them mean together is decided in
//! the module of each command.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::check::CheckArguments;
use super::choices::{OUTPUT_HELP, PROXY_HELP};
use super::client::ClientArguments;
use super::documents::{CompletionsArguments, ManualArguments, NamesArguments};
use super::host::HostArguments;
use super::ping::PingArguments;
#[cfg(unix)]
use super::running::{InviteArguments, StatusArguments, UninviteArguments};
use super::saving::HostsArguments;
#[cfg(feature = "server")]
use super::server::ServerArguments;
#[cfg(unix)]
use super::unit::{InstallArguments, UninstallArguments};

// No line of this is longer than 80 columns, where clap would wrap it.
const EXAMPLES: &str = "\
Examples:
  pinhole                  asks what you want to do
  pinhole host 25565       shares port 25565 of this machine
  pinhole client 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456' 25565
                           makes it appear on port 25565 here
  pinhole server --open    gives hosts lasting names; both sides reach it
  pinhole run nas.toml     does what a file says
  pinhole status           shows who is connected, and how
  pinhole check            shows what this network allows
  pinhole demo             shows a tunnel on this machine alone

pinhole COMMAND -h lists the flags of a command, --help explains them.

Exit codes: 0 done, 1 failed, 2 wrong usage.
RUST_LOG sets what is logged, as in RUST_LOG=pinhole::net=debug.";

// No line of this is longer than 80 columns, where clap would wrap it.
pub(super) const FILE_HELP: &str = "\
Such a file says what pinhole host, client or server shall do:
  [host]
  services = [\"web=8080\", 22]
  server = \"wss://p.example.org\"
  id = \"my-host\"
  pin-file = \"pin\"       # relative to this file

Its keys are the long options, and services, url, locals, dial (-L),
reverse (-R), proxy (-D) and pipe (-W). What the command line has counts more
than the environment, and that more than the file. --print-config at one of the
three commands writes the file for a command line that works.";

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  pinhole run nas.toml                 does what the file says
  pinhole run nas.toml --rate 5mbit    with an option that counts more
  pinhole host web=8080 --print-config > nas.toml
                                       writes such a file";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  pinhole verify nas.toml              is it right?
  pinhole verify nas.toml && pkill -HUP -f 'pinhole run nas.toml'
                                       has a run read it again if it is";

pub(super) const FILE_ENVIRONMENT: &str = "\
Environment:
  PINHOLE_PIN           the pin; counts more than what the file says of it
  PINHOLE_TOKEN         the token, likewise
  PINHOLE_PUBLIC_AUTH   the login of visitors, likewise
  PINHOLE_PROXY_AUTH    the login of -D, likewise
  CREDENTIALS_DIRECTORY
                        where systemd has the secrets of a unit; files that are
                        named without a folder are looked for there first";

/// Makes services of one machine appear on another, directly, peer to peer.
#[derive(Debug, Parser)]
#[command(
    name = "pinhole",
    version,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Arguments {
    /// What to do; without it, questions are asked.
    #[command(subcommand)]
    pub command: Option<Action>,
    /// Log more to stderr, and print a line for every stream: -v sessions, -vv streams, -vvv datagrams
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only, and print no line for a stream that fails
    #[arg(short, long, global = true, display_order = 101, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print line by line: no status that stays at the bottom of the terminal, and no lists to move in
    #[arg(long, global = true, display_order = 102)]
    pub plain: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Share services of this machine or its network
    Host(HostArguments),
    /// Make what a host shares appear on this machine
    Client(ClientArguments),
    /// Give hosts lasting names under which clients reach them, and publish their services
    #[cfg(feature = "server")]
    Server(ServerArguments),
    /// Do what a file says: be a host, a client or a server
    Run(RunArguments),
    /// Say whether a file for pinhole run is right, and start nothing
    Verify(VerifyArguments),
    /// Have systemd run a host, a client or a server from the start of the machine on
    #[cfg(unix)]
    Install(InstallArguments),
    /// Undo pinhole install
    #[cfg(unix)]
    Uninstall(UninstallArguments),
    /// List and remove the hosts that pinhole client --save has saved
    Hosts(HostsArguments),
    /// Show what runs on this machine: who is connected, by which path, how fast
    #[cfg(unix)]
    Status(StatusArguments),
    /// Have a host that runs invite somebody: to some services, for some time
    #[cfg(unix)]
    Invite(InviteArguments),
    /// Take back an invitation of a host that runs
    #[cfg(unix)]
    Uninvite(UninviteArguments),
    /// Have a host answer, and say by which path it does and how fast
    Ping(PingArguments),
    /// Show what this network allows, and whether a host can be reached from it
    Check(CheckArguments),
    /// Show a tunnel on this machine: a host, a client and a small web service
    Demo(DemoArguments),
    /// Print what makes a shell complete commands and options
    Completions(CompletionsArguments),
    /// Print names, for completions
    #[command(hide = true)]
    Names(NamesArguments),
    /// Write the pages of the manual
    #[command(hide = true)]
    Man(ManualArguments),
}

/// Arguments of `pinhole run`.
#[derive(Debug, Args)]
#[command(
    after_help = format!("{RUN_EXAMPLES}\n\n{FILE_HELP}"),
    after_long_help = format!("{RUN_EXAMPLES}\n\n{FILE_HELP}\n\n{FILE_ENVIRONMENT}\n{PROXY_HELP}\n{OUTPUT_HELP}")
)]
pub struct RunArguments {
    /// A TOML file that says what to be and how; its form is shown below
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
    /// Options of that command, which replace what the file has
    #[arg(value_name = "OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<OsString>,
}

/// Arguments of `pinhole verify`.
#[derive(Debug, Args)]
#[command(
    after_help = format!("{VERIFY_EXAMPLES}\n\n{FILE_HELP}"),
    after_long_help = format!("{VERIFY_EXAMPLES}\n\n{FILE_HELP}\n\n{FILE_ENVIRONMENT}\n{OUTPUT_HELP}")
)]
pub struct VerifyArguments {
    /// A TOML file that says what to be and how; its form is shown below
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print one JSON object on stdout instead of a sentence
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `pinhole demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
