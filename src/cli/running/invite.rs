//! `pinhole invite` and `pinhole uninvite`.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use serde_json::Value;

use super::arguments::{EndingTime, InviteArguments, Label, ServiceName, UninviteArguments};
use super::ask::{Processes, object, tell};
use super::http::{Answer, AskError};
use super::place::Socket;
use super::{Ending, Scene, absent, lines};
use crate::cli::prompt::Prompter;
use crate::cli::question::{Ask, NoAnswer, Question, ask_until};
use crate::cli::secret_file::{self, Secret};
use crate::cli::{expiry, parse};
use crate::config::{Expiry, ProcessName};
use crate::signaling::url::SignalingUrl;
use crate::status::issued::Issued;
use crate::status::style::{Streams, Style};
use crate::status::text::{MAX_MESSAGE, MAX_PEER_TEXT, sanitize, shell_quote};

const PUBLIC_URL: Question<'_> = Question {
    text: "The address under which others reach the host, or Enter to be told how to make one",
    placeholder: "https://abc123-5000.asse.devtunnels.ms",
    default: Some(""),
    choices: &[],
    complaint: None,
};

/// A host that runs, and what it says of itself.
struct Host {
    socket: Socket,
    status: Value,
    /// Others run, so what is to be done next names this one.
    is_named: bool,
}

/// Has a host invite somebody.
pub fn invite(arguments: &InviteArguments, scene: &Scene) -> Ending {
    done(make(arguments, scene))
}

/// Has a host take an invitation back.
pub fn uninvite(arguments: &UninviteArguments, scene: &Scene) -> Ending {
    done(take_back(arguments, scene))
}

fn done(result: Result<(), Ending>) -> Ending {
    result.err().unwrap_or(Ending::Done)
}

fn failed(code: &'static str, sentence: impl Into<String>) -> Ending {
    Ending::Failed(code, sentence.into())
}

fn make(arguments: &InviteArguments, scene: &Scene) -> Result<(), Ending> {
    if arguments.services.is_empty() && arguments.allow.is_empty() && arguments.allow_reverse.is_empty() {
        let sentence = "an invitation gives what it names and nothing else: add --services, --allow or --allow-reverse";
        return Err(Ending::Unclear(sentence.to_owned()));
    }
    let pin = match &arguments.pin_file {
        Some(path) => {
            let secret = Secret { flag: "--pin-file", name: "the pin" };
            let (text, remark) = secret_file::read(secret, path).map_err(|error| Ending::Unclear(error.to_string()))?;
            if let Some(remark) = remark {
                log::warn!("{remark}");
            }
            Some(text)
        }
        None => None,
    };
    let host = find(arguments.name.as_ref(), scene)?;
    let mut public_url = arguments.public_url.clone();
    if public_url.is_none() && scene.is_asked && host.unknown_entrance().is_some() {
        let asked = Prompter::new(scene.is_plain)
            .map_err(NoAnswer::from)
            .and_then(|mut terminal| asked(&mut |question| terminal.ask(question)));
        public_url = asked.map_err(|error| match error {
            NoAnswer::Cancelled => failed("cancelled", "nobody was invited"),
            error => failed("system", error.to_string()),
        })?;
    }
    let body = body(arguments, pin, public_url.as_ref());
    let answer = tell(&host.socket.path, "POST", "/v1/invitations".to_owned(), Some(body));
    let issued = host.understand(answer, 201)?;
    let text = |key: &str| issued.get(key).and_then(Value::as_str);
    let (Some(id), Some(url)) = (text("id"), best(&issued)) else {
        return Err(failed("socket-foreign", "the host says in other words what it made"));
    };
    let expires = text("expires");
    let said = match arguments.json {
        true => lines::as_line(&serde_json::json!({ "event": "invited", "id": id, "url": url, "expires": expires })),
        false => {
            let named = if host.is_named { format!("{} ", shell_quote(&host.socket.name)) } else { String::new() };
            let issued = Issued {
                url,
                signaling: host.unknown_entrance().filter(|_| public_url.is_none()),
                expires: expires.and_then(moment),
                now: SystemTime::now(),
                uninvite: &format!("pinhole uninvite {named}{}", shell_quote(id)),
            };
            format!("{}\n", issued.text(&Style { qr: arguments.qr, ..Style::of_process(Streams::Silent) }))
        }
    };
    lines::print(&said).map_err(|error| failed("system", error))
}

fn take_back(arguments: &UninviteArguments, scene: &Scene) -> Result<(), Ending> {
    let (name, id) = arguments.parts().map_err(|wrong| Ending::Unclear(wrong.of("ID").to_string()))?;
    let host = find(name.as_ref(), scene)?;
    let answer = tell(&host.socket.path, "DELETE", format!("/v1/invitations/{id}"), None);
    if answer.as_ref().is_ok_and(|answer| answer.status == 404) {
        let sentence = format!("{} has no invitation {id}; pinhole status shows which there are", host.name());
        return Err(failed("unknown-invitation", sentence));
    }
    host.understand(answer, 204)?;
    match arguments.json {
        true => Ok(()),
        false => {
            let said = format!("The invitation {id} of {} is taken back; its sessions end.\n", host.name());
            lines::print(&said).map_err(|error| failed("system", error))
        }
    }
}

