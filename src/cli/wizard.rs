//! The questions of `pinhole` without a command. They lead to settings that arguments can say, too.

use std::net::{Ipv4Addr, SocketAddr};

use super::listening::{self, Listening};
use super::parse;
use super::problem::WrongValue;
use super::question::{Ask, NoAnswer, Question, ask_until, chosen};
use super::saving::SavedName;
use crate::address::{Endpoint, ListenAddress, Target};
use crate::config::{ClientConfig, HostConfig, LocalForward, ServiceBind, default_stun_servers};
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::status::qr;
use crate::status::text::shell_quote;

const TARGET: Question<'_> = Question {
    text: "What to share: a port of this machine, or host:port [25565]",
    placeholder: "25565",
    default: Some("25565"),
    choices: &[],
    complaint: None,
};

const PUBLIC_URL: Question<'_> = Question {
    text: "The address of a port that is forwarded already, or Enter to be told how to forward one",
    placeholder: "https://abc123-5000.asse.devtunnels.ms",
    default: Some(""),
    choices: &[],
    complaint: None,
};

const URL: Question<'_> = Question {
    text: "The URL that the host passed on",
    placeholder: "wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456",
    default: None,
    choices: &[],
    complaint: None,
};

const PIN: Question<'_> = Question {
    text: "The pin that the host printed",
    placeholder: "123456",
    default: None,
    choices: &[],
    complaint: None,
};

const LOCAL: Question<'_> = Question {
    text: "The local port to listen on; 0 picks one [25565]",
    placeholder: "25565",
    default: Some("25565"),
    choices: &[],
    complaint: None,
};

/// Most services that are offered.
const MAX_OFFERED: usize = 12;

/// A pin as long as a generated one.
const SOME_PIN: &str = "123456";

/// The machine that the questions are asked on.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    /// Returns what listens on it.
    pub listening: fn() -> Vec<Listening>,
    /// Tells whether a target takes connections, if that can be known.
    pub answers: fn(&Target) -> Option<bool>,
    /// Columns and rows of a terminal that can do more than print lines.
    pub screen: Option<(usize, usize)>,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine { listening: Vec::new, answers: |_| None, screen: None }
    }
}

impl Machine {
    /// Returns this machine.
    pub(super) fn present(screen: Option<(usize, usize)>) -> Machine {
        Machine { listening: listening::find, answers: listening::answers, screen }
    }
}

/// What is around the questions.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The pin of the environment, if any: a host uses it, and a client whose URL has none.
    pub pin: Option<Pin>,
    /// Where they are asked.
    pub machine: Machine,
    /// The saved hosts, and their URLs.
    pub(super) saved: Vec<(SavedName, String)>,
}

/// The result of the questions.
#[derive(Debug, Clone)]
pub enum Answers {
    /// Share a service.
    Host(HostConfig, Extras),
    /// Use one.
    Client(ClientConfig),
    /// Use one of a saved host.
    Saved(SavedName),
}

/// What else is wanted of a host's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// A QR code.
    pub qr: bool,
    /// The command for the other side in the terminal's clipboard.
    pub copy: bool,
}

/// Asks everything that a run needs.
pub fn questions(ask: &mut Ask<'_>, around: Around) -> Result<Answers, NoAnswer> {
    let sides = ["Share a service of this machine (host)", "Use a service that somebody shares (client)"];
    match ask_list(ask, "What do you want to do", &sides.map(str::to_owned), side)? {
        Side::Host => {
            let Around { pin, machine, .. } = around;
            let target = target(ask, machine)?;
            let mut config = HostConfig { pin, stun: default_stun_servers(), ..HostConfig::sharing(target) };
            let mut extras = Extras::default();
            if let Some(url) = ask_until(ask, PUBLIC_URL, public_url)? {
                config.listen = Some(forwarded_port(ask, &url)?);
                extras = self::extras(ask, &url, config.pin.as_ref(), machine)?;
                config.public_url = Some(url);
            }
            Ok(Answers::Host(config, extras))
        }
        Side::Client => client(ask, around),
    }
}

