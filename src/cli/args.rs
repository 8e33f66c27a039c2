//! The arguments as clap reads them; what they mean is decided in [`mod@super::parse`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use super::check::CheckArguments;
use super::registration::RegistrationArguments;
use super::server::ServerArguments;

/// Name of the environment variable that gives the pin on either side.
pub const PIN_VARIABLE: &str = "PINHOLE_PIN";

// No line is longer than 80 columns, where clap would wrap it.
const EXAMPLES: &str = "\
Examples:
  pinhole                  asks what you want to do
  pinhole host 25565       shares port 25565 of this machine
  pinhole client 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456' 25565
                           makes it appear on port 25565 here
  pinhole server --open    lets hosts be reached without a tunnel of others
  pinhole check            tells what this network allows
  pinhole demo             shows on this machine alone that it works

Exit codes: 0 done, 1 failed, 2 wrong usage.
RUST_LOG sets what is logged, as in RUST_LOG=pinhole::net=debug.";

const HOST_EXAMPLES: &str = "\
Examples:
  pinhole host 25565                      a port of this machine
  pinhole host db.local:5432              a service that this machine can reach
  pinhole host 22 --listen 0.0.0.0:5000   the local network may join directly
  pinhole host 8080 --once --json         for scripts: one client, then exit 0
  pinhole host web=8080 --server wss://p.example.org --id blog --public web
                                          through a server of yours, for all

Without a server, forward the signaling port that it prints (VS Code: Ports
panel, Forward a Port, visibility Public). Pass on the command that it prints.
PINHOLE_PIN, PINHOLE_TOKEN and PINHOLE_PUBLIC_AUTH set pin, token and login.
HTTPS_PROXY, http_proxy, ALL_PROXY and NO_PROXY are heeded on the way to a
server, as curl does.";

const CLIENT_EXAMPLES: &str = "\
Examples:
  pinhole client 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456' 25565
  pinhole client https://abc123-5000.asse.devtunnels.ms 25565 --pin 123456
  pinhole client 'ws://192.168.1.7:5000/ws?pin=123456' 0.0.0.0:8080

Put the URL in quotes: most shells act on a question mark.
https:// becomes wss://, and a missing /ws is added.
HTTPS_PROXY, http_proxy, ALL_PROXY and NO_PROXY are heeded, as curl does.";

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
    /// Log more to stderr: -v sessions, -vv streams, -vvv datagrams
    #[arg(short, long, global = true, display_order = 100, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only, and print no line for every stream
    #[arg(short, long, global = true, display_order = 101, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Share services of this machine or its network
    Host(HostArguments),
    /// Make what a host shares appear on this machine
    Client(ClientArguments),
    /// Be where hosts and clients meet, and where hosts publish services
    Server(ServerArguments),
    /// Look at this machine's network, and whether a host can be reached from it
    Check(CheckArguments),
    /// Run a host, a client and a small web service on this machine, and check what comes through
    Demo(DemoArguments),
}

/// Arguments of `pinhole host`.
#[derive(Debug, Args)]
#[command(after_help = HOST_EXAMPLES)]
pub struct HostArguments {
    /// What to share.
    #[arg(
        value_name = "[NAME=]TARGET",
        help = "What to share: 25565, 127.0.0.1:25565, [::1]:25565, db.local:5432, 8000-8010, unix:/run/app.sock; a bare \
                port is one of 127.0.0.1, and the name of a service otherwise its port"
    )]
    pub targets: Vec<String>,
    /// What clients may have dialled beside that: 10.0.0.0/8:80,443, db.local:5432, unix:/run/app.sock
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<String>,
    /// Where clients may have this side listen for them: a port, range or *, after an address unless loopback is meant
    #[arg(long, value_name = "PORTS")]
    pub allow_reverse: Vec<String>,
    /// Begin connections to services with a PROXY header that has the client's address: v1, v2 or NAME=v2
    #[arg(long, value_name = "VERSION")]
    pub proxy_protocol: Vec<String>,
    /// Where the signaling WebSocket listens: a port, :PORT for every address, or one and a port; 0, as without this,
    /// is any free
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// The pin clients must know; PINHOLE_PIN sets it too; otherwise six random digits
    #[arg(long, value_name = "PIN")]
    pub pin: Option<String>,
    /// A file with the pin in its first line
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
    /// Exit with code 0 when the first session has ended
    #[arg(long)]
    pub once: bool,
    /// How many clients may be connected at a time, 1 to 1024
    #[arg(long, value_name = "N", default_value = "16", allow_hyphen_values = true)]
    pub max_sessions: String,
    /// Ask at the terminal before a client may join
    #[arg(long)]
    pub ask: bool,
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
    // A heading is for everything after it, so groups with one stand at the end.
    /// Where it is registered.
    #[command(flatten, next_help_heading = "Through a server")]
    pub registration: RegistrationArguments,
    /// What each session may use.
    #[command(flatten, next_help_heading = "Bounds")]
    pub bounds: BoundsArguments,
    /// How clients are reached.
    #[command(flatten, next_help_heading = "Reaching the other side")]
    pub reach: ReachArguments,
}

