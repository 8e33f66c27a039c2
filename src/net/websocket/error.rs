//! Errors of a WebSocket, in words a person can act on.

use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use thiserror::Error;
use tungstenite::error::{CapacityError, Error as ProtocolLayerError, ProtocolError};

use super::answer::{Dialled, HttpAnswer};
use super::proxy_answer::{ProxyFailure, ProxyProblem};
use crate::fault::Fault;
use crate::net::trust;

/// State of a WebSocket; see [`super::WebSocket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection is being made.
    Connecting,
    /// The TCP connection to a proxy is being made, or the proxy connects to the host.
    Proxy,
    /// The TLS handshake is under way.
    Tls,
    /// The upgrade request is being answered.
    Upgrading,
    /// Messages flow.
    Open,
    /// A close frame went one way; the other is still to come.
    Closing,
    /// Nothing more happens.
    Closed,
}

/// Why a WebSocket could not be opened, or ended. Its `Display` is for somebody who dialled a host.
#[derive(Debug, Error)]
pub enum WebSocketError {
    /// The host name could not be resolved. Created by the caller that looked it up.
    #[error("cannot find {host}: {reason}; check the address, and that this machine has a network")]
    Dns {
        /// The name.
        host: String,
        /// The resolver's reason.
        reason: String,
    },
    /// The TCP connection could not be made.
    #[error("{}", connect_sentence(authority, source, Dialled::Host))]
    Connect {
        /// Host and port as requested.
        authority: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The proxy cannot be reached, or does not connect to the host.
    #[error("{0}")]
    Proxy(Box<ProxyFailure>),
    /// The server's certificate is not acceptable.
    #[error("the server's certificate is not trusted: {reason}")]
    Certificate {
        /// The fault, and how to correct it.
        reason: String,
        /// It may become valid without a change: a machine that was just switched on may not know the time.
        may_pass: bool,
    },
    /// TLS failed for another reason.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The connection ended too early.
    #[error("the signaling connection ended: {0}")]
    Ended(String),
    /// The upgrade request was answered with something other than 101.
    #[error("{0}")]
    Http(Box<HttpAnswer>),
    /// The upgrade request was answered with 503, and a time to wait.
    #[error("too many connections are open there; try again in {} s", .retry_after.as_secs())]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The peer broke the rules of HTTP or WebSocket.
    #[error("the other side does not follow the protocol: {0}")]
    Protocol(String),
    /// The peer speaks WebSocket, but not our sub-protocol.
    #[error("{}", subprotocol_sentence(Dialled::Host))]
    SubProtocol,
    /// A library panicked over what the peer sent.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A message is longer than [`super::MAX_MESSAGE`]: the peer's, or one of ours that was not sent.
    #[error("a message of {size} bytes is larger than the limit of {max} bytes", max = super::MAX_MESSAGE)]
    TooLarge {
        /// The message's size, as announced.
        size: usize,
    },
    /// The message does not fit behind those that wait for the network. It was not sent; the WebSocket goes on.
    #[error("the connection is too slow: {waiting} bytes wait already")]
    Full {
        /// Bytes that wait.
        waiting: usize,
    },
    /// Messages can only be sent while the WebSocket is open.
    #[error("the WebSocket is {0}, not open")]
    NotOpen(Phase),
    /// The connection ended without a closing handshake.
    #[error("{}", disconnected_sentence(*.0, Dialled::Host))]
    Disconnected(Phase),
    /// A deadline passed. Created by [`super::WebSocket::timed_out`].
    #[error("{}", timeout_sentence(*.0, Dialled::Host))]
    Timeout(Phase),
    /// Another failure of the socket.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl WebSocketError {
    /// Tells whether trying again later may help without any change.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::Disconnected(_) | Self::Timeout(_) | Self::Io(_) => true,
            Self::Http(answer) => is_passing(answer.status),
            Self::Proxy(failure) => match failure.problem {
                ProxyProblem::Connect(_) => true,
                ProxyProblem::Refused { status, .. } => is_passing(status),
                ProxyProblem::Protocol(_) => false,
            },
            Self::Busy { .. } | Self::Full { .. } | Self::Ended(_) => true,
            Self::Certificate { may_pass, .. } => *may_pass,
            Self::Tls(_)
            | Self::Protocol(_)
            | Self::SubProtocol
            | Self::TooLarge { .. }
            | Self::Fault(_)
            | Self::NotOpen(_) => false,
        }
    }

    /// Returns the sentence for somebody who dialled that program.
    pub fn sentence(&self, dialled: Dialled) -> String {
        match self {
            Self::Connect { authority, source } => connect_sentence(authority, source, dialled),
            Self::Http(answer) => answer.sentence(dialled),
            Self::SubProtocol => subprotocol_sentence(dialled),
            Self::Disconnected(phase) => disconnected_sentence(*phase, dialled),
            Self::Timeout(phase) => timeout_sentence(*phase, dialled),
            Self::Dns { .. }
            | Self::Proxy(_)
            | Self::Certificate { .. }
            | Self::Tls(_)
            | Self::Ended(_)
            | Self::Busy { .. }
            | Self::Protocol(_)
            | Self::Fault(_)
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::NotOpen(_)
            | Self::Io(_) => self.to_string(),
        }
    }

    /// Classifies an error of the transport; TLS errors travel inside of `io::Error`.
    pub(super) fn from_io(error: io::Error, phase: Phase) -> Self {
        use io::ErrorKind as Kind;
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::from_tls(tls);
        }
        match error.kind() {
            Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected => Self::Disconnected(phase),
            _ => Self::Io(error),
        }
    }

    pub(super) fn from_protocol_layer(error: ProtocolLayerError, phase: Phase) -> Self {
        match error {
            ProtocolLayerError::Io(error) => Self::from_io(error, phase),
            ProtocolLayerError::Capacity(CapacityError::MessageTooLong { size, .. }) => Self::TooLarge { size },
            ProtocolLayerError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Disconnected(phase),
            ProtocolLayerError::ConnectionClosed | ProtocolLayerError::AlreadyClosed => Self::NotOpen(Phase::Closed),
            other => Self::Protocol(other.to_string()),
        }
    }

    fn from_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => {
                let may_pass =
                    matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. });
                Self::Certificate { reason: trust::reason(error), may_pass }
            }
            rustls::Error::NoCertificatesPresented => {
                Self::Certificate { reason: "the server sent no certificate".into(), may_pass: false }
            }
            rustls::Error::InvalidMessage(_) => {
                Self::Tls(format!("the port does not seem to speak TLS ({error}); try ws:// instead of wss://"))
            }
            rustls::Error::AlertReceived(alert) => Self::Tls(alert_sentence(*alert)),
            rustls::Error::PeerIncompatible(_) => Self::Tls(format!(
                "the server speaks no version or cipher of TLS 1.2 or 1.3 that is spoken here ({error})"
            )),
            _ => Self::Tls(error.to_string()),
        }
    }
}

