//! The questions of `pinhole` without a command. They lead to settings that arguments can say, too.

use super::machine::Machine;
use super::parse;
use super::problem::{Problem, WrongValue};
use super::question::{Ask, NoAnswer, Question, ask_list, ask_until, chosen};
use super::reach::short_listen;
use super::saving::SavedName;
use crate::address::{Endpoint, ListenAddress, Target};
use crate::config::{ClientConfig, DEFAULT_HOST_LISTEN, HostConfig, LocalForward, ServiceBind, default_stun_servers};
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

/// The port of a client, unless the pasted command says another.
const LOCAL: &str = "25565";

/// Lines that a host prints below its QR code beside the command: how else to join, and its state at the bottom.
const LINES_BELOW_CODE: usize = 11;

/// Most services that are offered.
const MAX_OFFERED: usize = 12;

/// A pin as long as a generated one.
const SOME_PIN: &str = "123456";

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
            let (public_url, listen) = super::reach::ask(ask, machine)?;
            config.listen = listen.or(config.listen);
            if let Some(url) = public_url {
                let command = |pin: &Pin| client_command(&url, pin, &config);
                extras = self::extras(ask, &url, config.pin.as_ref(), command, machine)?;
                config.public_url = Some(url);
            }
            Ok(Answers::Host(config, extras))
        }
        Side::Client => client(ask, around),
    }
}

fn client(ask: &mut Ask<'_>, around: Around) -> Result<Answers, NoAnswer> {
    let Around { pin, machine, saved } = around;
    let ((url, url_pin), port) = match host_url(ask, &saved)? {
        Which::Saved(name) => return Ok(Answers::Saved(name)),
        Which::Url(url, port) => (url, port),
        Which::Other => ask_until(ask, URL, pasted)?,
    };
    let pin = match url_pin.or(pin) {
        Some(pin) => pin,
        None => self::pin(ask)?,
    };
    let guess = port.map_or_else(|| LOCAL.to_owned(), |port| port.to_string());
    let text = format!("The local port to listen on; 0 picks one [{guess}]");
    let question = Question { text: &text, placeholder: &guess, default: Some(&guess), choices: &[], complaint: None };
    let local = ask_until(ask, question, |text| free_local(text, machine))?;
    Ok(Answers::Client(ClientConfig { stun: default_stun_servers(), ..ClientConfig::joining(url, pin, local) }))
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
fn extras(
    ask: &mut Ask<'_>,
    url: &SignalingUrl,
    pin: Option<&Pin>,
    command: impl Fn(&Pin) -> String,
    machine: Machine,
) -> Result<Extras, NoAnswer> {
    let Some((columns, rows)) = machine.screen else { return Ok(Extras::default()) };
    let some_pin = Pin::new(SOME_PIN);
    let qr = pin.or(some_pin.as_ref()).is_some_and(|pin| {
        // The command is no use above the screen.
        let below = command(pin).chars().count().div_ceil(columns.max(1)) + LINES_BELOW_CODE;
        qr::size(&url.with_pin(pin)).is_some_and(|(width, height)| width <= columns && height + below <= rows)
    });
    let choices = ["no", "yes"].map(str::to_owned);
    let text = "Copy the command for the other side to the clipboard of this terminal";
    let copy = ask_list(ask, text, &choices, |text| yes(text, 1))?;
    Ok(Extras { qr, copy })
}

/// Which host a client joins.
enum Which {
    Saved(SavedName),
    Url(parse::HostUrl, Option<u16>),
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
            (None, None) => pasted(text).map(|(url, port)| Which::Url(url, port)),
        }
    })
}

/// Reads a URL, and the local port behind it if a whole command was pasted.
fn pasted(text: &str) -> Result<(parse::HostUrl, Option<u16>), WrongValue> {
    let words = text.split_whitespace().skip_while(|word| *word != "client").skip(1);
    let mut behind_url = words.skip_while(|word| !word.contains("://")).skip(1);
    let port = behind_url.next().and_then(|word| word.parse().ok());
    parse::host_url(text).map(|url| (url, port))
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

/// Asks for the pin of a URL that has none.
pub fn pin(ask: &mut Ask<'_>) -> Result<Pin, NoAnswer> {
    ask_until(ask, PIN, |text| {
        if text.contains(char::is_whitespace) || text.contains("://") {
            let hint = "give only the pin that the host printed, for example 123456";
            return Err(WrongValue::hidden(Problem::PastedPin, hint));
        }
        parse::pin(text)
    })
}

/// Returns the command for the other side, about as the host prints it.
fn client_command(url: &SignalingUrl, pin: &Pin, config: &HostConfig) -> String {
    let port = config.services.first().map_or_else(String::new, |service| match &service.endpoint {
        Endpoint::Tcp(target) => format!(" {}", target.port),
        _ => String::new(),
    });
    format!("  pinhole client {}{port}", shell_quote(&url.with_pin(pin)))
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
                let listen =
                    config.listen.filter(|listen| *listen != DEFAULT_HOST_LISTEN || config.public_url.is_some());
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

fn short_local(local: ListenAddress) -> String {
    match local {
        ListenAddress::Localhost(port) => port.to_string(),
        ListenAddress::One(address) => address.to_string(),
    }
}

#[cfg(test)]
#[path = "wizard_tests.rs"]
mod tests;
