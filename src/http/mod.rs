//! HTTP as text, without sockets: heads within limits, header fields, short answers, and the choice of a proxy.
//!
//! The signaling port uses little of HTTP: every connection carries one request, and anything but a WebSocket upgrade
//! is answered and closed.

mod answer;
pub mod field;
pub mod forwarded;
mod initiator;
#[cfg(test)]
pub(crate) mod pieces;
pub mod proxy;

use std::io::{self, Read};

use data_encoding::BASE64;
use httparse::Status;
use percent_encoding::percent_decode_str;

pub use answer::Answer;
pub(crate) use answer::COMMON;
pub use initiator::Initiator;

use forwarded::Forwarded;

/// Largest request head, in bytes, including the empty line.
pub const MAX_HEAD: usize = 8 * 1024;

/// Maximum number of header fields of a request.
pub const MAX_HEADERS: usize = 64;

/// Reads one request head piece by piece.
#[derive(Debug, Default)]
pub struct RequestReader {
    bytes: Vec<u8>,
    /// There are bytes that were not parsed yet.
    is_unseen: bool,
}

/// The result of a [`RequestReader`] so far.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Head {
    /// The head is incomplete; read again when the socket is readable.
    NeedMore,
    /// The peer closed before the head was complete.
    Ended,
    /// A complete head.
    Request(Request),
    /// This is not a request, or one that is too large.
    Bad(BadRequest),
}

/// A request, as far as the signaling port needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in its original case.
    pub method: String,
    /// The path without the query: a query may contain a pin that a person pasted into a browser.
    pub path: String,
    /// The query names an invitation. A client that knows invitations takes that out.
    pub names_invitation: bool,
    /// `Host`, if there is exactly one.
    pub host: Option<String>,
    /// The address the person used, if the request says so.
    pub site: Site,
    /// The page that caused the request, as the browser describes it.
    pub initiator: Initiator,
    /// The sender, as a proxy describes it.
    pub forwarded: Forwarded,
    /// The upgrade that the request asks for.
    pub upgrade: Upgrade,
    /// Bytes received after the head.
    pub leftover: Vec<u8>,
}

/// The address a request was sent to, as its headers claim. Untrusted text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Site {
    /// `X-Forwarded-Host` if present, otherwise `Host`.
    pub host: Option<String>,
    /// Whether a forwarder left its mark, so that `Host` may be rewritten.
    pub forwarded: bool,
}

/// A request for a WebSocket, or none (RFC 6455, section 4.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrade {
    /// Nothing: a plain request.
    None,
    /// It asks for a WebSocket.
    WebSocket {
        /// `Sec-WebSocket-Version`, if present.
        version: Option<String>,
        /// `Sec-WebSocket-Key`, if present.
        key: Option<String>,
        /// All entries of `Sec-WebSocket-Protocol`.
        protocols: Vec<String>,
    },
}

/// Why bytes are not an acceptable request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadRequest {
    /// They are not HTTP/1.x.
    NotHttp,
    /// They are the beginning of a TLS handshake.
    Tls,
    /// The head exceeds [`MAX_HEAD`] or [`MAX_HEADERS`].
    TooLarge,
}

impl Request {
    /// Returns the path without superfluous slashes, which come from an address that was copied with a slash at its
    /// end.
    pub(crate) fn plain_path(&self) -> String {
        let parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        format!("/{}", parts.join("/"))
    }

    /// Tells whether a page of another site caused it. Such a page must not talk to programs on loopback or in a
    /// private network.
    pub fn is_foreign(&self) -> bool {
        self.initiator.is_foreign(self.host.as_deref(), self.site.forwarded)
    }
}

impl RequestReader {
    /// Creates a reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a reader that begins with bytes that were read already.
    pub fn with(bytes: Vec<u8>) -> Self {
        Self { is_unseen: !bytes.is_empty(), bytes }
    }

