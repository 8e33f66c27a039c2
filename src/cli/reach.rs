//! The questions of a host about who is to reach it, and where it listens for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::machine::Machine;
use super::parse;
use super::problem::WrongValue;
use super::question::{Ask, NoAnswer, Question, ask_list, ask_until, chosen};
use crate::address::Target;
use crate::signaling::url::SignalingUrl;

/// Who may reach a host, in the order of the list.
const REACH: [&str; 3] = [
    "somebody anywhere: through a forwarded port (VS Code or the like)",
    "machines of this network: listen on every address",
    "this machine alone",
];

/// The port of a host for its network, if that is free.
const SIGNALING_PORT: u16 = 5000;

const PUBLIC_URL: Question<'_> = Question {
    text: "The address of a port that is forwarded already, or Enter to be told how to forward one",
    placeholder: "https://abc123-5000.asse.devtunnels.ms",
    default: Some(""),
    choices: &[],
    complaint: None,
};

/// Who is to reach a host.
enum Reach {
    Anywhere,
    By(SignalingUrl),
    Network,
    Machine,
}

/// Asks who is to reach a host. Returns its public address, if that is known, and where it listens, unless anywhere
/// does.
pub(super) fn ask(ask: &mut Ask<'_>, machine: Machine) -> Result<(Option<SignalingUrl>, Option<SocketAddr>), NoAnswer> {
    let url = match ask_list(ask, "Who is to reach it", &REACH.map(str::to_owned), reach)? {
        Reach::Anywhere => ask_until(ask, PUBLIC_URL, public_url)?,
        Reach::By(url) => Some(url),
        Reach::Network => return Ok((None, Some(listen_on(Ipv6Addr::UNSPECIFIED.into(), machine)))),
        Reach::Machine => return Ok((None, Some(listen_on(Ipv4Addr::LOCALHOST.into(), machine)))),
    };
    let listen = url.as_ref().map(|url| forwarded_port(ask, url, machine)).transpose()?;
    Ok((url, listen))
}

/// Reads who is to reach a host. The address that is known already is an answer, too.
fn reach(text: &str) -> Result<Reach, WrongValue> {
    match chosen(text, REACH.len()) {
        Some(0) => Ok(Reach::Anywhere),
        Some(1) => Ok(Reach::Network),
        Some(_) => Ok(Reach::Machine),
        None => parse::public_url(text).map(Reach::By),
    }
}

/// Returns where to listen without a question: the usual port, or any if that is taken.
fn listen_on(ip: IpAddr, machine: Machine) -> SocketAddr {
    let usual = SocketAddr::new(ip, SIGNALING_PORT);
    if is_taken(usual, machine) { SocketAddr::new(ip, 0) } else { usual }
}

/// Tells whether something listens there already.
fn is_taken(listen: SocketAddr, machine: Machine) -> bool {
    let ip = listen.ip();
    let host = if ip.is_unspecified() { "localhost".to_owned() } else { ip.to_string() };
    listen.port() > 0 && (machine.answers)(&Target { host, port: listen.port() }) == Some(true)
}

/// Asks where a forwarded address leads.
fn forwarded_port(ask: &mut Ask<'_>, url: &SignalingUrl, machine: Machine) -> Result<SocketAddr, NoAnswer> {
    let guess = guessed_listen(url, machine);
    let text = format!("The port of this machine that it leads to [{guess}]");
    let question = Question { text: &text, placeholder: &guess, default: Some(&guess), choices: &[], complaint: None };
    ask_until(ask, question, |text| {
        let listen = parse::host_listen(text).map_err(|error| error.to_string())?;
        if is_taken(listen, machine) {
            return Err(format!("something listens on port {} already; give another", listen.port()));
        }
        Ok(listen)
    })
}

/// Guesses where an address leads: dev tunnels have the port in their names, and an address of this machine leads to
/// its own port.
fn guessed_listen(url: &SignalingUrl, machine: Machine) -> String {
    match url.host().parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => url.port().to_string(),
        // A port of 127.0.0.1 alone would not answer there.
        Ok(ip) if (machine.addresses)().contains(&ip) => format!(":{}", url.port()),
        Ok(_) => SIGNALING_PORT.to_string(),
        Err(_) => {
            let label = url.host().split_once('.').map(|(label, _)| label).unwrap_or_default();
            let port = label.rsplit_once('-').and_then(|(_, port)| port.parse::<u16>().ok());
            port.filter(|port| *port > 0).unwrap_or(SIGNALING_PORT).to_string()
        }
    }
}

/// Parses the address of a forwarded port; none is an answer, too.
fn public_url(text: &str) -> Result<Option<SignalingUrl>, WrongValue> {
    if text.is_empty() { Ok(None) } else { parse::public_url(text).map(Some) }
}

/// Returns an address as `--listen` takes it.
pub(super) fn short_listen(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip == Ipv4Addr::LOCALHOST => address.port().to_string(),
        ip if ip == Ipv6Addr::UNSPECIFIED => format!(":{}", address.port()),
        _ => address.to_string(),
    }
}