fn client(ask: &mut Ask<'_>, around: Around) -> Result<Answers, NoAnswer> {
    let Around { pin, machine, saved } = around;
    let (url, url_pin) = match host_url(ask, &saved)? {
        Which::Saved(name) => return Ok(Answers::Saved(name)),
        Which::Url(url) => url,
        Which::Other => ask_until(ask, URL, parse::host_url)?,
    };
    let pin = match url_pin.or(pin) {
        Some(pin) => pin,
        None => self::pin(ask)?,
    };
    let local = ask_until(ask, LOCAL, |text| free_local(text, machine))?;
    Ok(Answers::Client(ClientConfig { stun: default_stun_servers(), ..ClientConfig::joining(url, pin, local) }))
}

/// Asks with a list, of which Enter takes the first. What is typed counts as well.
fn ask_list<T, E: std::fmt::Display>(
    ask: &mut Ask<'_>,
    text: &str,
    choices: &[String],
    parse: impl FnMut(&str) -> Result<T, E>,
) -> Result<T, NoAnswer> {
    let question = Question { text, placeholder: "", default: Some("1"), choices, complaint: None };
    ask_until(ask, question, parse)
}

/// Asks what to share: what listens here, or something else.
fn target(ask: &mut Ask<'_>, machine: Machine) -> Result<Target, NoAnswer> {
    let mut found = (machine.listening)();
    found.truncate(MAX_OFFERED);
    let mut choices: Vec<String> = found
        .iter()
        .map(|entry| match &entry.program {
            Some(program) => format!("{}  {program}", short(&entry.target)),
            None => short(&entry.target),
        })
        .collect();
    choices.push("another port, or host:port".to_owned());
    loop {
        let typed = if found.is_empty() {
            None
        } else {
            let taken = |text: &str| match chosen(text, choices.len()) {
                Some(index) => Ok(found.get(index).map(|entry| (entry.target.clone(), true))),
                None => parse::target(text).map(|target| Some((target, false))),
            };
            ask_list(ask, "What to share", &choices, taken)?
        };
        let (target, is_found) = match typed {
            Some(typed) => typed,
            None => (ask_until(ask, TARGET, parse::target)?, false),
        };
        if is_found || (machine.answers)(&target) != Some(false) {
            return Ok(target);
        }
        let text = format!("Nothing answers on {target} at present");
        let choices = ["Share it all the same, for what starts later", "Choose something else"];
        if ask_list(ask, &text, &choices.map(str::to_owned), |text| yes(text, 0))? {
            return Ok(target);
        }
    }
}

/// Reads the answer to a question with two choices, of which one is a yes.
fn yes(text: &str, index_of_yes: usize) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        text => chosen(text, 2).map(|index| index == index_of_yes).ok_or("type 1 or 2"),
    }
}

/// Finds out what a host's output is to have beside words.
fn extras(ask: &mut Ask<'_>, url: &SignalingUrl, pin: Option<&Pin>, machine: Machine) -> Result<Extras, NoAnswer> {
    let Some((columns, rows)) = machine.screen else { return Ok(Extras::default()) };
    let some_pin = Pin::new(SOME_PIN);
    let code = pin.or(some_pin.as_ref()).and_then(|pin| qr::size(&url.with_pin(pin)));
    let qr = code.is_some_and(|(width, height)| width <= columns && height < rows);
    let choices = ["no", "yes"].map(str::to_owned);
    let text = "Copy the command for the other side to the clipboard of this terminal";
    let copy = ask_list(ask, text, &choices, |text| yes(text, 1))?;
    Ok(Extras { qr, copy })
}

/// Which host a client joins.
enum Which {
    Saved(SavedName),
    Url(parse::HostUrl),
    Other,
}

/// Offers saved hosts, if there are some.
fn host_url(ask: &mut Ask<'_>, saved: &[(SavedName, String)]) -> Result<Which, NoAnswer> {
    if saved.is_empty() {
        return Ok(Which::Other);
    }
    let mut choices: Vec<String> = saved.iter().map(|(name, url)| format!("{}  {url}", name.as_str())).collect();
    choices.push("another one, by its URL".to_owned());
    ask_list(ask, "Which host", &choices, |text| {
        // A name may be a number, too: what is shown as one is meant.
        let index = chosen(text, choices.len());
        let named = || saved.iter().find(|(name, _)| name.as_str() == text);
        match (index.map(|index| saved.get(index)), named()) {
            (Some(Some((name, _))), _) | (None, Some((name, _))) => Ok(Which::Saved(name.clone())),
            (Some(None), _) => Ok(Which::Other),
            (None, None) => parse::host_url(text).map(Which::Url),
        }
    })
}

