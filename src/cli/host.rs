//! The arguments of `pinhole host`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::approval;
use super::choices::{self, BoundsArguments, OUTPUT_HELP, PROXY_HELP, ReachArguments};
use super::control::{self, ControlArguments, ControlSurroundings};
use super::failure::UsageError;
use super::parse;
use super::registration::{self, RegistrationArguments, registration};
use super::secrets::PIN;
use super::services::{self, GivenServices, GivenVersion};
use crate::access::{AccessList, ReverseAccess, ReverseRule, Rule};
use crate::config::{DEFAULT_HOST_LISTEN, DEFAULT_MAX_SESSIONS, HostConfig};
use crate::http::proxy::ProxyVariables;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole host 25565                      a port of this machine
  pinhole host db.local:5432              a service that this machine can reach
  pinhole host web=8080 dns=udp:53        several services, by name
  pinhole host 22 --listen 0.0.0.0:5000   the local network may join directly
  pinhole host 8080 --once --json         for scripts: one client, then exit 0
  pinhole host web=8080 --server wss://p.example.org --id blog --public web
                                          through a server of yours, for all

Without a server, forward the signaling port that it prints (VS Code: Ports
panel, Forward a Port, visibility Public). Pass on the command that it prints.";

pub(super) const ENVIRONMENT: &str = "\
Environment:
  PINHOLE_PIN           the pin, if neither --pin nor --pin-file gives it
  PINHOLE_TOKEN         the token, if no flag gives it
  PINHOLE_PUBLIC_AUTH   the login of visitors, if no flag gives it";

/// Arguments of `pinhole host`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n{PROXY_HELP}\n{OUTPUT_HELP}"))]
pub struct HostArguments {
    /// What to share: 25565, web=8080, db.local:5432, 8000-8010, udp:53, unix:/run/app.sock
    ///
    /// A port, HOST:PORT, a range of ports, one of these after udp:, or the path of a socket after unix:. A bare port
    /// is one of localhost: 127.0.0.1 is dialled, and ::1 if nobody is there. Names are looked up on this machine.
    ///
    /// Clients know each service by its NAME: 1 to 63 of a to z, 0 to 9, dot, hyphen and underscore. Without one it is
    /// the port, with -udp behind it where a TCP service has the same port, or the file name of the socket. A range is
    /// a service for each port. There are at most 256 services.
    #[arg(value_name = "[NAME=]TARGET", value_parser = services::service)]
    pub services: Vec<GivenServices>,
    /// Where signaling listens: PORT, :PORT or ADDRESS:PORT [default: 127.0.0.1:0]
    ///
    /// A bare port is one of 127.0.0.1, :PORT is that port of every address, and port 0 is any free one. With --server,
    /// nothing is listened on unless this is given.
    #[arg(long, value_name = "ADDR", value_parser = parse::host_listen)]
    pub listen: Option<SocketAddr>,
    /// The address under which others reach signaling, such as wss://abc123-5000.asse.devtunnels.ms
    ///
    /// What forwards the signaling port shows it. With it the command to pass on is complete; nothing else changes. A
    /// forwarded port stays the same with --listen. A pin in it does not count.
    #[arg(long, value_name = "URL", value_parser = parse::public_url)]
    pub public_url: Option<SignalingUrl>,
    /// Show a QR code of the URL to pass on
    ///
    /// The pin is in it. It needs --public-url, --server, or --listen with an address of the network. Not with --json.
    #[arg(long)]
    pub qr: bool,
    /// The pin that clients must know [env: PINHOLE_PIN] [default: six digits]
    ///
    /// Others on this machine can read it in the list of processes; --pin-file and PINHOLE_PIN keep it out of there.
    /// Choose a passphrase for a host that runs for long. Without this, six random digits are printed, and replaced
    /// after 100 wrong guesses.
    #[arg(long, value_name = "PIN", value_parser = parse::pin)]
    pub pin: Option<Pin>,
    /// A file with the pin in its first line
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
    /// Exit with code 0 when the first session has ended
    #[arg(long)]
    pub once: bool,
    /// How many clients may be connected at a time
    ///
    /// From 1 to 1024.
    #[arg(
        long,
        value_name = "N",
        default_value_t = DEFAULT_MAX_SESSIONS,
        allow_hyphen_values = true,
        value_parser = parse::max_sessions
    )]
    pub max_sessions: usize,
    /// Ask at the terminal before a client may join
    #[arg(long)]
    pub ask: bool,
    /// Print one JSON object a line on stdout instead of sentences
    ///
    /// docs/events.md explains them.
    #[arg(long)]
    pub json: bool,
    /// Print these settings as a file for pinhole run, and end
    ///
    /// Nothing is started. Secrets stand in it as they were given: by file, or in clear.
    #[arg(long)]
    pub print_config: bool,
    // A heading is for everything after it.
    /// What else this host dials for clients (repeatable)
    ///
    /// HOST:PORTS or unix:PATH, such as 10.0.0.0/8:80,443, db.local:5432, *.internal:8000-8999, [2001:db8::/32]:22,
    /// 10.1.2.3:*, udp:10.0.0.53:53 or unix:/run/app.sock. Clients name it with -L, -D and -W.
    ///
    /// Names are looked up on this machine, and exactly the address that was checked is dialled. A rule for a name
    /// never leads to an address of this machine itself. Without a rule only the services are dialled.
    #[arg(long, value_name = "RULE", help_heading = "What else clients may do", value_parser = parse::rule)]
    pub allow: Vec<Rule>,
    /// Where this host listens if clients ask for it (repeatable)
    ///
    /// Ports such as 8000-8010, 8080,9000, udp:53 or *, of loopback unless an address stands before them, such as
    /// 0.0.0.0:80; or unix:PATH. Clients name it with -R.
    #[arg(
        long,
        value_name = "PORTS",
        help_heading = "What else clients may do",
        value_parser = parse::reverse_rule
    )]
    pub allow_reverse: Vec<ReverseRule>,
    /// Tell services the client's address in a PROXY header: v1, v2, NAME=v2 (repeatable)
    ///
    /// Connections to services begin with the header, UDP services have none. NAME=v2 is for one service, and counts
    /// more than v1 or v2 for all.
    #[arg(
        long,
        value_name = "VERSION",
        help_heading = "What else clients may do",
        value_parser = services::proxy_protocol
    )]
    pub proxy_protocol: Vec<GivenVersion>,
    /// Where it is registered.
    #[command(flatten, next_help_heading = "Through a server")]
    pub registration: RegistrationArguments,
    /// How clients are reached.
    #[command(flatten, next_help_heading = "Reaching the other side")]
    pub reach: ReachArguments,
    /// What each session may use.
    #[command(flatten, next_help_heading = "Bounds")]
    pub bounds: BoundsArguments,
    /// How it is looked at and steered.
    #[command(flatten, next_help_heading = "While it runs")]
    pub control: ControlArguments,
}

