//! Heads of requests: which are malformed, and what the service gets of the others.

mod reader;

use httparse::Header;

use super::authority::Authority;
use super::fields::{self, Forgeries, Options};
use super::format::Format;
use super::framing::Framing;
use super::malformed::Malformed;
use super::{Finished, Kind, Login, MAX_FIELDS, MAX_TARGET, Request, Visitor, path_of};
use crate::http::forwarded::{Forwarded, Sender};
use crate::http::{Headers, basic_login};

pub(super) use reader::HeadReader;

/// How often a request may pass here. A service behind two gateways is possible; a service that is the gateway itself
/// would make the request loop without end.
const MAX_ROUNDS: usize = 4;

/// A checked head, as far as it matters after routing.
pub(super) struct RequestHead {
    /// The outcome, for the log.
    pub(super) record: Finished,
    pub(super) minor_version: u8,
    /// Whether the browser's connection may carry another request.
    pub(super) keeps: bool,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// The protocols that the service may switch to.
    pub(super) protocols: Vec<String>,
    pub(super) framing: Framing,
    pub(super) format: Format,
    /// The head for the service, without the empty line and `Authorization`. Empty for a CONNECT.
    outgoing: Vec<u8>,
    /// The fields that [`Route::strip_authorization`](super::Route::strip_authorization) removes.
    authorization: Vec<u8>,
}

/// The first line of a request (RFC 9112, section 3).
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine<'a> {
    method: &'a str,
    target: &'a str,
    minor_version: u8,
}

impl<'a> RequestLine<'a> {
    /// Parses the line, without its line end.
    pub(super) fn parse(line: &'a [u8]) -> Result<RequestLine<'a>, Malformed> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (Some(method), Some(target), Some(version)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Malformed::NotHttp);
        };
        if method.is_empty() || !method.iter().copied().all(fields::is_token) {
            return Err(Malformed::NotHttp);
        }
        let minor_version = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
                return Err(Malformed::Version);
            }
            _ => return Err(Malformed::NotHttp),
        };
        if target.len() > MAX_TARGET {
            return Err(Malformed::TargetTooLong);
        }
        // RFC 9112, section 3.2: only characters that RFC 3986 allows, and no fragment. Browsers send some other
        // visible characters, too.
        if target.is_empty() || !target.iter().all(|byte| (b'!'..=b'~').contains(byte) && *byte != b'#') {
            return Err(Malformed::Target);
        }
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::NotHttp);
        Ok(RequestLine { method: text(method)?, target: text(target)?, minor_version })
    }
}

/// The destination of a request.
struct Destination {
    authority: Authority,
    port: Option<u16>,
    target: String,
}

impl RequestHead {
    /// Checks a complete head, whose lines the [`HeadReader`] has seen.
    pub(super) fn parse(kind: Kind, visitor: &Visitor, head: &[u8]) -> Result<(RequestHead, Request), Malformed> {
        let first = head.iter().position(|byte| *byte == b'\n').ok_or(Malformed::NotHttp)?;
        let line = RequestLine::parse(head[..first].strip_suffix(b"\r").ok_or(Malformed::LineEnd)?)?;
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let all = parse_fields(&head[first + 1..], &mut room)?;
        let headers = Headers(all);
        let options = Options::of(&headers).ok_or(Malformed::TooLarge)?;
        let framing = Framing::of(all, line.minor_version, false)?;
        let destination = destination(kind, line, all)?;
        let is_connect = line.method == "CONNECT";
        if is_connect && !matches!(framing, Framing::Unsaid | Framing::Length(0)) {
            return Err(Malformed::ConnectBody);
        }
        let rounds = headers.tokens("via").filter(|entry| entry.ends_with(fields::PSEUDONYM)).count();
        if rounds >= MAX_ROUNDS {
            return Err(Malformed::Loop);
        }
        // RFC 9110, section 7.8: HTTP/1.0 has no upgrade.
        let is_upgrade = line.minor_version > 0 && options.has("upgrade") && !is_connect;
        let protocols = if is_upgrade { fields::protocols(&headers).ok_or(Malformed::TooLarge)? } else { Vec::new() };
        let mut head = RequestHead {
            record: Finished {
                method: line.method.to_owned(),
                host: destination.authority.host.clone(),
                path: if is_connect { String::new() } else { path_of(&destination.target).to_owned() },
                ..Finished::default()
            },
            minor_version: line.minor_version,
            keeps: options.keep(line.minor_version),
            is_head: line.method == "HEAD",
            is_connect,
            protocols,
            framing,
            format: Format::of(&headers),
            outgoing: Vec::new(),
            authorization: Vec::new(),
        };
        let sender = visitor.proxies.sender(visitor.remote, visitor.tls, &Forwarded::of(&headers));
        if !is_connect {
            head.write(kind, &sender, &destination, all, &options);
        }
        let request = head.request(sender, &destination, all);
        Ok((head, request))
    }

