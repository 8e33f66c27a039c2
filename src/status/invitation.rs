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
pub(super) mod tests {
    use super::*;
    use crate::address::Target;

    pub(in crate::status) fn minecraft() -> Vec<SharedService> {
        vec![SharedService::of(Target { host: "127.0.0.1".into(), port: 25565 })]
    }

    fn plain(services: &[SharedService]) -> Invitation<'_> {
        Invitation { services, paint: Paint(false), qr: false, address: None }
    }

    fn invite(addr: &str, pin: &str) -> String {
        let url = with_pin(&format!("ws://{}/ws", addr.replace("0.0.0.0", "127.0.0.1")), pin);
        plain(&minecraft()).text(addr.parse().unwrap(), &url, pin)
    }

    #[test]
    fn a_host_explains_how_to_join() {
        let text = invite("127.0.0.1:43211", "123456");
        let expected = "\
Sharing 127.0.0.1:25565.

  Signaling  127.0.0.1:43211
  Pin        123456

To let somebody join from anywhere, forward the signaling port with VS Code:
  Ports panel → Forward a Port → 43211 → visibility Public → copy the address
They run this, with the copied address in place of <forwarded-address>:
  pinhole client 'wss://<forwarded-address>/ws?pin=123456' 25565

On this machine (0 picks a free port):
  pinhole client 'ws://127.0.0.1:43211/ws?pin=123456' 0
On this network: start it with --listen :43211

Waiting for clients. Ctrl-C ends.";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_host_that_knows_its_address_says_all_of_it() {
        let services = minecraft();
        let urls = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
        let expected = "\
Sharing 127.0.0.1:25565.

  Signaling  127.0.0.1:5000, where that address must lead
  Pin        1

To join from anywhere, somebody runs this:
  pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=1' 25565

On this machine (0 picks a free port):
  pinhole client 'ws://127.0.0.1:5000/ws?pin=1' 0

Waiting for clients. Ctrl-C ends.";
        let local = "127.0.0.1:5000".parse().unwrap();
        assert_eq!(plain(&services).complete(local, urls, "1"), expected);
        let hostile = plain(&services).complete(local, (urls.0, "wss://a/\x1b[31m\u{202e}"), "1");
        assert!(!hostile.contains('\x1b') && !hostile.contains('\u{202e}'), "{hostile}");
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_qr_code_is_of_the_url_that_others_need_or_says_what_is_missing() {
        let services = minecraft();
        let invitation = Invitation { qr: true, ..plain(&services) };
        let code = |url: &str| super::super::qr::lines(url, &Paint(false)).unwrap().join("\n");
        let (local, public) = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
        let address = |text: &str| text.parse().unwrap();
        let complete = invitation.complete(address("127.0.0.1:5000"), (local, public), "1");
        assert!(complete.contains(&code(public)), "{complete}");
        for unknown in ["127.0.0.1:5000", "0.0.0.0:5000", "[::]:5000"] {
            let text = invitation.text(address(unknown), local, "1");
            assert!(
                text.contains("There is no QR code before") && text.contains("--public-url") && !text.contains('█')
            );
        }
        let lan = "ws://192.0.2.7:5000/ws?pin=1";
        assert!(invitation.text(address("192.0.2.7:5000"), lan, "1").contains(&code(lan)));
        let server = "wss://p.example.org/ws/myhost";
        let entrance = Entrance::new(server, &[]);
        let text = invitation.through_server(&"myhost".parse().unwrap(), &entrance, "1", None);
        assert!(text.contains(&code(&with_pin(server, "1"))), "{text}");
        assert!(invitation.new_pin(WayIn::Url(public), "1").contains(&code(public)));
        let long = format!("wss://a/{}", "b".repeat(500));
        let text = invitation.complete(address("127.0.0.1:5000"), (local, &long), "1");
        assert!(text.contains("There is no QR code: 508 characters are too many for one."), "{text}");
    }

    #[test]
    fn a_host_on_a_network_names_its_address() {
        let text = invite("0.0.0.0:5000", "123456");
        assert!(text.contains("Forward a Port → 5000 →"), "{text}");
        assert!(
            text.contains("address in it:\n  pinhole client 'ws://<this-machine>:5000/ws?pin=123456' 25565"),
            "{text}"
        );

        let text = invite("192.0.2.7:5000", "123456");
        assert!(text.contains("Forward a Port → 192.0.2.7:5000 →"), "{text}");
        assert!(
            text.contains(
                "or its network (0 picks a free port):\n  pinhole client 'ws://192.0.2.7:5000/ws?pin=123456' 0"
            ),
            "{text}"
        );
    }

    #[test]
    fn a_host_on_every_address_says_the_complete_command_for_its_network() {
        let services = minecraft();
        let said = |listen: &str, address: &str| {
            let invitation = Invitation { address: Some(address.parse().unwrap()), ..plain(&services) };
            invitation.text(listen.parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "1")
        };
        for (listen, address, url) in [
            ("0.0.0.0:5000", "10.77.0.1", "ws://10.77.0.1:5000/ws?pin=1"),
            ("[::]:5000", "10.77.0.1", "ws://10.77.0.1:5000/ws?pin=1"),
            ("[::]:5000", "2001:db8::1", "ws://[2001:db8::1]:5000/ws?pin=1"),
        ] {
            let text = said(listen, address);
            assert!(text.contains(&format!("On its network:\n  pinhole client '{url}' 25565\n")), "{text}");
            assert!(!text.contains("<this-machine>"), "{text}");
        }
        assert!(said("0.0.0.0:5000", "2001:db8::1").contains("<this-machine>"));
        assert!(!said("127.0.0.1:5000", "10.77.0.1").contains("10.77.0.1"));
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_command_stays_on_the_screen_below_the_code() {
        let services = minecraft();
        let invitation = Invitation { qr: true, ..plain(&services) };
        let (local, public) = ("ws://127.0.0.1:5000/ws?pin=1", "wss://abc-5000.asse.devtunnels.ms/ws?pin=1");
        let entrance = Entrance::new("wss://p.example.org/ws/myhost", &[]);
        for text in [
            invitation.complete("127.0.0.1:5000".parse().unwrap(), (local, public), "1"),
            invitation.through_server(&"myhost".parse().unwrap(), &entrance, "1", None),
            invitation.new_pin(WayIn::Url(public), "1"),
        ] {
            let (code, command) = (text.rfind('▄').unwrap(), text.find("pinhole client 'wss").unwrap());
            assert!(code < command, "{text}");
        }
    }

    #[test]
    fn a_pin_is_encoded_in_commands_only() {
        let text = invite("127.0.0.1:5000", "it's me+&");
        assert!(text.contains("Pin        it's me+&\n"), "{text}");
        assert!(text.contains("'wss://<forwarded-address>/ws?pin=it%27s%20me%2B%26' 25565"), "{text}");
    }

    #[test]
    fn a_privileged_port_is_not_suggested() {
        let target = vec![SharedService::of(Target { host: "db.local".into(), port: 80 })];
        let url = "ws://127.0.0.1:5000/ws?pin=1";
        let text = plain(&target).text("127.0.0.1:5000".parse().unwrap(), url, "1");
        assert!(text.contains("ws?pin=1' 8080\n"), "{text}");
    }

    #[test]
    fn a_replaced_pin_comes_with_the_new_command() {
        let text = plain(&minecraft()).new_pin(WayIn::Unknown(Some("127.0.0.1:5000".parse().unwrap())), "654321");
        let expected = "\
The pin is now 654321: too many wrong ones were tried. Connected clients stay connected.
To join from now on, somebody runs this, with the forwarded address in it:
  pinhole client 'wss://<forwarded-address>/ws?pin=654321' 25565
The forwarded port is still 5000.";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_host_on_a_server_passes_on_the_real_url() {
        let (services, id) = (minecraft(), "myhost".parse().unwrap());
        let invitation = plain(&services);
        let at = |others: &[&str]| {
            let others: Vec<String> = others.iter().map(|other| (*other).to_owned()).collect();
            Entrance::new("wss://p.example.org/ws/myhost?pin=old", &others)
        };
        let alone = at(&[]);
        assert_eq!(alone.server(&id), "wss://p.example.org");
        let expected = "\
Sharing 127.0.0.1:25565.

  Id         myhost
  Pin        a b
  Web        https://myhost.p.example.org (needs no pin)

To join from anywhere, somebody runs this:
  pinhole client 'wss://p.example.org/ws/myhost?pin=a%20b' 25565

Waiting for clients. Ctrl-C ends.";
        assert_eq!(invitation.through_server(&id, &alone, "a b", Some("https://myhost.p.example.org")), expected);
        assert!(!invitation.through_server(&id, &alone, "1", None).contains("Web"));
        let expected = "\
The pin is now 654321: too many wrong ones were tried. Connected clients stay connected.
To join from now on, somebody runs this:
  pinhole client 'wss://p.example.org/ws/myhost?pin=654321' 25565";
        assert_eq!(invitation.new_pin(WayIn::Server(&alone), "654321"), expected);
        let several = at(&["wss://q.example.org", "wss://r.example.org/x y"]);
        let command = "'wss://p.example.org/ws/myhost?pin=1' 25565 --server wss://q.example.org --server 'wss://r.example.org/x y'";
        assert!(invitation.through_server(&id, &several, "1", None).contains(command));
        assert!(invitation.new_pin(WayIn::Server(&several), "1").contains(command));
    }

    #[test]
    fn a_host_without_services_says_what_clients_name() {
        let text = plain(&[]).text("127.0.0.1:5000".parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "a-b c");
        assert!(text.starts_with("Sharing no service of its own. Clients name what --allow has"), "{text}");
        assert!(text.contains("?pin=a-b%20c' -L 8080:HOST:PORT\n"), "{text}");
        assert!(text.contains("On this machine:\n  pinhole client 'ws://127.0.0.1:5000/ws?pin=1' -L 8080:HOST:PORT\n"));
    }

    #[test]
    fn several_services_are_listed_and_take_their_own_ports() {
        let mut services = minecraft();
        services.push(SharedService {
            name: "db".into(),
            endpoint: Endpoint::Unix("/run/db.sock".into()),
            proxy_protocol: None,
        });
        let text = plain(&services).text("127.0.0.1:5000".parse().unwrap(), "ws://127.0.0.1:5000/ws?pin=1", "1");
        assert!(
            text.starts_with("Sharing\n  25565       127.0.0.1:25565\n  db          unix:/run/db.sock\n\n"),
            "{text}"
        );
        assert!(text.contains("On this machine:\n  pinhole client 'ws://127.0.0.1:5000/ws?pin=1'\n"), "{text}");
    }
}
