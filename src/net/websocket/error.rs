//! What can go wrong with a WebSocket, in words a person can act on.

use std::fmt;
use std::io;

use rustls::CertificateError;
use thiserror::Error;
use tungstenite::error::{CapacityError, Error as ProtocolLayerError, ProtocolError};

use super::connect::{ProxyFailure, ProxyProblem};
use crate::fault::Fault;

/// Where a WebSocket is in its life; see [`super::WebSocket`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection is being made.
    Connecting,
    /// The TCP connection to a proxy is being made, or the proxy is asked to connect to the host.
    Proxy,
    /// The TLS handshake is under way.
    Tls,
    /// The upgrade request is being answered.
    Upgrading,
    /// Messages flow.
    Open,
    /// A close frame went one way; the other is awaited.
    Closing,
    /// Nothing more happens.
    Closed,
}

/// Why a WebSocket could not be opened, or ended.
#[derive(Debug, Error)]
pub enum WebSocketError {
    /// The host name could not be resolved. Made by whoever looked it up.
    #[error("cannot find {host}: {reason}; check the address, and that this machine has a network")]
    Dns {
        /// The name.
        host: String,
        /// The resolver's reason.
        reason: String,
    },
    /// The TCP connection could not be made.
    #[error("cannot connect to {authority}: {source}; {advice}", advice = connect_advice(.source))]
    Connect {
        /// Host and port as asked for.
        authority: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The proxy cannot be reached, or does not connect to the host.
    #[error("{0}")]
    Proxy(Box<ProxyFailure>),
    /// The server's certificate is not acceptable.
    #[error("the server's certificate is not trusted: {reason}; pass --ca FILE if the server uses a private one")]
    Certificate {
        /// What is wrong with it.
        reason: String,
    },
    /// TLS failed for another reason.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It ended before its time.
    #[error("the signaling connection ended: {0}")]
    Ended(String),
    /// The upgrade request was answered with something other than 101.
    #[error("{}", http_sentence(*.status, .location.as_deref(), .content_type.as_deref(), .snippet))]
    Http {
        /// The status code.
        status: u16,
        /// Where a redirection points.
        location: Option<String>,
        /// What the body is.
        content_type: Option<String>,
        /// The beginning of the body, printable, at most 200 characters; may be empty.
        snippet: String,
    },
    /// What to ask for is not valid: a header field, path, or server name.
    #[error("{what} is not valid: {reason}")]
    Request {
        /// Which part.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer broke the rules of HTTP or WebSocket.
    #[error("the other side does not follow the protocol: {0}")]
    Protocol(String),
    /// A library panicked over what the peer sent.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A message is above [`super::MAX_MESSAGE`]; the peer's, or one of ours that was not sent.
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
    /// Messages can be sent while the WebSocket is open only.
    #[error("the WebSocket is {0}, not open")]
    NotOpen(Phase),
    /// The connection ended without a closing handshake.
    #[error("{}", disconnected_sentence(*.0))]
    Disconnected(Phase),
    /// Nothing happened in time. Made by [`super::WebSocket::timed_out`].
    #[error("{}", timeout_sentence(*.0))]
    Timeout(Phase),
    /// Another failure of the socket.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl WebSocketError {
    /// Whether trying again later may help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::Disconnected(_) | Self::Timeout(_) | Self::Io(_) => true,
            Self::Http { status, .. } => is_passing(*status),
            Self::Proxy(failure) => match failure.problem {
                ProxyProblem::Connect(_) => true,
                ProxyProblem::Refused { status, .. } => is_passing(status),
                ProxyProblem::Protocol(_) => false,
            },
            Self::Full { .. } | Self::Ended(_) => true,
            Self::Certificate { .. }
            | Self::Tls(_)
            | Self::Request { .. }
            | Self::Protocol(_)
            | Self::TooLarge { .. }
            | Self::Fault(_)
            | Self::NotOpen(_) => false,
        }
    }

    pub(super) fn request(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Request { what: what.into(), reason: reason.into() }
    }

