//! The client's upgrade request, and the server's answer to it (RFC 6455, sections 4.1 and 4.2.2).

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use httparse::Status;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

use super::answer::{HttpAnswer, MAX_ANSWER_HEAD, MAX_ANSWER_HEADERS};
use super::connect::Connect;
use super::error::{Phase, WebSocketError, printable};
use crate::http::Headers;
use crate::http::field::HeaderField;
use crate::http::proxy::Proxy;
use crate::net::transport::{Transport, Unsent};
use crate::net::websocket::SUB_PROTOCOL;
use crate::signaling::url::SignalingUrl;

/// Characters kept of a refusal's body.
pub(super) const MAX_SNIPPET: usize = 200;

/// The request of a client. It is written unchanged, so it comes from a [`SignalingUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// Host and port for the `Host` field, an IPv6 literal in brackets; without the port where it is the default.
    pub authority: String,
    /// Path and query, beginning with `/`.
    pub path: String,
    /// Name or IP literal the server's certificate must be for; used with TLS only.
    pub server_name: String,
    /// Further header fields. A `User-Agent` replaces ours.
    pub headers: Vec<HeaderField>,
    /// The proxy that connects to `authority`; `None` for a direct connection.
    pub proxy: Option<Proxy>,
}

/// A request that is being sent, and the answer so far.
#[derive(Debug)]
pub(super) struct Upgrade {
    authority: String,
    accept_key: String,
    request: Unsent,
    answer: Vec<u8>,
}

impl UpgradeRequest {
    /// Creates the request for a signaling URL, through `proxy` if there is one.
    pub fn new(url: &SignalingUrl, headers: &[HeaderField], proxy: Option<&Proxy>) -> UpgradeRequest {
        UpgradeRequest {
            authority: url.authority(),
            path: url.path().to_owned(),
            server_name: url.host().to_owned(),
            headers: headers.to_vec(),
            proxy: proxy.cloned(),
        }
    }

    /// Writes the request.
    pub(super) fn prepare(&self) -> Upgrade {
        let mut extra = String::new();
        let mut user_agent = concat!("pinhole/", env!("CARGO_PKG_VERSION"));
        for field in &self.headers {
            if field.name().eq_ignore_ascii_case("user-agent") {
                user_agent = field.value();
            } else {
                extra.push_str(&format!("{}: {}\r\n", field.name(), field.value()));
            }
        }
        let key = generate_key();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {SUB_PROTOCOL}\r\n\
             User-Agent: {user_agent}\r\n{extra}\r\n",
            path = self.path,
            authority = self.authority,
        );
        Upgrade {
            authority: self.authority.clone(),
            accept_key: derive_accept_key(key.as_bytes()),
            request: Unsent::new(request.into_bytes()),
            answer: Vec::new(),
        }
    }

    /// Returns the request for the proxy, if there is one.
    pub(super) fn connect(&self, tls: bool) -> Option<Connect> {
        let default_port = if tls { 443 } else { 80 };
        self.proxy.clone().map(|proxy| Connect::new(proxy, with_port(&self.authority, default_port)))
    }

    /// Returns the error for a TCP connection that could not be started.
    pub(super) fn unreachable(&self, tls: bool, source: io::Error) -> WebSocketError {
        match self.connect(tls) {
            Some(connect) => connect.unreachable(source),
            None => WebSocketError::Connect { authority: self.authority.clone(), source },
        }
    }
}