/// What is around a host.
pub(super) struct HostSurroundings<'a> {
    /// The value of `PINHOLE_PIN`.
    pub(super) pin: Option<OsString>,
    /// The value of `PINHOLE_TOKEN`.
    pub(super) token: Option<OsString>,
    /// The value of `PINHOLE_PUBLIC_AUTH`.
    pub(super) public_auth: Option<OsString>,
    /// The variables that name proxies.
    pub(super) proxies: &'a ProxyVariables,
    /// There is somebody to ask.
    pub(super) terminal: bool,
    /// Where it may be looked at.
    pub(super) control: ControlSurroundings,
}

/// Returns the settings, and what the host's owner should know about them.
pub(super) fn settings(
    arguments: HostArguments,
    surroundings: HostSurroundings<'_>,
) -> Result<(HostConfig, Vec<String>), UsageError> {
    let HostSurroundings { pin: environment, token, public_auth, proxies, terminal, control } = surroundings;
    let mut remarks = Vec::new();
    let pin = PIN.pick(arguments.pin, arguments.pin_file.as_deref(), environment, &mut remarks)?;
    if arguments.ask && !terminal {
        return Err(UsageError::NobodyToAsk);
    }
    let mut services = services::services(arguments.services)?;
    services::apply_proxy_protocol(arguments.proxy_protocol, &mut services)?;
    if services.is_empty() && arguments.allow.is_empty() && arguments.allow_reverse.is_empty() {
        return Err(UsageError::NothingShared);
    }
    let context = registration::Context {
        services: &services,
        allows: !arguments.allow.is_empty(),
        token,
        public_auth,
        remarks: &mut remarks,
        proxies,
    };
    let server = registration(arguments.registration, context)?;
    if arguments.public_url.is_some() && server.is_some() && arguments.listen.is_none() {
        return Err(UsageError::PublicWithoutListen);
    }
    let listen = arguments.listen.or(if server.is_some() { None } else { Some(DEFAULT_HOST_LISTEN) });
    let config = HostConfig {
        services,
        allow: AccessList::new(arguments.allow),
        allow_reverse: ReverseAccess::new(arguments.allow_reverse),
        bounds: choices::bounds(&arguments.bounds),
        udp_idle: arguments.bounds.udp_idle,
        listen,
        public_url: arguments.public_url,
        server,
        pin,
        once: arguments.once,
        max_sessions: arguments.max_sessions,
        approver: arguments.ask.then(approval::at_terminal),
        reach: choices::reach(&arguments.reach),
        stun: choices::stun_servers(arguments.reach.stun, arguments.reach.no_stun),
        control: control::settings(arguments.control, "host", control, &mut remarks)?,
        ..HostConfig::new()
    };
    Ok((config, remarks))
}
