//! The questions of `pinhole` without a command. They lead to settings that arguments can say, too.

use std::net::{Ipv4Addr, SocketAddr};

use super::parse;
use super::problem::WrongValue;
use super::question::{Ask, NoAnswer, Question, ask_until};
use crate::address::{Endpoint, ListenAddress, Target};
use crate::config::{ClientConfig, HostConfig, LocalForward, ServiceBind, default_stun_servers};
use crate::signaling::pin::Pin;
use crate::signaling::url::SignalingUrl;
use crate::status::text::shell_quote;

const WHICH: Question<'_> = Question {
    text: "Share a service (host) or use a shared one (client)? [host]",
    placeholder: "host or client",
    default: Some("host"),
    complaint: None,
};

const TARGET: Question<'_> = Question {
    text: "What to share: a port of this machine, or host:port [25565]",
    placeholder: "25565",
    default: Some("25565"),
    complaint: None,
};

const PUBLIC_URL: Question<'_> = Question {
    text: "The address of a port that is forwarded already, or Enter to be told how to forward one",
    placeholder: "https://abc123-5000.asse.devtunnels.ms",
    default: Some(""),
    complaint: None,
};

const URL: Question<'_> = Question {
    text: "The URL that the host passed on",
    placeholder: "wss://abc123-5000.asse.devtunnels.ms/ws?pin=123456",
    default: None,
    complaint: None,
};

const PIN: Question<'_> =
    Question { text: "The pin that the host printed", placeholder: "123456", default: None, complaint: None };

const LOCAL: Question<'_> = Question {
    text: "The local port to listen on; 0 picks one [25565]",
    placeholder: "25565",
    default: Some("25565"),
    complaint: None,
};

/// The result of the questions.
#[derive(Debug, Clone)]
pub enum Answers {
    /// Share a service.
    Host(HostConfig),
    /// Use one.
    Client(ClientConfig),
}