    /// Reads until the head is complete or bad, or the stream has no more for now. Keeps at most [`MAX_HEAD`] bytes.
    ///
    /// # Errors
    /// The stream's, except `WouldBlock`, which is [`Head::NeedMore`].
    pub fn read(&mut self, stream: &mut impl Read) -> io::Result<Head> {
        loop {
            if std::mem::take(&mut self.is_unseen) {
                match parse(&self.bytes) {
                    Head::NeedMore if self.bytes.len() >= MAX_HEAD => return Ok(Head::Bad(BadRequest::TooLarge)),
                    Head::NeedMore => {}
                    head => return Ok(head),
                }
            }
            let mut piece = [0; 1024];
            let room = piece.len().min(MAX_HEAD - self.bytes.len());
            match stream.read(&mut piece[..room]) {
                Ok(0) => return Ok(Head::Ended),
                Ok(count) => self.bytes.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Head::NeedMore),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.is_unseen = true;
        }
    }
}

/// Parses the beginning of a connection: everything received so far, at most [`MAX_HEAD`] bytes.
pub fn parse(bytes: &[u8]) -> Head {
    const TLS_HANDSHAKE_RECORD: u8 = 22;
    if bytes.first() == Some(&TLS_HANDSHAKE_RECORD) {
        return Head::Bad(BadRequest::Tls);
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Head::NeedMore,
        Err(httparse::Error::TooManyHeaders) => return Head::Bad(BadRequest::TooLarge),
        Err(_) => return Head::Bad(BadRequest::NotHttp),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Head::Bad(BadRequest::NotHttp);
    };
    let headers = Headers(request.headers);
    Head::Request(Request {
        method: method.to_owned(),
        path: path_of(target).to_owned(),
        names_invitation: names_invitation(target),
        host: headers.all("host").next().filter(|_| headers.all("host").count() == 1).map(str::to_owned),
        site: Site {
            host: headers.first("x-forwarded-host").or_else(|| headers.first("host")),
            forwarded: headers.any_forwarded(),
        },
        initiator: Initiator::of(&headers),
        forwarded: Forwarded::of(&headers),
        // RFC 6455, section 4.1: only from HTTP/1.1 on.
        upgrade: if request.version == Some(0) { Upgrade::None } else { upgrade_of(&headers) },
        leftover: bytes[length..].to_vec(),
    })
}

/// Tells whether a query has a parameter `invite`, however its name is written.
fn names_invitation(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let names = query.split(['&', '?']).map(|part| part.split('=').next().unwrap_or_default());
    names.map(|name| percent_decode_str(name).decode_utf8_lossy()).any(|name| name.eq_ignore_ascii_case("invite"))
}

/// Header fields of a parsed head, found without regard to case. Values that are not UTF-8 count as absent.
pub(crate) struct Headers<'a>(pub(crate) &'a [httparse::Header<'a>]);

impl Headers<'_> {
    /// Returns the first field of that name.
    pub(crate) fn first(&self, name: &str) -> Option<String> {
        self.all(name).next().map(str::to_owned)
    }

    /// Tells whether a comma-separated field contains the token.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name).any(|found| found.eq_ignore_ascii_case(token))
    }

    /// Returns every element of the comma-separated fields of that name.
    pub(crate) fn tokens(&self, name: &str) -> impl Iterator<Item = &str> {
        self.all(name).flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
    }

    /// Returns the values of all fields of that name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.filter_map(|header| std::str::from_utf8(header.value).ok()).map(str::trim)
    }

    fn any_forwarded(&self) -> bool {
        self.0.iter().any(|header| {
            let name = header.name.to_ascii_lowercase();
            name == "forwarded" || name == "via" || name.starts_with("x-forwarded-")
        })
    }
}

/// Returns the content of a login by `Basic`: user name, colon, password (RFC 7617, section 2).
pub(crate) fn basic_login(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, token) = std::str::from_utf8(field).ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64.decode(token.trim_start().as_bytes()).ok()
}

fn path_of(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or(target)
}