/// Tells whether a status may be different later. Some forwarders answer 404 while nothing is behind them.
fn is_passing(status: u16) -> bool {
    matches!(status, 404 | 408 | 425 | 429 | 500..=599)
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Proxy => "waiting for a proxy",
            Self::Tls => "in the TLS handshake",
            Self::Upgrading => "being upgraded",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        })
    }
}

/// Makes text from the network fit for a terminal: control characters become spaces, and it is cut at `max` characters.
pub(super) fn printable(text: &str, max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect::<String>().trim().to_owned()
}

/// Returns a server's reason for refusing a handshake (RFC 8446, section 6.2).
fn alert_sentence(alert: AlertDescription) -> String {
    let sentence = match alert {
        AlertDescription::UnrecognisedName => {
            "it has no certificate for the name that it was asked by: is the address right?"
        }
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => {
            "it speaks no version or cipher of TLS 1.2 or 1.3 that is spoken here, or is no pinhole server"
        }
        AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
            "it wants a certificate of its clients, and pinhole has none to show"
        }
        AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1, in which WebSockets begin",
        AlertDescription::InternalError => "something is wrong at the server: its operator has to find out what",
        _ => "it broke off the handshake",
    };
    format!("the server refused: {sentence} (alert {alert:?})")
}

fn connect_sentence(authority: &str, error: &io::Error, dialled: Dialled) -> String {
    let advice = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            return format!(
                "cannot connect to {authority}: {error}; is {dialled} still running, and is the port right?"
            );
        }
        io::ErrorKind::TimedOut => "the machine may be off, or a firewall drops the connection",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "does this machine have a network?",
        io::ErrorKind::PermissionDenied => "a local firewall or sandbox forbids it",
        _ => "check the address and the network",
    };
    format!("cannot connect to {authority}: {error}; {advice}")
}

