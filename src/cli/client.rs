//! The arguments of `pinhole client`.

use std::ffi::OsString;
use std::iter;
use std::path::PathBuf;

use clap::Args;

use super::choices::{self, BoundsArguments, OUTPUT_HELP, PROXY_HELP, ReachArguments};
use super::control::{self, ControlArguments, ControlSurroundings};
use super::failure::UsageError;
use super::forwards::{self, Dials, Reverses};
use super::parse::{self, HostUrl};
use super::saving::{self, SavedName};
use super::secrets::{PIN, PROXY_AUTH};
use super::services::{self, GivenLocals};
use crate::address::ListenAddress;
use crate::config::{ClientConfig, StreamTarget};
use crate::http::field::HeaderField;
use crate::http::proxy::ProxyVariables;
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::socks::Credentials;

// No line of these is longer than 80 columns, where clap would wrap it.
pub(super) const EXAMPLES: &str = "\
Examples:
  pinhole client 'wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456' 25565
  pinhole client https://abc123-5000.asse.devtunnels.ms 25565 --pin 123456
  pinhole client 'ws://192.168.1.7:5000/ws?pin=123456' 0.0.0.0:8080
  pinhole client URL web=8080 db=unix:/tmp/pg.sock   some services, by name
  pinhole client URL -L 5432:db.local:5432 -D 1080   what the host --allows
  pinhole client URL -R 8000:127.0.0.1:3000          its port 8000 is 3000 here
  pinhole client --save nas URL 8080                 then: pinhole client nas
  ssh -o ProxyCommand=\"pinhole client 'URL' -W ssh\" me@anything

Put the URL in quotes: most shells act on a question mark.";

pub(super) const ENVIRONMENT: &str = "\
Environment:
  PINHOLE_PIN           the pin, if neither the URL nor a flag gives it
  PINHOLE_PROXY_AUTH    the login of -D, if no flag gives it";

/// Arguments of `pinhole client`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{ENVIRONMENT}\n{PROXY_HELP}\n{OUTPUT_HELP}"))]
pub struct ClientArguments {
    /// The URL that the host printed: 'wss://p.example.org/ws/blog?pin=123456'
    ///
    /// What is pasted is understood: https:// becomes wss://, a missing /ws is added, and a missing pin is asked for.
    /// The pin never leaves this side.
    /// A NAME that was saved by --save stands for all that was given then, and what else is given here counts more.
    #[arg(value_name = "URL", value_parser = parse::host_url)]
    pub url: HostUrl,
    /// Where services appear: 25565, web=8080, web=0.0.0.0:8080, db=unix:/tmp/db.sock
    ///
    /// A bare port is one of localhost, 0 is any free one, and a range is for the services that have these ports for
    /// names. Without a NAME it is for the host's only service; a NAME alone takes the service's own port. Without any
    /// LOCAL, -L, -R, -D and -W, every service appears at its own port where that is free.
    #[arg(value_name = "[NAME=]LOCAL", value_parser = services::local)]
    pub locals: Vec<GivenLocals>,
    /// The pin, if the URL has none [env: PINHOLE_PIN]
    ///
    /// Others on this machine can read it in the list of processes; --pin-file and PINHOLE_PIN keep it out of
    /// there. Without any, it is asked for at the terminal.
    #[arg(long, value_name = "PIN", value_parser = parse::pin)]
    pub pin: Option<Pin>,
    /// A file with the pin in its first line
    #[arg(long, value_name = "FILE")]
    pub pin_file: Option<PathBuf>,
    /// End with the first session; exit with code 0 if the host ended it
    ///
    /// Without this the client connects anew until the host ends the session.
    #[arg(long)]
    pub once: bool,
    /// Wait for a host that cannot be reached yet, instead of ending
    ///
    /// Wait also if it is lost before the first session stands. For units that start at boot.
    #[arg(long)]
    pub retry: bool,
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
    /// Save all this as NAME for pinhole client NAME, and end
    ///
    /// It goes to ~/.config/pinhole/hosts.toml, which nobody else can read, with the pin if that is given. A host of
    /// the name is replaced. pinhole hosts lists and removes them.
    #[arg(long, value_name = "NAME", conflicts_with = "print_config", value_parser = saving::name)]
    pub save: Option<SavedName>,
    // A heading is for everything after it.
    /// Have the host dial what its --allow has (repeatable)
    ///
    /// The first PORT is one of this machine, of localhost unless BIND says otherwise; HOST:PORT is what the host
    /// dials. With udp: before all of it, both are UDP. unix:/path may stand for either side, and ranges of one length
    /// for both ports: 5432:db.local:5432, udp:5353:10.0.0.53:53, 8080:unix:/run/app.sock, 8000-8010:a.local:9000-9010.
    #[arg(short = 'L', value_name = "[BIND:]PORT:HOST:PORT", help_heading = "Forwards", value_parser = forwards::dial)]
    pub dial: Vec<Dials>,
    /// Have the host listen where its --allow-reverse says, and dial here (repeatable)
    ///
    /// The first PORT is one of the host's machine, HOST:PORT is what this side dials. udp:, unix:/path and ranges as
    /// for -L. The host listens on its loopback unless BIND and its rule both name another address.
    #[arg(short = 'R', value_name = "[BIND:]PORT:HOST:PORT", help_heading = "Forwards", value_parser = forwards::reverse)]
    pub reverse: Vec<Reverses>,
    /// Be a SOCKS5 and HTTP proxy for what the host --allows (repeatable)
    ///
    /// PORT is one of localhost unless BIND says otherwise, and 0 is any free one. SOCKS5 carries UDP, too. As an
    /// HTTP proxy it serves CONNECT and plain requests, so http_proxy and https_proxy may name it.
    #[arg(short = 'D', value_name = "[BIND:]PORT", help_heading = "Forwards", value_parser = forwards::proxy)]
    pub proxy: Vec<ListenAddress>,
    /// The login that -D wants [env: PINHOLE_PROXY_AUTH]
    ///
    /// Without one, everybody who reaches the port is served. Others on this machine can read it in the list of
    /// processes; the file and the variable keep it out of there.
    #[arg(
        long,
        value_name = "USER:PASSWORD",
        help_heading = "Forwards",
        value_parser = parse::login
    )]
    pub proxy_auth: Option<Credentials>,
    /// A file with that login in its first line
    #[arg(long, value_name = "FILE", help_heading = "Forwards")]
    pub proxy_auth_file: Option<PathBuf>,
    /// Join stdin and stdout to one stream, and end with it
    ///
    /// The name of a service, or HOST:PORT or unix:/path that the host's --allow has; no UDP. What is printed otherwise
    /// goes to stderr.
    #[arg(short = 'W', value_name = "SERVICE|HOST:PORT", help_heading = "Forwards", value_parser = forwards::pipe)]
    pub pipe: Option<StreamTarget>,
    /// Another server where that host is found, such as wss://q.example.org (repeatable)
    ///
    /// Servers of the cluster that the URL leads to, without the host's name. The client comes to one of them when the
    /// one where it was does not answer, is busy, or does not know the host.
    #[arg(long, value_name = "URL", help_heading = "Reaching the other side", value_parser = parse::server_url)]
    pub server: Vec<SignalingUrl>,
    /// A PEM file of certificates to trust instead of the system's
    ///
    /// They are those of authorities, or the host's own. For wss:// only.
    #[arg(long, value_name = "FILE", help_heading = "Reaching the other side")]
    pub ca: Option<PathBuf>,
    /// A further header of the signaling request (repeatable)
    ///
    /// For private forwarded ports, such as 'X-Tunnel-Authorization: tunnel abc'.
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
    /// What the session may use.
    #[command(flatten, next_help_heading = "Bounds")]
    pub bounds: BoundsArguments,
    /// How it is looked at and steered.
    #[command(flatten, next_help_heading = "While it runs")]
    pub control: ControlArguments,
}

