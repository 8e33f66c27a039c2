//! The text that tells a host's owner how others can join.

use std::net::{IpAddr, SocketAddr};

use percent_encoding::utf8_percent_encode;

use super::paint::Paint;
use super::text::{MAX_MESSAGE, MAX_PEER_TEXT, sanitize, shell_quote};
use crate::address::Endpoint;
use crate::config::SharedService;
use crate::signaling::rendezvous::HostId;
use crate::signaling::url::PIN;

/// The invitation of one host.
pub(super) struct Invitation<'a> {
    /// The services that are shared.
    pub(super) services: &'a [SharedService],
    pub(super) paint: Paint,
    /// Whether a QR code of the URL is wanted.
    pub(super) qr: bool,
    /// The address by which machines of the same network reach this one, if it is known.
    pub(super) address: Option<IpAddr>,
}

/// Where clients come in through a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entrance {
    /// For clients, without the pin.
    url: String,
    /// Further servers that lead to the host.
    others: Vec<String>,
}

/// How clients reach a host, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum WayIn<'a> {
    /// Through a server.
    Server(&'a Entrance),
    /// By this URL, pin included.
    Url(&'a str),
    /// By an address that somebody else knows, which leads here.
    Unknown(Option<SocketAddr>),
}

impl Entrance {
    /// Creates it of a URL, whose pin is left out, and of further servers.
    pub(super) fn new(url: &str, others: &[String]) -> Entrance {
        let url = sanitize(url.split('?').next().unwrap_or_default(), MAX_MESSAGE);
        Entrance { url, others: others.iter().map(|other| sanitize(other, MAX_MESSAGE)).collect() }
    }

    /// Tells whether a URL is for clients there.
    pub(super) fn is_of(&self, url: &str) -> bool {
        url.split('?').next() == Some(&self.url)
    }

    /// Returns the server where the host of this name is.
    pub(super) fn server(&self, id: &HostId) -> &str {
        self.url.strip_suffix(&format!("/ws/{id}")).unwrap_or(&self.url)
    }
}

impl Invitation<'_> {
    /// Returns everything that a host's owner needs: the pin, how to forward the signaling port, what to pass on. `url`
    /// is for a client on this machine.
    pub(super) fn text(&self, addr: SocketAddr, url: &str, pin: &str) -> String {
        let paint = &self.paint;
        let mut lines = self.sharing();
        lines.extend([format!("  Signaling  {addr}"), self.pin(pin), String::new()]);
        let network = self.network_url(addr, pin);
        if self.qr {
            let is_known = !addr.ip().is_loopback() && !addr.ip().is_unspecified();
            lines.extend(self.code(if is_known { Some(url) } else { network.as_deref() }));
        }
        lines.extend([
            "To let somebody join from anywhere, forward the signaling port with VS Code:".into(),
            format!(
                "  Ports panel → Forward a Port → {} → visibility Public → copy the address",
                paint.bold(&forwarded_port(addr))
            ),
            "They run this, with the copied address in place of <forwarded-address>:".into(),
            self.remote_command(pin),
            String::new(),
        ]);
        lines.extend(self.nearby(addr, url, pin));
        if addr.ip().is_loopback() {
            lines.push(format!("On this network: start it with --listen :{}", addr.port()));
        }
        lines.extend(waiting());
        lines.join("\n")
    }

    /// Returns the same where it is known how others reach the signaling port. Of the URLs, the first is for a client
    /// on this machine.
    pub(super) fn complete(&self, addr: SocketAddr, (url, public_url): (&str, &str), pin: &str) -> String {
        let public_url = sanitize(public_url, MAX_MESSAGE);
        let mut lines = self.sharing();
        lines.extend([format!("  Signaling  {addr}, where that address must lead"), self.pin(pin), String::new()]);
        if self.qr {
            lines.extend(self.code(Some(&public_url)));
        }
        lines.extend([
            "To join from anywhere, somebody runs this:".into(),
            self.command(&public_url, self.suggested_port()),
            String::new(),
        ]);
        lines.extend(self.nearby(addr, url, pin));
        lines.extend(waiting());
        lines.join("\n")
    }

    /// Returns the same, and has the terminal copy the command.
    pub(super) fn copied(&self, addr: SocketAddr, (url, public_url): (&str, &str), pin: &str) -> String {
        let text = self.complete(addr, (url, public_url), pin);
        let command = self.plain_command(&sanitize(public_url, MAX_MESSAGE), self.suggested_port(), "");
        let said = "The command for the other side is in the clipboard, if this terminal allows that.";
        format!("{}{text}\n{said}", super::clipboard::copy(&command))
    }

    /// Tells how to join from this machine and its network.
    fn nearby(&self, addr: SocketAddr, url: &str, pin: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let reach = if addr.ip().is_loopback() || addr.ip().is_unspecified() {
            "On this machine"
        } else {
            "On this machine or its network"
        };
        let hint = if self.own_port().is_some() { " (0 picks a free port)" } else { "" };
        lines.extend([format!("{reach}{hint}:"), self.command(&sanitize(url, MAX_MESSAGE), Some(0))]);
        if addr.ip().is_unspecified() {
            let (how, url) = match self.network_url(addr, pin) {
                Some(url) => ("On its network:", url),
                None => {
                    let url = with_pin(&format!("ws://<this-machine>:{}/ws", addr.port()), pin);
                    ("On its network, with this machine's name or address in it:", url)
                }
            };
            lines.extend([how.into(), self.command(&url, self.suggested_port())]);
        }
        lines
    }

    /// Returns the URL for machines of the same network, if the host listens on every address and one is known.
    fn network_url(&self, addr: SocketAddr, pin: &str) -> Option<String> {
        // Who listens on every IPv4 address is not reached by IPv6.
        let is_reached = |address: &IpAddr| addr.ip().is_unspecified() && (addr.is_ipv6() || address.is_ipv4());
        let address = self.address.filter(is_reached)?;
        Some(with_pin(&format!("ws://{}/ws", SocketAddr::new(address, addr.port())), pin))
    }

    /// Returns everything that the owner of a host on a server needs. `web` is the URL of the published service.
    pub(super) fn through_server(&self, id: &HostId, entrance: &Entrance, pin: &str, web: Option<&str>) -> String {
        let mut lines = self.sharing();
        lines.extend([format!("  Id         {id}"), self.pin(pin)]);
        if let Some(web) = web {
            lines.push(format!("  Web        {} (needs no pin)", self.paint.bold(&sanitize(web, MAX_MESSAGE))));
        }
        lines.extend([String::new()]);
        if self.qr {
            lines.extend(self.code(Some(&with_pin(&entrance.url, pin))));
        }
        lines.extend([
            "To join from anywhere, somebody runs this:".into(),
            self.command_through(entrance, pin),
            String::new(),
        ]);
        lines.push("Waiting for clients. Ctrl-C ends.".into());
        lines.join("\n")
    }

    /// Returns what to pass on after the pin was replaced.
    pub(super) fn new_pin(&self, way: WayIn<'_>, pin: &str) -> String {
        let shown = self.paint.bold_green(&sanitize(pin, MAX_PEER_TEXT));
        let mut lines =
            vec![format!("The pin is now {shown}: too many wrong ones were tried. Connected clients stay connected.")];
        let (url, command) = match way {
            WayIn::Server(entrance) => (with_pin(&entrance.url, pin), self.command_through(entrance, pin)),
            WayIn::Url(url) => {
                let url = sanitize(url, MAX_MESSAGE);
                let command = self.command(&url, self.suggested_port());
                (url, command)
            }
            WayIn::Unknown(addr) => {
                lines.push("To join from now on, somebody runs this, with the forwarded address in it:".into());
                lines.push(self.remote_command(pin));
                lines.extend(addr.map(|addr| format!("The forwarded port is still {}.", forwarded_port(addr))));
                return lines.join("\n");
            }
        };
        if self.qr {
            lines.push(String::new());
            lines.extend(self.code(Some(&url)));
        }
        lines.extend(["To join from now on, somebody runs this:".into(), command]);
        lines.join("\n")
    }

    /// Lists what is shared, followed by an empty line.
    fn sharing(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.services {
            [] => lines.extend([
                "Sharing no service of its own. Clients name what --allow has (-L, -D, -W), or where --allow-reverse"
                    .into(),
                "lets them listen (-R).".into(),
            ]),
            [service] => lines.push(format!("Sharing {}.", self.paint.bold(&service.endpoint.to_string()))),
            services => {
                lines.push("Sharing".to_owned());
                lines.extend(services.iter().map(|service| {
                    format!("  {}  {}", self.paint.bold(&format!("{:<10}", service.name)), service.endpoint)
                }));
            }
        }
        lines.push(String::new());
        lines
    }

    fn pin(&self, pin: &str) -> String {
        format!("  Pin        {}", self.paint.bold_green(&sanitize(pin, MAX_PEER_TEXT)))
    }

    /// Returns the QR code of a URL, if that is known, followed by an empty line.
    fn code(&self, url: Option<&str>) -> Vec<String> {
        let Some(url) = url else {
            let reason = "There is no QR code before it is known how others reach this host: give --public-url.";
            return vec![reason.into(), String::new()];
        };
        #[cfg(feature = "cli")]
        if let Some(mut lines) = super::qr::lines(url, &self.paint) {
            lines.push(String::new());
            return lines;
        }
        vec![format!("There is no QR code: {} characters are too many for one.", url.len()), String::new()]
    }

    fn remote_command(&self, pin: &str) -> String {
        let url = with_pin("wss://<forwarded-address>/ws", pin);
        self.command(&url, self.suggested_port())
    }

    fn command_through(&self, entrance: &Entrance, pin: &str) -> String {
        let others = entrance.others.iter().map(|other| format!(" --server {}", shell_quote(other)));
        self.command_with(&with_pin(&entrance.url, pin), self.suggested_port(), &others.collect::<String>())
    }

    fn command(&self, url: &str, port: Option<u16>) -> String {
        self.command_with(url, port, "")
    }

    /// Returns the command to join. A single service gets a port; several services use their own.
    fn command_with(&self, url: &str, port: Option<u16>, options: &str) -> String {
        format!("  {}", self.paint.bold(&self.plain_command(url, port, options)))
    }

    fn plain_command(&self, url: &str, port: Option<u16>, options: &str) -> String {
        let local = match (self.services, port) {
            ([], _) => " -L 8080:HOST:PORT".to_owned(),
            ([_], Some(port)) => format!(" {port}"),
            _ => String::new(),
        };
        format!("pinhole client {}{local}{options}", shell_quote(url))
    }

    /// Returns the suggested local port of a client: the service's, moved out of the privileged range.
    fn suggested_port(&self) -> Option<u16> {
        Some(match self.own_port()? {
            port if port < 1024 => port + 8000,
            port => port,
        })
    }

    /// Returns the port of the only service; 0 if it has none.
    fn own_port(&self) -> Option<u16> {
        match self.services {
            [] => None,
            [service] => match &service.endpoint {
                Endpoint::Tcp(target) | Endpoint::Udp(target) => Some(target.port),
                Endpoint::Unix(_) => Some(0),
            },
            _ => None,
        }
    }
}

/// Returns the end of an invitation.
fn waiting() -> [String; 2] {
    [String::new(), "Waiting for clients. Ctrl-C ends.".into()]
}

fn with_pin(url: &str, pin: &str) -> String {
    format!("{url}?pin={}", utf8_percent_encode(pin, PIN))
}

/// Returns what to type into VS Code: a port of this machine, or an address if nothing listens on localhost.
fn forwarded_port(addr: SocketAddr) -> String {
    if addr.ip().is_loopback() || addr.ip().is_unspecified() { addr.port().to_string() } else { addr.to_string() }
}

#[cfg(test)]
#[path = "invitation_tests.rs"]
pub(super) mod tests;