    /// Tells whether a body follows.
    pub(super) fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::Unsaid | Framing::Length(0))
    }

    /// Tells whether the request may be sent twice: it is idempotent (RFC 9110, section 9.2.2) and has no body, which
    /// would not be kept.
    pub(super) fn may_be_repeated(&self) -> bool {
        let is_idempotent = matches!(&*self.record.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        is_idempotent && !self.is_connect && !self.has_body()
    }

    /// Returns the head for the service.
    pub(super) fn outgoing(&self, strip_authorization: bool) -> Vec<u8> {
        let authorization: &[u8] = if strip_authorization { &[] } else { &self.authorization };
        if self.is_connect { Vec::new() } else { [&self.outgoing[..], authorization, b"\r\n"].concat() }
    }

    fn request(&self, sender: Sender, destination: &Destination, all: &[Header<'_>]) -> Request {
        Request {
            sender,
            method: self.record.method.clone(),
            host: destination.authority.host.clone(),
            port: destination.port,
            target: destination.target.clone(),
            is_connect: self.is_connect,
            is_upgrade: !self.protocols.is_empty(),
            has_body: self.has_body(),
            wants_fresh: !self.may_be_repeated(),
            wants_json: self.format == Format::Json,
            login: login(all, "authorization"),
            proxy_login: login(all, "proxy-authorization"),
        }
    }

    fn write(&mut self, kind: Kind, sender: &Sender, destination: &Destination, all: &[Header<'_>], options: &Options) {
        let out = &mut self.outgoing;
        out.extend_from_slice(format!("{} {} HTTP/1.1\r\n", self.record.method, destination.target).as_bytes());
        fields::append(out, "Host", destination.authority.text.as_bytes());
        let forgeries = if kind == Kind::Web { Forgeries::Removed } else { Forgeries::Passed };
        // RFC 9110, section 10.1.1: an expectation in HTTP/1.0 is ignored, but the service would not know the version.
        let old: Vec<Header<'_>>;
        let passing = if self.minor_version == 0 {
            old = all.iter().filter(|field| !field.name.eq_ignore_ascii_case("expect")).copied().collect();
            &old
        } else {
            all
        };
        fields::request_fields(passing, options, forgeries, out);
        if kind == Kind::Web {
            // With its port, as the browser sent it, like nginx's $http_host: frameworks compare it with `Origin`.
            let told = sender.host.as_deref().filter(|host| Authority::parse(host).is_some());
            let host = told.unwrap_or(&destination.authority.text);
            fields::append(out, "X-Forwarded-For", sender.address.to_string().as_bytes());
            fields::append(out, "X-Forwarded-Proto", if sender.is_tls { b"https" } else { b"http" });
            fields::append(out, "X-Forwarded-Host", host.as_bytes());
        }
        fields::append_via(out, self.minor_version);
        match self.framing {
            Framing::Unsaid => {}
            Framing::Length(length) => fields::append(out, "Content-Length", length.to_string().as_bytes()),
            Framing::Chunked => fields::append(out, "Transfer-Encoding", b"chunked"),
        }
        if !self.protocols.is_empty() {
            fields::append(out, "Connection", b"Upgrade");
            fields::append(out, "Upgrade", self.protocols.join(", ").as_bytes());
        } else if !self.keeps {
            fields::append(out, "Connection", b"close");
        }
        for value in fields::values(all, "authorization") {
            fields::append(&mut self.authorization, "Authorization", value);
        }
    }
}

/// Parses the fields and the empty line after them.
fn parse_fields<'a, 'b>(lines: &'a [u8], room: &'b mut [Header<'a>]) -> Result<&'b [Header<'a>], Malformed> {
    let all = match httparse::parse_headers(lines, room) {
        Ok(httparse::Status::Complete((length, all))) if length == lines.len() => all,
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooLarge),
        Ok(_) | Err(_) => return Err(Malformed::Field),
    };
    // Everything here relies on these bytes, so they are checked again: httparse has a different check for each
    // processor.
    let is_plain = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    match all.iter().all(|field| field.name.bytes().all(fields::is_token) && field.value.iter().all(is_plain)) {
        true => Ok(all),
        false => Err(Malformed::Field),
    }
}

/// Finds the destination (RFC 9112, section 3.2 and 3.3).
fn destination(kind: Kind, line: RequestLine<'_>, all: &[Header<'_>]) -> Result<Destination, Malformed> {
    let host = host_field(all)?;
    if host.is_none() && line.minor_version > 0 {
        return Err(Malformed::NoHost);
    }
    match (kind, line.method) {
        (Kind::Web, "CONNECT") => return Err(Malformed::Connect),
        (Kind::Proxy, "CONNECT") => {
            let authority = Authority::parse(line.target).ok_or(Malformed::Target)?;
            let port = Some(authority.port.ok_or(Malformed::Target)?);
            return Ok(Destination { target: authority.text.clone(), authority, port });
        }
        _ => {}
    }
    let is_star = line.target == "*" && line.method == "OPTIONS";
    if line.target.starts_with('/') || is_star {
        return match kind {
            Kind::Web => {
                let authority = host.ok_or(Malformed::NoHost)?;
                Ok(Destination { port: authority.port, authority, target: line.target.to_owned() })
            }
            Kind::Proxy => Err(Malformed::NotForProxy),
        };
    }
    let (scheme, rest) = line.target.split_once("://").ok_or(Malformed::Target)?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" if kind == Kind::Web => 443,
        _ => return Err(Malformed::Scheme),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = Authority::parse(authority).ok_or(Malformed::Target)?;
    let target = match path {
        // RFC 9112, section 3.2.4.
        "" if line.method == "OPTIONS" => "*".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    };
    match (kind, host) {
        (Kind::Web, Some(host)) if !host.is_same(&authority, default_port) => Err(Malformed::HostDiffers),
        (Kind::Web, Some(host)) => Ok(Destination { port: host.port, authority: host, target }),
        (Kind::Web, None) => Ok(Destination { port: authority.port, authority, target }),
        // RFC 9112, section 3.2.2: a proxy uses the target alone.
        (Kind::Proxy, _) => Ok(Destination { port: Some(authority.port.unwrap_or(default_port)), authority, target }),
    }
}

/// Returns `Host`, if there is one. RFC 9112, section 3.2: at most one, and a valid one.
fn host_field(all: &[Header<'_>]) -> Result<Option<Authority>, Malformed> {
    let mut hosts = fields::values(all, "host");
    let Some(host) = hosts.next() else { return Ok(None) };
    if hosts.next().is_some() {
        return Err(Malformed::Host);
    }
    let host = std::str::from_utf8(host).ok().and_then(Authority::parse);
    host.map(Some).ok_or(Malformed::Host)
}

/// Returns the login if exactly one field has one; of two, it is unclear which is meant.
fn login(all: &[Header<'_>], name: &str) -> Option<Login> {
    let mut logins = fields::values(all, name);
    let field = logins.next().filter(|_| logins.next().is_none())?;
    let pair = String::from_utf8(basic_login(field)?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some(Login { user: user.to_owned(), password: password.to_owned() })
}