/// What is around a client.
pub(super) struct ClientSurroundings<'a> {
    /// The value of `PINHOLE_PIN`.
    pub(super) pin: Option<OsString>,
    /// The value of `PINHOLE_PROXY_AUTH`.
    pub(super) proxy_auth: Option<OsString>,
    /// The variables that name proxies.
    pub(super) proxies: &'a ProxyVariables,
    /// Where warnings go.
    pub(super) remarks: &'a mut Vec<String>,
    /// Where it may be looked at.
    pub(super) control: ControlSurroundings,
}

/// Returns what makes the settings once the pin is known, and the pin if it is known already.
pub(super) fn settings(
    arguments: ClientArguments,
    surroundings: ClientSurroundings<'_>,
) -> Result<(impl FnOnce(Pin) -> ClientConfig + use<>, Option<Pin>), UsageError> {
    let ClientSurroundings { pin: environment, proxy_auth, proxies, remarks, control } = surroundings;
    let (url, url_pin) = arguments.url;
    let others = choices::others(arguments.server, proxies)?;
    if !others.is_empty() && url.host_id().is_none() {
        return Err(UsageError::OthersWithoutId);
    }
    let ca = choices::ca(arguments.ca, iter::once(&url).chain(others.iter().map(|other| &other.url)))?;
    let has_others = !arguments.reverse.is_empty()
        || !arguments.dial.is_empty()
        || !arguments.proxy.is_empty()
        || arguments.pipe.is_some();
    let mut forwards = match arguments.locals.is_empty() && has_others {
        true => Vec::new(),
        false => services::locals(arguments.locals)?,
    };
    forwards.extend(arguments.dial.into_iter().flatten());
    let (login, file) = (arguments.proxy_auth, arguments.proxy_auth_file.as_deref());
    let credentials = match arguments.proxy.is_empty() {
        true if login.is_some() || file.is_some() => return Err(UsageError::AuthWithoutProxy),
        true => None,
        false => PROXY_AUTH.pick(login, file, proxy_auth, remarks)?,
    };
    let headers = choices::headers(arguments.headers)?;
    let environment = if url_pin.is_some() { None } else { environment };
    let pin = PIN.pick(arguments.pin, arguments.pin_file.as_deref(), environment, remarks)?;
    let pin = choices::nearest_pin(url_pin, pin)?;
    let proxy = choices::proxy(&url, proxies)?;
    let control = control::settings(arguments.control, "client", control, remarks)?;
    let settings = move |pin| ClientConfig {
        url,
        others,
        pin,
        forwards,
        reverse: arguments.reverse.into_iter().flatten().collect(),
        bounds: choices::bounds(&arguments.bounds),
        dynamic: arguments.proxy,
        credentials,
        once: arguments.once || arguments.pipe.is_some(),
        udp_idle: arguments.bounds.udp_idle,
        ca,
        headers,
        proxy,
        retry: arguments.retry,
        reach: choices::reach(&arguments.reach),
        stun: choices::stun_servers(arguments.reach.stun, arguments.reach.no_stun),
        control,
    };
    Ok((settings, pin))
}