fn upgrade_of(headers: &Headers<'_>) -> Upgrade {
    if !headers.has_token("upgrade", "websocket") || !headers.has_token("connection", "upgrade") {
        return Upgrade::None;
    }
    Upgrade::WebSocket {
        version: headers.first("sec-websocket-version"),
        key: headers.first("sec-websocket-key"),
        protocols: headers.tokens("sec-websocket-protocol").map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::pieces::Pieces;
    use super::*;

    const UPGRADE: &str = "GET /ws?pin=123456 HTTP/1.1\r\nHost: a.test\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: abc\r\n\
        Sec-WebSocket-Protocol: other, pinhole-signal.1\r\n\r\n";

    #[test]
    fn an_upgrade_is_understood_and_the_query_dropped() {
        let Head::Request(request) = parse(format!("{UPGRADE}rest").as_bytes()) else { panic!("a request") };
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/ws"));
        assert!(!format!("{request:?}").contains("123456"));
        assert_eq!(request.leftover, b"rest");
        assert_eq!(request.site, Site { host: Some("a.test".into()), forwarded: false });
        let expected = Upgrade::WebSocket {
            version: Some("13".into()),
            key: Some("abc".into()),
            protocols: vec!["other".into(), "pinhole-signal.1".into()],
        };
        assert_eq!(request.upgrade, expected);
    }

    #[test]
    fn an_invitation_left_in_a_query_is_noticed() {
        let rows = [
            ("/ws", false),
            ("/ws?pin=1", false),
            ("/ws?invited=1", false),
            ("/ws?x=invite", false),
            ("/invite", false),
            ("/ws?invite=k3", true),
            ("/ws?invite", true),
            ("/ws?x=1&Invite=k3", true),
            ("/ws?x=1?%69nvite=k3", true),
        ];
        for (target, expected) in rows {
            let Head::Request(request) = parse(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()) else {
                panic!("{target}")
            };
            assert_eq!(request.names_invitation, expected, "{target}");
        }
    }

    #[test]
    fn slashes_too_many_are_left_out() {
        let rows =
            [("/", "/"), ("//", "/"), ("/ws", "/ws"), ("//ws", "/ws"), ("/ws/", "/ws"), ("//ws//a/?b=//c", "/ws/a")];
        for (target, plain) in rows {
            let Head::Request(request) = parse(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()) else {
                panic!("{target}")
            };
            assert_eq!(request.plain_path(), plain, "{target}");
        }
    }

    #[test]
    fn a_head_may_come_byte_by_byte() {
        let mut reader = RequestReader::new();
        for byte in &UPGRADE.as_bytes()[..UPGRADE.len() - 1] {
            assert_eq!(reader.read(&mut Pieces(vec![vec![*byte]])).unwrap(), Head::NeedMore);
        }
        assert!(matches!(reader.read(&mut Pieces(vec![b"\n".to_vec()])).unwrap(), Head::Request(_)));
    }

    #[test]
    fn the_forwarders_idea_of_the_host_wins() {
        let text = "GET / HTTP/1.1\r\nHost: localhost:1\r\nX-Forwarded-Host: abc.test\r\n\r\n";
        let Head::Request(request) = parse(text.as_bytes()) else { panic!("a request") };
        assert_eq!(request.site, Site { host: Some("abc.test".into()), forwarded: true });
        assert_eq!(request.upgrade, Upgrade::None);
        let Head::Request(request) = parse(b"GET / HTTP/1.0\r\n\r\n") else { panic!("a request") };
        assert_eq!(request.site, Site::default());
    }

    #[test]
    fn heads_are_bounded() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), Head::Bad(BadRequest::TooLarge));
        let mut endless = Pieces(vec![b"GET / HTTP/1.1\r\nA: ".to_vec(), vec![b'a'; 100_000]]);
        let mut reader = RequestReader::new();
        assert_eq!(reader.read(&mut endless).unwrap(), Head::Bad(BadRequest::TooLarge));
        assert_eq!(reader.bytes.len(), MAX_HEAD);
    }

    #[test]
    fn other_protocols_are_recognised() {
        assert_eq!(parse(&[22, 3, 1, 2, 0, 1]), Head::Bad(BadRequest::Tls));
        assert_eq!(parse(b"SSH-2.0-x\r\n"), Head::Bad(BadRequest::NotHttp));
        assert_eq!(parse(b"\x00\x01\x02"), Head::Bad(BadRequest::NotHttp));
        let mut reader = RequestReader::new();
        assert_eq!(reader.read(&mut io::Cursor::new(b"GET / HT")).unwrap(), Head::Ended);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..MAX_HEAD)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_header_is_survived(name in "[A-Za-z-]{1,20}", value in "[ -~\\u{80}-\\u{ff}]{0,60}", target in "/[ -~]{0,30}") {
            let _ = parse(format!("GET {target} HTTP/1.1\r\n{name}: {value}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").as_bytes());
        }
    }
}