    /// Sorts an error of the transport; TLS errors travel inside of `io::Error`.
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
            rustls::Error::InvalidCertificate(error) => Self::Certificate { reason: certificate_reason(error) },
            rustls::Error::NoCertificatesPresented => {
                Self::Certificate { reason: "the server sent no certificate".into() }
            }
            rustls::Error::InvalidMessage(_) => {
                Self::Tls(format!("the port does not seem to speak TLS ({error}); try ws:// instead of wss://"))
            }
            _ => Self::Tls(error.to_string()),
        }
    }
}

/// Whether a status may be another one later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
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

/// Text from the network made fit for a terminal: control characters become spaces, and it is cut at `max` characters.
pub(super) fn printable(text: &str, max: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max).collect::<String>().trim().to_owned()
}

fn certificate_reason(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "this machine does not know the authority that signed it".into(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired (is this machine's clock right?)".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (is this machine's clock right?)".into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it belongs to another name ({error})")
        }
        other => other.to_string(),
    }
}

fn connect_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "is pinhole host still running, and is the port right?",
        io::ErrorKind::TimedOut => "the machine may be off, or a firewall drops the connection",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => "does this machine have a network?",
        io::ErrorKind::PermissionDenied => "a local firewall or sandbox forbids it",
        _ => "check the address and the network",
    }
}

fn http_sentence(status: u16, location: Option<&str>, content_type: Option<&str>, snippet: &str) -> String {
    const PRIVATE: &str = "the port is private: in VS Code set its visibility to Public, or pass \
        --header 'X-Tunnel-Authorization: tunnel <token>'";
    let is_html = content_type.is_some_and(|kind| kind.to_ascii_lowercase().contains("html"));
    let sentence = match (status, location) {
        (401 | 403, _) => PRIVATE.into(),
        (300..=399, Some(target)) if is_login(target) => PRIVATE.into(),
        (300..=399, Some(target)) => format!("the address has moved: use {} instead", websocket_url(target)),
        (404, _) => {
            "nothing answers at this path: check the address, and that the port of pinhole host is forwarded".into()
        }
        (200..=299, _) if is_html && asks_to_sign_in(snippet) => PRIVATE.into(),
        (200..=299, _) if is_html => {
            "a web page answered instead of a WebSocket: is this the signaling port that pinhole host printed?".into()
        }
        (200..=299, _) => "the port answers HTTP, but not as pinhole's WebSocket does: is it the right port?".into(),
        (426, _) => "the server wants another version of the WebSocket protocol".into(),
        (429, _) => "the server says that there were too many requests: wait before trying again".into(),
        (502..=504, _) => {
            "the forwarder does not reach pinhole host, or the host is busy: is it running, and is its port the one \
             that is forwarded?"
                .into()
        }
        _ => "the server refused the WebSocket".to_owned(),
    };
    // Pages of HTML help nobody at a terminal.
    let detail = if snippet.is_empty() || is_html { String::new() } else { format!(": {snippet}") };
    format!("{sentence} (HTTP status {status}{detail})")
}

/// The address as pinhole is given it: redirections name `https`, for browsers.
fn websocket_url(location: &str) -> String {
    match location.strip_prefix("http") {
        Some(rest) if rest.starts_with("s://") || rest.starts_with("://") => format!("ws{rest}"),
        _ => location.to_owned(),
    }
}

fn is_login(location: &str) -> bool {
    let location = location.to_ascii_lowercase();
    ["login", "signin", "sign-in", "sign_in", "/auth", "oauth", "/.auth"].iter().any(|mark| location.contains(mark))
}

/// Whether the beginning of a page is that of one where people sign in; its title is usually there.
fn asks_to_sign_in(page: &str) -> bool {
    let page = page.to_ascii_lowercase();
    ["sign in", "sign-in", "signin", "log in", "login"].iter().any(|mark| page.contains(mark))
}