/// Reads a local address on which nothing listens yet.
fn free_local(text: &str, machine: Machine) -> Result<ListenAddress, String> {
    let local = parse::local(text).map_err(|error| error.to_string())?;
    match local {
        ListenAddress::Localhost(port @ 1..)
            if (machine.answers)(&Target { host: "localhost".to_owned(), port }) == Some(true) =>
        {
            Err(format!("something listens on port {port} already; give another, or 0 for any free one"))
        }
        local => Ok(local),
    }
}

/// Parses the address of a forwarded port; none is an answer, too.
fn public_url(text: &str) -> Result<Option<SignalingUrl>, WrongValue> {
    if text.is_empty() { Ok(None) } else { parse::public_url(text).map(Some) }
}

/// Asks where a forwarded address leads. Dev tunnels have the port in their names.
fn forwarded_port(ask: &mut Ask<'_>, url: &SignalingUrl) -> Result<SocketAddr, NoAnswer> {
    let label = url.host().split('.').next().unwrap_or_default();
    let guess = label.rsplit('-').next().filter(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let guess = guess.unwrap_or("5000");
    let text = format!("The port of this machine that it leads to [{guess}]");
    let question = Question { text: &text, placeholder: guess, default: Some(guess), choices: &[], complaint: None };
    ask_until(ask, question, parse::host_listen)
}

/// Asks for the pin of a URL that has none.
pub fn pin(ask: &mut Ask<'_>) -> Result<Pin, NoAnswer> {
    ask_until(ask, PIN, parse::pin)
}

impl Answers {
    /// Returns the command that does the same without questions.
    pub fn command(&self) -> String {
        match self {
            Answers::Saved(name) => format!("pinhole client {}", name.as_str()),
            Answers::Host(config, extras) => {
                let targets = config.services.iter().map(|service| match &service.endpoint {
                    Endpoint::Tcp(target) => format!(" {}", shell_quote(&short(target))),
                    other => format!(" {}", shell_quote(&other.to_string())),
                });
                let url =
                    config.public_url.iter().map(|url| format!(" --public-url {}", shell_quote(&url.to_string())));
                let listen = config.listen.filter(|_| config.public_url.is_some());
                let listen = listen.iter().map(|listen| format!(" --listen {}", shell_quote(&short_listen(*listen))));
                let qr = if extras.qr { " --qr" } else { "" };
                format!("pinhole host{}{qr}", targets.chain(listen).chain(url).collect::<String>())
            }
            Answers::Client(config) => {
                let locals = config.forwards.iter().map(|forward| match forward {
                    LocalForward::Only { bind: ServiceBind::Address(local) } => {
                        format!(" {}", shell_quote(&short_local(*local)))
                    }
                    // Nothing else is asked for.
                    _ => String::new(),
                });
                let url = shell_quote(&config.url.with_pin(&config.pin));
                format!("pinhole client {url}{}", locals.collect::<String>())
            }
        }
    }
}

enum Side {
    Host,
    Client,
}

fn side(text: &str) -> Result<Side, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "h" | "host" | "share" => Ok(Side::Host),
        "2" | "c" | "client" | "use" => Ok(Side::Client),
        _ => Err("type host to share a service of yours, or client to use one"),
    }
}

fn short(target: &Target) -> String {
    if target.host == "localhost" { target.port.to_string() } else { target.to_string() }
}

fn short_listen(address: SocketAddr) -> String {
    if address.ip() == Ipv4Addr::LOCALHOST { address.port().to_string() } else { address.to_string() }
}

fn short_local(local: ListenAddress) -> String {
    match local {
        ListenAddress::Localhost(port) => port.to_string(),
        ListenAddress::One(address) => address.to_string(),
    }
}

#[cfg(test)]
#[path = "wizard_tests.rs"]
mod tests;