impl Upgrade {
    /// Returns host and port, for messages.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Writes the rest of the request and reads the answer. Returns the bytes after the answer's head once the server
    /// agreed; `None` means: wait for the next event.
    pub(super) fn advance(&mut self, transport: &mut Transport) -> Result<Option<Vec<u8>>, WebSocketError> {
        let failed = |error| WebSocketError::from_io(error, Phase::Upgrading);
        let write = self.write(transport);
        // Read the answer even if writing failed: a server that refuses early says why before it resets.
        loop {
            if let Some(leftover) = self.parse(transport)? {
                return Ok(Some(leftover));
            }
            let mut piece = [0; 1024];
            match transport.read(&mut piece) {
                Ok(0) => return Err(WebSocketError::Disconnected(Phase::Upgrading)),
                Ok(count) => self.answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return write.map(|()| None).map_err(failed);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn write(&mut self, transport: &mut Transport) -> io::Result<()> {
        if !self.request.write(transport)? {
            return Ok(());
        }
        match transport.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    fn parse(&mut self, transport: &mut Transport) -> Result<Option<Vec<u8>>, WebSocketError> {
        loop {
            if matches!(self.answer.first(), Some(21 | 22)) && !transport.is_tls() {
                // A TLS alert or handshake record.
                return Err(WebSocketError::Tls("the port speaks TLS: use wss:// instead of ws://".into()));
            }
            let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let length = match response.parse(&self.answer) {
                Ok(Status::Complete(length)) => length,
                Ok(Status::Partial) if self.answer.len() < MAX_ANSWER_HEAD => return Ok(None),
                Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                    return Err(WebSocketError::Protocol("the head of its HTTP answer has no end".into()));
                }
                Err(error) => {
                    return Err(WebSocketError::Protocol(format!(
                        "its answer is not HTTP ({error}); is the port right?"
                    )));
                }
            };
            let status = response.code.unwrap_or_default();
            let headers = Headers(response.headers);
            match status {
                101 => {
                    check_agreement(&headers, &self.accept_key)?;
                    return Ok(Some(self.answer.split_off(length)));
                }
                // Interim answers such as 103 (Early Hints) come before the real one.
                100..=199 => {}
                _ => {
                    let seconds = headers.first("retry-after").and_then(|text| text.parse().ok());
                    if let (503, Some(seconds)) = (status, seconds) {
                        return Err(WebSocketError::Busy { retry_after: Duration::from_secs(seconds) });
                    }
                    let location = headers.first("location").map(|text| printable(&text, 500));
                    let content_type = headers.first("content-type").map(|text| printable(&text, 100));
                    let server = headers.first("server").map(|text| printable(&text, 40));
                    let snippet = snippet(self.answer.split_off(length), transport);
                    let answer = HttpAnswer { status, location, content_type, server, snippet };
                    return Err(WebSocketError::Http(Box::new(answer)));
                }
            }
            self.answer.drain(..length);
        }
    }
}

fn check_agreement(headers: &Headers<'_>, accept_key: &str) -> Result<(), WebSocketError> {
    let reason = if !headers.has_token("upgrade", "websocket") {
        "its answer lacks 'Upgrade: websocket'"
    } else if !headers.has_token("connection", "upgrade") {
        "its answer lacks 'Connection: Upgrade'"
    } else if headers.first("sec-websocket-accept").as_deref() != Some(accept_key) {
        "its answer is not to this request (wrong Sec-WebSocket-Accept)"
    } else if headers.first("sec-websocket-extensions").is_some() {
        "it uses an extension that was not asked for"
    } else if headers.first("sec-websocket-protocol").is_some_and(|name| name != SUB_PROTOCOL) {
        // Some forwarders drop the field, so its absence is no refusal.
        return Err(WebSocketError::SubProtocol);
    } else {
        return Ok(());
    };
    Err(WebSocketError::Protocol(reason.into()))
}

/// Returns the beginning of a refusal's body, as far as it came together with the head.
fn snippet(mut body: Vec<u8>, transport: &mut Transport) -> String {
    let mut piece = [0; 1024];
    if body.len() < MAX_SNIPPET
        && let Ok(count) = transport.read(&mut piece)
    {
        body.extend_from_slice(&piece[..count]);
    }
    body.truncate(4 * MAX_SNIPPET);
    printable(&String::from_utf8_lossy(&body), MAX_SNIPPET)
}

/// Returns host and port, even if the port is the default one.
fn with_port(authority: &str, default_port: u16) -> String {
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => authority.to_owned(),
        _ => format!("{authority}:{default_port}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;

    use super::*;

    fn request(headers: &[(&str, &str)]) -> UpgradeRequest {
        UpgradeRequest {
            authority: "a.test:5000".into(),
            path: "/ws".into(),
            server_name: "a.test".into(),
            headers: headers.iter().map(|(name, value)| HeaderField::new(name, value).unwrap()).collect(),
            proxy: None,
        }
    }

    fn text(headers: &[(&str, &str)]) -> String {
        String::from_utf8(request(headers).prepare().request.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_request_is_complete() {
        let plain = text(&[]);
        for line in [
            "GET /ws HTTP/1.1\r\n",
            "\r\nHost: a.test:5000\r\n",
            "\r\nSec-WebSocket-Version: 13\r\n",
            "\r\nSec-WebSocket-Protocol: pinhole-signal.1\r\n",
            concat!("\r\nUser-Agent: pinhole/", env!("CARGO_PKG_VERSION"), "\r\n"),
        ] {
            assert!(plain.contains(line), "{plain}");
        }
        assert!(plain.ends_with("\r\n\r\n"));
        let extra = text(&[("user-agent", "curl/8"), ("X-Tunnel-Authorization", "tunnel t")]);
        assert!(extra.contains("User-Agent: curl/8\r\nX-Tunnel-Authorization: tunnel t\r\n\r\n"), "{extra}");
        assert_eq!(extra.to_ascii_lowercase().matches("user-agent").count(), 1);
    }

    #[test]
    fn a_proxy_is_told_the_port() {
        for (given, expected) in [
            ("a.test", "a.test:443"),
            ("a.test:5000", "a.test:5000"),
            ("[::1]", "[::1]:443"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(with_port(given, 443), expected);
        }
    }

    #[test]
    fn a_url_cannot_change_the_request() {
        let (url, _) = SignalingUrl::parse("ws://a.test/é?x=ü").unwrap();
        assert_eq!(UpgradeRequest::new(&url, &[], None).path, "/%C3%A9?x=%C3%BC");
    }

    proptest! {
        #[test]
        fn any_url_is_one_line_and_a_name(text in "(wss?://)?[a-z0-9.:@\\[\\]_-]{0,12}[/?#&=%pinéA-F+| \r\n]{0,20}") {
            if let Ok((url, _)) = SignalingUrl::parse(&text) {
                let request = UpgradeRequest::new(&url, &[], None);
                let is_plain = |byte: u8| byte.is_ascii_graphic();
                prop_assert!(request.path.starts_with('/') && request.path.bytes().all(is_plain), "{}", request.path);
                prop_assert!(request.authority.bytes().all(is_plain), "{}", request.authority);
                prop_assert!(ServerName::try_from(request.server_name.clone()).is_ok(), "{}", request.server_name);
            }
        }
    }
}