fn disconnected_sentence(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "the connection was cut at once: is this the right port?",
        Phase::Proxy => {
            "the proxy cut the connection before it had connected: is the address of the proxy (HTTPS_PROXY, ALL_PROXY or \
             http_proxy) right?"
        }
        Phase::Tls => {
            "the connection was cut during the TLS handshake: does the port speak TLS? Use ws:// if it does not"
        }
        Phase::Upgrading => {
            "the connection was cut before the WebSocket was accepted: is this the signaling port of pinhole host, \
             and is wss:// (with TLS) or ws:// (without) right?"
        }
        Phase::Open | Phase::Closing | Phase::Closed => {
            "the signaling connection was cut by the other side or the network"
        }
    }
}

fn timeout_sentence(phase: Phase) -> &'static str {
    match phase {
        Phase::Connecting => "no answer to the connection attempt: the machine may be off, or a firewall drops it",
        Phase::Proxy => {
            "no answer from the proxy: is its address (HTTPS_PROXY, ALL_PROXY or http_proxy) right, and does it reach the \
             host?"
        }
        Phase::Tls => "no answer in the TLS handshake: does the port speak TLS? Use ws:// if it does not",
        Phase::Upgrading => {
            "the port takes connections but does not answer: is it the signaling port of pinhole host, and is wss:// \
             (with TLS) or ws:// (without) right?"
        }
        Phase::Open => "the other side does not answer any more",
        Phase::Closing | Phase::Closed => "the other side did not answer the close",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(status: u16, location: Option<&str>, content_type: Option<&str>, snippet: &str) -> String {
        let (location, content_type) = (location.map(str::to_owned), content_type.map(str::to_owned));
        WebSocketError::Http { status, location, content_type, snippet: snippet.into() }.to_string()
    }

    #[test]
    fn answers_are_explained() {
        let rows = [
            (http(401, None, None, ""), "set its visibility to Public"),
            (http(403, None, None, ""), "X-Tunnel-Authorization: tunnel <token>"),
            (http(302, Some("https://login.test/x"), None, ""), "the port is private"),
            (http(301, Some("https://b.test/ws"), None, ""), "use wss://b.test/ws instead"),
            (http(302, Some("/login?next=/ws"), Some("text/html"), ""), "the port is private"),
            (http(307, Some("https://github.test/codespaces/auth/x"), None, ""), "the port is private"),
            (http(302, None, None, ""), "refused"),
            (
                http(401, None, Some("text/html"), "<p>no"),
                "Public, or pass --header 'X-Tunnel-Authorization: tunnel <t",
            ),
            (
                http(404, None, Some("text/html"), "<p>no"),
                "that the port of pinhole host is forwarded (HTTP status 404)",
            ),
            (http(200, None, Some("text/html"), "<!DOCTYPE html><title>Sign in to"), "the port is private"),
            (http(404, None, None, ""), "nothing answers at this path"),
            (http(200, None, Some("text/HTML"), "<p>"), "a web page answered instead of a WebSocket"),
            (http(200, None, Some("text/plain"), "hi"), "(HTTP status 200: hi)"),
            (http(503, None, None, ""), "is it running"),
            (http(418, None, None, ""), "(HTTP status 418)"),
        ];
        for (sentence, part) in rows {
            assert!(sentence.contains(part), "{sentence} should say: {part}");
        }
    }

    #[test]
    fn causes_are_explained() {
        let refused = io::ErrorKind::ConnectionRefused.into();
        let error = WebSocketError::Connect { authority: "a.test:1".into(), source: refused };
        assert!(error.to_string().contains("is pinhole host still running, and is the port right?"), "{error}");

        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = WebSocketError::from_io(io::Error::new(io::ErrorKind::InvalidData, tls), Phase::Tls);
        assert!(matches!(error, WebSocketError::Certificate { .. }), "{error}");
        assert!(error.to_string().contains("--ca FILE"), "{error}");

        let error = WebSocketError::from_io(io::ErrorKind::ConnectionReset.into(), Phase::Upgrading);
        assert!(matches!(error, WebSocketError::Disconnected(Phase::Upgrading)), "{error}");
    }

    #[test]
    fn text_from_the_network_cannot_drive_a_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\nc", 100), "a [2Jb  c");
        assert_eq!(printable(&"x".repeat(500), 200).len(), 200);
    }
}
