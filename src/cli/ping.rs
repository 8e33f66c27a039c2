//! The arguments of `pinhole ping`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::choices::{OUTPUT_HELP, PROXY_HELP, ReachArguments};
use super::parse::{self, HostUrl};
use super::quantity;
use crate::http::field::HeaderField;
use crate::run::PingPlan;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

/// After how many PINGs `--until-direct` gives up unless `-c` says so.
const PATIENCE: u64 = 10;

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole ping 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456'
                           by which path, and how fast; Ctrl-C ends
  pinhole ping nas -c 3    three times, a host that was saved
  pinhole ping nas --until-direct
                           until an answer comes directly

The host counts it as a visit and not as a client; an invitation for one client
is not used up.
Exit codes: 0 the host answered, with --until-direct directly; 1 it did not;
2 wrong usage.";

pub(super) const ENVIRONMENT: &str = "\
Environment:
  PINHOLE_PIN           the pin, if neither the URL nor a flag gives it";

/// Arguments of `pinhole ping`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n{PROXY_HELP}\n{OUTPUT_HELP}"))]
pub struct PingArguments {
    /// The URL that the host printed, or the name of a saved host
    ///
    /// What is pasted is understood, as by pinhole client. A missing pin is asked for.
    #[arg(value_name = "URL", value_parser = parse::host_url)]
    pub url: HostUrl,
    /// End after so many; without this it goes on until Ctrl-C
    #[arg(short, long, value_name = "N", value_parser = parse::server_count)]
    pub count: Option<usize>,
    /// End with the first direct answer; fail after 10 (or -c) without one
    #[arg(long)]
    pub until_direct: bool,
    /// Time between two of them, such as 0.5
    ///
    /// From 0.1 to 3600 seconds.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", allow_hyphen_values = true, value_parser = quantity::interval)]
    pub interval: Duration,
    /// The pin, if the URL has none [env: PINHOLE_PIN]
    ///
    /// Others on this machine can read it in the list of processes; --pin-file and PINHOLE_PIN keep it out of there.
    #[arg(long, value_name = "PIN", value_parser = parse::pin)]
    pub pin: Option<Pin>,
    /// A file with the pin in its first line
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
    /// Print one JSON object a line on stdout instead of sentences
    ///
    /// docs/events.md explains them.
    #[arg(long)]
    pub json: bool,
    /// Another server where that host is found (repeatable)
    #[arg(long, value_name = "URL", help_heading = "Reaching the other side", value_parser = parse::server_url)]
    pub server: Vec<SignalingUrl>,
    /// A PEM file of certificates to trust instead of the system's
    #[arg(long, value_name = "FILE", help_heading = "Reaching the other side")]
    pub ca: Option<PathBuf>,
    /// A further header of the signaling request (repeatable)
    #[arg(
        long = "header",
        value_name = "NAME: VALUE",
        help_heading = "Reaching the other side",
        value_parser = parse::header
    )]
    pub headers: Vec<HeaderField>,
    /// How the host is reached.
    #[command(flatten, next_help_heading = "Reaching the other side")]
    pub reach: ReachArguments,
}

impl PingArguments {
    /// Returns what is to be found out.
    pub(super) fn plan(&self) -> PingPlan {
        let patience = self.until_direct.then_some(PATIENCE);
        let count = self.count.and_then(|count| u64::try_from(count).ok()).or(patience);
        PingPlan { count, interval: self.interval, until_direct: self.until_direct }
    }
}