/// Finds the host that is meant.
fn find(name: Option<&ProcessName>, scene: &Scene) -> Result<Host, Ending> {
    let name = name.map(ProcessName::as_str);
    let processes = Processes::ask(&scene.folders, name);
    let role = |status: &Value| status.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut hosts: Vec<(&Socket, &Value)> = processes.running().filter(|(_, status)| role(status) == "host").collect();
    match (hosts.pop(), hosts.is_empty()) {
        (Some((socket, status)), true) => {
            Ok(Host { socket: socket.clone(), status: status.clone(), is_named: name.is_some() })
        }
        (Some(_), false) if name.is_some() => {
            let paths =
                processes.running().map(|(socket, _)| sanitize(&socket.path.display().to_string(), MAX_MESSAGE));
            let paths = paths.collect::<Vec<_>>().join(", ");
            Err(Ending::Unclear(format!(
                "several hosts have that name: {paths}; start them with different ones (--name)"
            )))
        }
        (Some(_), false) => {
            let names = processes.running().filter(|(_, status)| role(status) == "host");
            let mut names: Vec<String> = names.map(|(socket, _)| sanitize(&socket.name, MAX_PEER_TEXT)).collect();
            names.sort();
            let (first, names) = (names.first().cloned().unwrap_or_default(), names.join(", "));
            let next =
                format!("say which of them is meant, for example pinhole invite {first} or pinhole uninvite {first}");
            Err(Ending::Unclear(format!("several hosts run: {names}; {next}")))
        }
        (None, _) => Err(match (processes.running().next(), name) {
            (Some((socket, status)), Some(_)) => failed(
                "no-host",
                format!(
                    "{} is a {}, and only hosts invite",
                    sanitize(&socket.name, MAX_PEER_TEXT),
                    sanitize(&role(status), MAX_PEER_TEXT)
                ),
            ),
            (Some(_), None) => failed("no-host", "no host runs here: pinhole host starts one"),
            (None, _) => match absent::nothing(&processes, name, scene) {
                Ending::Failed("not-running", sentence) => {
                    failed("not-running", format!("{sentence}: pinhole host starts a host"))
                }
                other => other,
            },
        }),
    }
}

impl Host {
    fn name(&self) -> String {
        sanitize(&self.socket.name, MAX_PEER_TEXT)
    }

    /// Returns where the host listens, if it does not know how others come there, and they come no other way.
    fn unknown_entrance(&self) -> Option<SocketAddr> {
        let text = |key: &str| self.status.get(key).and_then(Value::as_str);
        let listen: SocketAddr = text("listen")?.parse().ok()?;
        let is_near = |url: &str| url_host(url).is_some_and(|host| host.is_loopback() || host.is_unspecified());
        let is_known = text("id").is_some() || text("url").is_some_and(|url| !is_near(url));
        let is_reachable = !listen.ip().is_loopback() && !listen.ip().is_unspecified();
        (!is_known && !is_reachable).then_some(listen)
    }

    /// Takes an answer apart; what the host refuses is an error.
    fn understand(&self, answer: Result<Answer, AskError>, wanted: u16) -> Result<Value, Ending> {
        let name = self.name();
        let Answer { status, body } = answer.map_err(|error| failed(error.code(), format!("{name}: {error}")))?;
        if status == wanted {
            return Ok(object(&body).unwrap_or_default());
        }
        let sentence = object(&body);
        let sentence = sentence.as_ref().and_then(|object| object.get("error")).and_then(Value::as_str);
        let sentence = match sentence {
            Some(sentence) => sanitize(sentence, MAX_MESSAGE),
            None => format!("it answers with the status {status}"),
        };
        Err(failed("refused", format!("{name} refuses: {sentence}")))
    }
}

/// Returns the URL that reaches furthest: one that is not of the host's machine, if there is one.
fn best(issued: &Value) -> Option<&str> {
    let main = issued.get("url").and_then(Value::as_str);
    let all = issued.get("urls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is_far = |url: &&str| url_host(url).is_none_or(|host| !host.is_loopback() && !host.is_unspecified());
    main.into_iter().chain(all.iter().filter_map(Value::as_str)).find(is_far).or(main)
}

/// Returns the address in a URL, if its host is one.
fn url_host(url: &str) -> Option<IpAddr> {
    SignalingUrl::parse(url).ok()?.0.host().parse().ok()
}

/// Asks for the address; none is an answer, too.
fn asked(ask: &mut Ask<'_>) -> Result<Option<SignalingUrl>, NoAnswer> {
    ask_until(ask, PUBLIC_URL, |text| if text.is_empty() { Ok(None) } else { parse::public_url(text).map(Some) })
}

fn body(arguments: &InviteArguments, pin: Option<String>, public_url: Option<&SignalingUrl>) -> String {
    let texts = |rules: Vec<String>| if rules.is_empty() { Value::Null } else { rules.into() };
    let services = arguments.services.iter().map(|ServiceName(name)| name.clone()).collect::<Vec<_>>();
    let fields = serde_json::json!({
        "label": arguments.label.as_ref().map(|Label(label)| label),
        "services": services,
        "allow": texts(arguments.allow.iter().map(ToString::to_string).collect()),
        "reverse": texts(arguments.allow_reverse.iter().map(ToString::to_string).collect()),
        "expires": arguments.expires.as_ref().map(|EndingTime(text)| text),
        "max_sessions": arguments.max_sessions,
        "once": arguments.once.then_some(true),
        "pin": pin,
        "public_url": public_url.map(ToString::to_string),
    });
    let given = match fields {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    };
    given.to_string()
}

/// Reads a time of day, as the host writes it.
fn moment(text: &str) -> Option<SystemTime> {
    match expiry::expiry(text) {
        Ok(Expiry::At(moment)) => Some(moment),
        _ => None,
    }
}

#[cfg(test)]
#[path = "invite_tests.rs"]
mod tests;
