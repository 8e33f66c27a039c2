//! Findings of `pinhole check`, for programs and as aligned lines for people.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::paint::Paint;
use super::text::{MAX_MESSAGE, round_trip, sanitize};
use crate::signaling::network::Network;

/// Width of the first column, in characters.
const LABEL: usize = 11;

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Finding {
    /// An address of this machine that peers are told.
    Interface {
        /// The address.
        address: IpAddr,
        /// The interface's name; empty if it is gone by now.
        name: String,
    },
    /// The result for a STUN server, once for each of its address families.
    Stun {
        /// The server as it was given: `host:port`.
        server: String,
        /// The result.
        #[serde(flatten)]
        result: StunResult,
    },
    /// The network of a side.
    Network {
        /// Which side's.
        side: Side,
        /// The facts known about it.
        #[serde(flatten)]
        network: Network,
        /// The same as a sentence.
        message: String,
    },
    /// Whether a host's signaling WebSocket answers.
    Signaling {
        /// Its URL, without the pin.
        url: String,
        /// It could be opened.
        ok: bool,
        /// How long opening took, from the TCP connection on, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        open_ms: Option<f64>,
    },
    /// What both networks mean together.
    Verdict {
        /// Whether a direct path can be expected.
        direct: Expectation,
        /// Both sides allow the relay.
        relay: bool,
        /// The same as a sentence.
        message: String,
    },
}

/// The result of asking one server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StunResult {
    /// It answered.
    Answered {
        /// The server's address.
        address: SocketAddr,
        /// Our socket that was answered first.
        local: SocketAddr,
        /// The address the server saw.
        mapped: SocketAddr,
        /// How long the answer took, in milliseconds.
        rtt_ms: f64,
    },
    /// It did not answer in time.
    Silent {
        /// The server's address.
        address: SocketAddr,
    },
    /// Not asked: this machine has no address of the server's family, or enough servers were asked.
    NotAsked {
        /// The server's address.
        address: SocketAddr,
        /// The reason.
        message: String,
    },
    /// Its name has no address.
    NotFound {
        /// The reason.
        message: String,
    },
}

/// One of two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// This machine.
    Here,
    /// The host.
    Host,
}

/// What can be expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Expectation {
    /// It should work.
    Yes,
    /// It depends on facts that are not known.
    Perhaps,
    /// It will not work.
    No,
}

/// Returns the line for people.
pub(super) fn describe(finding: &Finding, paint: &Paint) -> String {
    let clean = |text: &str| sanitize(text, MAX_MESSAGE);
    let (label, text) = match finding {
        Finding::Interface { address, name } => ("interface", format!("{address:<24} {}", clean(name))),
        Finding::Stun { server, result } => ("STUN", format!("{:<24} {}", clean(server), asked(result))),
        Finding::Network { side: Side::Here, message, .. } => ("network", paint.bold(&clean(message))),
        Finding::Network { side: Side::Host, message, .. } => ("host", clean(message)),
        Finding::Signaling { url, ok: true, open_ms } => {
            let time = open_ms.map_or(String::new(), |ms| format!(" in {}", round_trip(ms)));
            ("signaling", format!("{} answers{time}", clean(url)))
        }
        Finding::Signaling { url, ok: false, .. } => ("signaling", format!("{} does not answer", clean(url))),
        Finding::Verdict { message, .. } => ("together", paint.bold(&clean(message))),
    };
    // Trailing blanks come from a column that is empty.
    format!("{label:<LABEL$} {text}").trim_end().to_owned()
}

fn asked(result: &StunResult) -> String {
    match result {
        StunResult::Answered { address, mapped, rtt_ms, .. } => {
            format!("{} answers in {}, sees {mapped}", family(*address), round_trip(*rtt_ms))
        }
        StunResult::Silent { address } => format!("{} no answer", family(*address)),
        StunResult::NotAsked { address, message } => format!("{} {}", family(*address), sanitize(message, MAX_MESSAGE)),
        StunResult::NotFound { message } => sanitize(message, MAX_MESSAGE),
    }
}

