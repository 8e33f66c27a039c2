//! The questions of `pinhole` without a command. They lead to settings that arguments can say, too.

use super::parse;
use super::question::{Ask, NoAnswer, Question, ask_until};
use crate::address::{Endpoint, ListenAddress, Target};
use crate::config::{ClientConfig, HostConfig, LocalForward, ServiceBind, default_stun_servers};
use crate::signaling::pin::Pin;
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
            Ok(Answers::Host(HostConfig { pin, stun: default_stun_servers(), ..HostConfig::sharing(target) }))
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
                format!("pinhole host{}", targets.collect::<String>())
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
        let cases: [(&[&'static str], &str); 9] = [
            (&["", ""], "pinhole host 25565"),
            (&["host", "80"], "pinhole host 80"),
            (&["H", "db.local:5432"], "pinhole host db.local:5432"),
            (&["share", "[::1]:80"], "pinhole host '[::1]:80'"),
            (&["what?", "h", "0", "ssh", "22"], "pinhole host 22"),
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
        let (result, asked) = run(&["both", "host", "0", "80"], None);
        assert!(matches!(result, Ok(Answers::Host(_))));
        assert_eq!(asked.len(), 4);
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
        assert_eq!(pin_of(&["host", "80"]).as_deref(), Some("env"));
        assert_eq!(pin_of(&["client", "ws://h/ws", "80"]).as_deref(), Some("env"));
        assert_eq!(pin_of(&["client", "ws://h/ws?pin=url", "80"]).as_deref(), Some("url"));
    }

    #[test]
    fn leaving_at_any_question_ends_the_wizard() {
        let answers = ["client", "ws://h/ws", "123456", "80"];
        for count in 0..answers.len() {
            let (result, asked) = run(&answers[..count], None);
            assert!(matches!(result, Err(NoAnswer::Cancelled)), "{asked:?}");
            assert_eq!(asked.len(), count + 1);
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