fn subprotocol_sentence(dialled: Dialled) -> String {
    format!("the other side does not follow the protocol: it speaks another sub-protocol; is this a {dialled}?")
}

fn disconnected_sentence(phase: Phase, dialled: Dialled) -> String {
    let sentence = match phase {
        Phase::Connecting => "the connection was cut at once: is this the right port?",
        Phase::Proxy => {
            "the proxy cut the connection before it had connected: is the address of the proxy (HTTPS_PROXY, ALL_PROXY or \
             http_proxy) right?"
        }
        Phase::Tls => {
            "the connection was cut during the TLS handshake: does the port speak TLS? Use ws:// if it does not"
        }
        Phase::Upgrading => {
            return format!(
                "the connection was cut before the WebSocket was accepted: is this the signaling port of {dialled}, \
                 and is wss:// (with TLS) or ws:// (without) right?"
            );
        }
        Phase::Open | Phase::Closing | Phase::Closed => {
            "the signaling connection was cut by the other side or the network"
        }
    };
    sentence.to_owned()
}

fn timeout_sentence(phase: Phase, dialled: Dialled) -> String {
    let sentence = match phase {
        Phase::Connecting => "no answer to the connection attempt: the machine may be off, or a firewall drops it",
        Phase::Proxy => {
            "no answer from the proxy: is its address (HTTPS_PROXY, ALL_PROXY or http_proxy) right, and does it reach the \
             host?"
        }
        Phase::Tls => "no answer in the TLS handshake: does the port speak TLS? Use ws:// if it does not",
        Phase::Upgrading => {
            return format!(
                "the port takes connections but does not answer: is it the signaling port of {dialled}, and is \
                 wss:// (with TLS) or ws:// (without) right?"
            );
        }
        Phase::Open => "the other side does not answer any more",
        Phase::Closing | Phase::Closed => "the other side did not answer the close",
    };
    sentence.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_explained() {
        let refused = io::ErrorKind::ConnectionRefused.into();
        let error = WebSocketError::Connect { authority: "a.test:1".into(), source: refused };
        assert!(error.to_string().ends_with("; is pinhole host still running, and is the port right?"), "{error}");

        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = WebSocketError::from_io(io::Error::new(io::ErrorKind::InvalidData, tls), Phase::Tls);
        assert!(matches!(error, WebSocketError::Certificate { .. }), "{error}");
        assert!(error.to_string().contains("--ca FILE"), "{error}");

        let error = WebSocketError::from_io(io::ErrorKind::ConnectionReset.into(), Phase::Upgrading);
        assert!(matches!(error, WebSocketError::Disconnected(Phase::Upgrading)), "{error}");
    }

    #[test]
    fn whoever_dialled_a_server_reads_of_a_server() {
        let refused = || io::ErrorKind::ConnectionRefused.into();
        let answers = [301, 404, 400, 426, 502, 521, 200].map(|status| {
            let content_type = Some("text/html".to_owned());
            WebSocketError::Http(Box::new(HttpAnswer { status, content_type, ..HttpAnswer::default() }))
        });
        let others = [
            WebSocketError::Connect { authority: "a.test:1".into(), source: refused() },
            WebSocketError::SubProtocol,
            WebSocketError::Disconnected(Phase::Upgrading),
            WebSocketError::Timeout(Phase::Upgrading),
            WebSocketError::Timeout(Phase::Open),
            WebSocketError::Io(refused()),
        ];
        for error in answers.iter().chain(&others) {
            let expected = error.to_string().replace("pinhole host", "pinhole server");
            assert_eq!((error.sentence(Dialled::Server), error.sentence(Dialled::Host)), (expected, error.to_string()));
        }
    }

    #[test]
    fn text_from_the_network_cannot_drive_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\nc", 100), "a [2Jb  c");
        assert_eq!(printable(&"x".repeat(500), 200).len(), 200);
    }
}