/// Arguments of `pinhole client`.
#[derive(Debug, Args)]
#[command(after_help = CLIENT_EXAMPLES)]
pub struct ClientArguments {
    /// The URL that the host passed on, such as wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456
    #[arg(value_name = "URL")]
    pub url: String,
    /// Where services appear.
    #[arg(
        value_name = "[NAME=]LOCAL",
        help = "Where services appear: 25565, web=8080, web=0.0.0.0:8080, db=unix:/tmp/db.sock; a bare port is one of \
                127.0.0.1 and takes the only service, 0 picks a free one; without any, each takes its own port"
    )]
    pub locals: Vec<String>,
    /// Have the host dial something that its --allow has.
    #[arg(
        short = 'L',
        value_name = "FORWARD",
        help = "Have the host dial something that its --allow has: [BIND:]PORT:HOST:PORT, also udp:… and unix:/path"
    )]
    pub dial: Vec<String>,
    /// Have the host listen, if its --allow-reverse has it, and dial for what comes there.
    #[arg(
        short = 'R',
        value_name = "FORWARD",
        help = "Have the host listen, if its --allow-reverse has it, and dial here: [BIND:]PORT:HOST:PORT"
    )]
    pub reverse: Vec<String>,
    /// Be a SOCKS5 and HTTP proxy whose connections the host dials.
    #[arg(
        short = 'D',
        value_name = "ADDR",
        help = "Be a SOCKS5 and HTTP CONNECT proxy whose connections the host dials: [BIND:]PORT"
    )]
    pub dynamic: Vec<String>,
    /// Whom the proxy serves, USER:PASSWORD; everybody who reaches it otherwise
    #[arg(long, value_name = "USER:PASSWORD", requires = "dynamic")]
    pub proxy_auth: Option<String>,
    /// A file with that in its first line; PINHOLE_PROXY_AUTH sets it, too
    #[arg(long, value_name = "FILE", requires = "dynamic")]
    pub proxy_auth_file: Option<PathBuf>,
    /// Join stdin and stdout to a service or HOST:PORT, and end with it
    #[arg(short = 'W', value_name = "TARGET")]
    pub pipe: Option<String>,
    /// The pin, if the URL has none; PINHOLE_PIN sets it too; otherwise it is asked for
    #[arg(long, value_name = "PIN")]
    pub pin: Option<String>,
    /// A PEM file of certificates to trust instead of the system's: authorities', or the server's own
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A further header of the WebSocket request; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Do not connect anew when the session has ended; exit with code 0 if the host ended it
    #[arg(long)]
    pub once: bool,
    /// Wait for a host that cannot be reached yet, instead of ending
    #[arg(long)]
    pub retry: bool,
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
    // A heading is for everything after it, so groups with one stand at the end.
    /// What the session may use.
    #[command(flatten, next_help_heading = "Bounds")]
    pub bounds: BoundsArguments,
    /// How the host is reached.
    #[command(flatten, next_help_heading = "Reaching the other side")]
    pub reach: ReachArguments,
}

/// What a session may use, for either side.
#[derive(Debug, Default, Args)]
pub struct BoundsArguments {
    /// Streams that the other side may have open at once
    #[arg(long, value_name = "N")]
    pub max_streams: Option<String>,
    /// How fast a session may be in each direction, such as 20mbit
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// What the streams of a session may hold, such as 64MiB
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
}

/// How the other side is reached, for either side.
#[derive(Debug, Default, Args)]
pub struct ReachArguments {
    /// A STUN server to ask instead of Google's, also as stun:HOST; may be given more than once
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_stun")]
    pub stun: Vec<String>,
    /// Ask no STUN server: only addresses of this machine are offered
    #[arg(long)]
    pub no_stun: bool,
    /// Never carry traffic over the signaling connection: a direct path or none
    #[arg(long, conflicts_with = "relay_only")]
    pub no_relay: bool,
    /// Try no direct path: for networks without UDP
    #[arg(long)]
    pub relay_only: bool,
    /// How long a direct path is looked for, 1 to 120
    #[arg(long, value_name = "SECONDS", default_value = "10", allow_hyphen_values = true)]
    pub p2p_timeout: String,
    /// How long a UDP flow may be idle before it ends, 1 to 86400
    #[arg(long, value_name = "SECONDS", default_value = "60", allow_hyphen_values = true)]
    pub udp_idle: String,
    /// How long open connections wait for a lost path, 1 to 86400
    #[arg(long, value_name = "SECONDS", default_value = "60", allow_hyphen_values = true)]
    pub grace: String,
}

/// Arguments of `pinhole demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Print one JSON object a line on stdout instead of sentences
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn clap_finds_the_definition_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn examples_fit_a_terminal() {
        for text in [EXAMPLES, HOST_EXAMPLES, CLIENT_EXAMPLES] {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn help_has_examples_and_exit_codes() {
        let mut command = Arguments::command();
        let help = command.render_help().to_string();
        for part in ["Examples:", "pinhole host 25565", "Exit codes: 0 done, 1 failed, 2 wrong usage"] {
            assert!(help.contains(part), "{part} is missing in:\n{help}");
        }
        let host = command.find_subcommand_mut("host").unwrap().render_help().to_string();
        for part in ["Through a server:", "--id <ID>", "PINHOLE_TOKEN", "--pin-file <FILE>"] {
            assert!(host.contains(part), "{part} is missing in:\n{host}");
        }
        for name in ["host", "client"] {
            let action = command.find_subcommand_mut(name).unwrap();
            let help = action.render_help().to_string();
            for part in ["Examples:", "--pin <PIN>", "PINHOLE_PIN", "--once", "--json"] {
                assert!(help.contains(part), "{part} is missing in:\n{help}");
            }
        }
    }
}