/// Asks everything that a run needs. `pin` is the pin of the environment, if any: a host uses it, and a client whose
/// URL has none.
pub fn questions(ask: &mut Ask<'_>, pin: Option<Pin>) -> Result<Answers, NoAnswer> {
    match ask_until(ask, WHICH, side)? {
        Side::Host => {
            let target = ask_until(ask, TARGET, parse::target)?;
            let mut config = HostConfig { pin, stun: default_stun_servers(), ..HostConfig::sharing(target) };
            if let Some(url) = ask_until(ask, PUBLIC_URL, public_url)? {
                config.listen = Some(forwarded_port(ask, &url)?);
                config.public_url = Some(url);
            }
            Ok(Answers::Host(config))
        }
        Side::Client => {
            let (url, url_pin) = ask_until(ask, URL, parse::host_url)?;
            let pin = match url_pin.or(pin) {
                Some(pin) => pin,
                None => self::pin(ask)?,
            };
            let local = ask_until(ask, LOCAL, parse::local)?;
            Ok(Answers::Client(ClientConfig { stun: default_stun_servers(), ..ClientConfig::joining(url, pin, local) }))
        }
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
    let question = Question { text: &text, placeholder: guess, default: Some(guess), complaint: None };
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
            Answers::Host(config) => {
                let targets = config.services.iter().map(|service| match &service.endpoint {
                    Endpoint::Tcp(target) => format!(" {}", shell_quote(&short(target))),
                    other => format!(" {}", shell_quote(&other.to_string())),
                });
                let url =
                    config.public_url.iter().map(|url| format!(" --public-url {}", shell_quote(&url.to_string())));
                let listen = config.listen.filter(|_| config.public_url.is_some());
                let listen = listen.iter().map(|listen| format!(" --listen {}", shell_quote(&short_listen(*listen))));
                format!("pinhole host{}", targets.chain(listen).chain(url).collect::<String>())
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
        "h" | "host" | "share" => Ok(Side::Host),
        "c" | "client" | "use" => Ok(Side::Client),
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
mod tests {
    use super::super::question::script::Script;
    use super::*;

    fn run(answers: &[&'static str], pin: Option<&str>) -> (Result<Answers, NoAnswer>, Vec<String>) {
        let mut script = Script::new(answers);
        let result = questions(&mut |question| script.ask(question), pin.and_then(Pin::new));
        (result, script.asked)
    }

    fn command(answers: &[&'static str]) -> String {
        let (result, asked) = run(answers, None);
        let answers = result.unwrap_or_else(|error| panic!("{error} after {asked:?}"));
        answers.command()
    }

    #[test]
    fn answers_become_the_same_command() {
        let url = "wss://abc-5000.asse.devtunnels.ms/ws?pin=123456";
        let cases: [(&[&'static str], &str); 12] = [
            (&["", "", ""], "pinhole host 25565"),
            (&["host", "80", ""], "pinhole host 80"),
            (&["H", "db.local:5432", ""], "pinhole host db.local:5432"),
            (&["share", "[::1]:80", ""], "pinhole host '[::1]:80'"),
            (&["what?", "h", "0", "ssh", "22", ""], "pinhole host 22"),
            (
                &["h", "80", "https://abc-7000.asse.devtunnels.ms/", ""],
                "pinhole host 80 --listen 7000 --public-url wss://abc-7000.asse.devtunnels.ms/ws",
            ),
            (
                &["h", "80", "ftp://x", "https://p.example.org/?pin=1", "0.0.0.0:81"],
                "pinhole host 80 --listen 0.0.0.0:81 --public-url wss://p.example.org/ws",
            ),
            (&["h", "80", "ws://a-70000.test", ""], "pinhole host 80 --listen 5000 --public-url ws://a-70000.test/ws"),
            (&["client", url, ""], "pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=123456' 25565"),
            (
                &["c", "https://abc-5000.asse.devtunnels.ms/", "123456", "0"],
                "pinhole client 'wss://abc-5000.asse.devtunnels.ms/ws?pin=123456' 0",
            ),
            (
                &["c", "", "ftp://x", "ws://[::1]:5000?pin=a%20b", "0.0.0.0:80"],
                "pinhole client 'ws://[::1]:5000/ws?pin=a%20b' 0.0.0.0:80",
            ),
            (
                &["use", "ws://127.0.0.1:5000", "", "1", "web:80", "[::1]:80"],
                "pinhole client 'ws://127.0.0.1:5000/ws?pin=1' '[::1]:80'",
            ),
        ];
        for (answers, expected) in cases {
            assert_eq!(command(answers), expected, "{answers:?}");
        }
    }

    #[test]
    fn wrong_answers_are_asked_again_with_the_reason() {
        let (result, asked) = run(&["both", "host", "0", "80", ""], None);
        assert!(matches!(result, Ok(Answers::Host(_))));
        assert_eq!(asked.len(), 5);
        assert!(asked[1].starts_with("(type host to share"), "{asked:?}");
        assert!(asked[3].starts_with("(nothing can be reached on port 0; give a port"), "{asked:?}");
    }

    #[test]
    fn the_environments_pin_is_used_where_the_url_has_none() {
        let pin_of = |answers: &[&'static str]| match run(answers, Some("env")).0 {
            Ok(Answers::Host(config)) => config.pin.map(|pin| pin.reveal().to_string()),
            Ok(Answers::Client(config)) => Some(config.pin.reveal().to_string()),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(pin_of(&["host", "80", ""]).as_deref(), Some("env"));
        assert_eq!(pin_of(&["client", "ws://h/ws", "80"]).as_deref(), Some("env"));
        assert_eq!(pin_of(&["client", "ws://h/ws?pin=url", "80"]).as_deref(), Some("url"));
    }

    #[test]
    fn leaving_at_any_question_ends_the_wizard() {
        for answers in [["client", "ws://h/ws", "123456", "80"], ["host", "80", "ws://h-5000.test", "5000"]] {
            for count in 0..answers.len() {
                let (result, asked) = run(&answers[..count], None);
                assert!(matches!(result, Err(NoAnswer::Cancelled)), "{asked:?}");
                assert_eq!(asked.len(), count + 1);
            }
        }
    }

    #[test]
    fn the_command_of_a_host_parses_to_the_same_target() {
        for target in ["25565", "[::1]:80", "db.local:5432", "0.0.0.0:1"] {
            let target = parse::target(target).unwrap();
            assert_eq!(parse::target(&short(&target)), Ok(target));
        }
    }
}