fn family(address: SocketAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signaling::network::{Mapping, Udp};

    fn stun(server: &str, result: StunResult) -> Finding {
        Finding::Stun { server: server.to_owned(), result }
    }

    fn all() -> Vec<(Finding, &'static str, &'static str)> {
        let server: SocketAddr = "74.125.250.129:19302".parse().unwrap();
        let network = Network { udp: Udp::Open, mapping: Mapping::Dependent, ..Network::unknown(true, true) };
        vec![
            (
                Finding::Interface { address: "192.168.1.2".parse().unwrap(), name: "wlan0".to_owned() },
                "interface   192.168.1.2              wlan0",
                r#"{"event":"interface","address":"192.168.1.2","name":"wlan0"}"#,
            ),
            (
                stun(
                    "stun.l.google.com:19302",
                    StunResult::Answered {
                        address: server,
                        local: "192.168.1.2:5000".parse().unwrap(),
                        mapped: "203.0.113.1:40000".parse().unwrap(),
                        rtt_ms: 18.25,
                    },
                ),
                "STUN        stun.l.google.com:19302  IPv4 answers in 18.2 ms, sees 203.0.113.1:40000",
                r#"{"event":"stun","server":"stun.l.google.com:19302","result":"answered","address":"74.125.250.129:19302","local":"192.168.1.2:5000","mapped":"203.0.113.1:40000","rtt_ms":18.25}"#,
            ),
            (
                stun("a:1", StunResult::Silent { address: "[2001:db8::1]:1".parse().unwrap() }),
                "STUN        a:1                      IPv6 no answer",
                r#"{"event":"stun","server":"a:1","result":"silent","address":"[2001:db8::1]:1"}"#,
            ),
            (
                stun("a:1", StunResult::NotAsked { address: server, message: "not asked".to_owned() }),
                "STUN        a:1                      IPv4 not asked",
                r#"{"event":"stun","server":"a:1","result":"not-asked","address":"74.125.250.129:19302","message":"not asked"}"#,
            ),
            (
                stun("a:1", StunResult::NotFound { message: "no\x1b[2J".to_owned() }),
                r"STUN        a:1                      no\u{1b}[2J",
                r#"{"event":"stun","server":"a:1","result":"not-found","message":"no\u001b[2J"}"#,
            ),
            (
                Finding::Network { side: Side::Here, network, message: "a symmetric NAT".to_owned() },
                "network     a symmetric NAT",
                r#"{"event":"network","side":"here","direct":true,"relay":true,"udp":"open","mapping":"dependent","ipv6":false,"message":"a symmetric NAT"}"#,
            ),
            (
                Finding::Signaling { url: "wss://h/ws".to_owned(), ok: true, open_ms: Some(120.4) },
                "signaling   wss://h/ws answers in 120 ms",
                r#"{"event":"signaling","url":"wss://h/ws","ok":true,"open_ms":120.4}"#,
            ),
            (
                Finding::Signaling { url: "wss://h/ws".to_owned(), ok: false, open_ms: None },
                "signaling   wss://h/ws does not answer",
                r#"{"event":"signaling","url":"wss://h/ws","ok":false}"#,
            ),
            (
                Finding::Network { side: Side::Host, network, message: "no NAT".to_owned() },
                "host        no NAT",
                r#"{"event":"network","side":"host","direct":true,"relay":true,"udp":"open","mapping":"dependent","ipv6":false,"message":"no NAT"}"#,
            ),
            (
                Finding::Verdict { direct: Expectation::No, relay: true, message: "relayed works".to_owned() },
                "together    relayed works",
                r#"{"event":"verdict","direct":"no","relay":true,"message":"relayed works"}"#,
            ),
        ]
    }

    #[test]
    fn findings_are_lines_for_people_and_for_programs() {
        for (finding, text, json) in all() {
            assert_eq!(describe(&finding, &Paint(false)), text);
            assert_eq!(serde_json::to_string(&finding).unwrap(), json);
        }
    }

    #[test]
    fn an_event_that_holds_a_finding_is_the_finding() {
        for (finding, _, json) in all() {
            let event = crate::status::event::Event::Check(finding);
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
    }
}
