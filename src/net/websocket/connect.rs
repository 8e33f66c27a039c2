//! The way through an HTTP proxy: a CONNECT request, and the proxy's answer to it (RFC 9110, section 9.3.6).

use std::fmt;
use std::io::{self, Read as _};

use httparse::Status;

use super::client::{MAX_ANSWER_HEAD, MAX_ANSWER_HEADERS};
use super::error::{Phase, WebSocketError, printable};
use crate::http::Headers;
use crate::http::proxy::Proxy;
use crate::net::transport::{Transport, Unsent};

/// The most characters of a proxy's own text in a message.
const MAX_SHOWN: usize = 300;

/// A request on its way to a proxy, and the answer as far as it came.
#[derive(Debug)]
pub(super) struct Connect {
    proxy: Proxy,
    /// Host and port.
    target: String,
    request: Unsent,
    answer: Vec<u8>,
}

/// What a proxy did instead of connecting further; what to do about it is its `Display`.
#[derive(Debug)]
pub struct ProxyFailure {
    /// Who was asked.
    pub proxy: Proxy,
    /// Host and port it was to connect to.
    pub target: String,
    /// What it did.
    pub problem: ProxyProblem,
}

/// The kinds of what a proxy does instead of connecting further.
#[derive(Debug)]
pub enum ProxyProblem {
    /// There is no connection to the proxy itself.
    Connect(io::Error),
    /// It answered with a status other than success.
    Refused {
        /// The HTTP status code.
        status: u16,
        /// What `Proxy-Authenticate` offers; empty if it does not say.
        schemes: Vec<String>,
        /// Where a person is to log in.
        location: Option<String>,
    },
    /// Its answer is no HTTP, or has no end.
    Protocol(String),
}

impl Connect {
    /// Prepares to ask a proxy for a connection to `target`, host and port, which holds nothing but what an authority
    /// may hold.
    pub(super) fn new(proxy: Proxy, target: String) -> Connect {
        let user_agent = concat!("pinhole/", env!("CARGO_PKG_VERSION"));
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {user_agent}\r\n");
        if let Some(authorization) = proxy.authorization() {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        Connect { proxy, target, request: Unsent::new(request.into_bytes()), answer: Vec::new() }
    }

    /// The error for a connection to the proxy that failed.
    pub(super) fn unreachable(&self, source: io::Error) -> WebSocketError {
        self.problem(ProxyProblem::Connect(source))
    }

    /// Writes what is left of the request and reads the answer. `true` once the proxy has connected; the bytes behind
    /// its answer are the host's, and are read next. `false` means: wait for the next event.
    pub(super) fn advance(&mut self, transport: &mut Transport) -> Result<bool, WebSocketError> {
        let failed = |error| WebSocketError::from_io(error, Phase::Proxy);
        let write = self.request.write(&mut transport.clear());
        // The answer is read even if writing failed: a proxy that refuses early says why before it resets.
        loop {
            if let Some(length) = self.parse()? {
                transport.put_back(&self.answer[length..]);
                return Ok(true);
            }
            let mut piece = [0; 1024];
            match transport.clear().read(&mut piece) {
                Ok(0) => return Err(WebSocketError::Disconnected(Phase::Proxy)),
                Ok(count) => self.answer.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return write.map(|_| false).map_err(failed);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Returns where the head of a success ends, once it is there.
    fn parse(&mut self) -> Result<Option<usize>, WebSocketError> {
        loop {
            if matches!(self.answer.first(), Some(21 | 22)) {
                // A TLS alert or handshake record.
                return Err(self.protocol("it speaks TLS, which is not supported towards a proxy"));
            }
            let mut headers = [httparse::EMPTY_HEADER; MAX_ANSWER_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let length = match response.parse(&self.answer) {
                Ok(Status::Complete(length)) => length,
                Ok(Status::Partial) if self.answer.len() < MAX_ANSWER_HEAD => return Ok(None),
                Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                    return Err(self.protocol("the head of its answer has no end"));
                }
                Err(error) => return Err(self.protocol(&format!("its answer is not HTTP ({error})"))),
            };
            match response.code.unwrap_or_default() {
                // A success has no body, whatever its fields say.
                200..=299 => return Ok(Some(length)),
                // Interim answers come before the real one.
                100..=199 => {}
                status => {
                    let headers = Headers(response.headers);
                    let location = headers.first("location").map(|text| printable(&text, MAX_SHOWN));
                    return Err(self.problem(ProxyProblem::Refused { status, schemes: schemes(&headers), location }));
                }
            }
            self.answer.drain(..length);
        }
    }

    fn protocol(&self, reason: &str) -> WebSocketError {
        self.problem(ProxyProblem::Protocol(reason.to_owned()))
    }

    fn problem(&self, problem: ProxyProblem) -> WebSocketError {
        let failure = ProxyFailure { proxy: self.proxy.clone(), target: self.target.clone(), problem };
        WebSocketError::Proxy(Box::new(failure))
    }
}

/// The names of the ways to log in. A field may list several, each with parameters behind it (RFC 9110, section
/// 11.6.1).
fn schemes(headers: &Headers<'_>) -> Vec<String> {
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let names = headers.tokens("proxy-authenticate").filter_map(|part| part.split_whitespace().next());
    names.filter(is_name).take(8).map(|name| printable(name, 20)).collect()
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sentence(&self.proxy, &self.target, &self.problem))
    }
}

fn sentence(proxy: &Proxy, target: &str, problem: &ProxyProblem) -> String {
    let variable = proxy.variable();
    let (status, schemes, location) = match problem {
        ProxyProblem::Connect(source) => {
            return format!(
                "cannot connect to the proxy {proxy}: {source}; is {variable} right, and the proxy running?"
            );
        }
        ProxyProblem::Protocol(reason) => {
            return format!("{proxy} does not answer as an HTTP proxy does: {reason}; is {variable} right?");
        }
        ProxyProblem::Refused { status, schemes, location } => (*status, schemes, location),
    };
    let is_basic_offered = schemes.is_empty() || schemes.iter().any(|name| name.eq_ignore_ascii_case("basic"));
    // Some (tinyproxy) say 401 where others say 407, and 500 where others say 502.
    let sentence = match (status, location) {
        (401 | 407, _) if !is_basic_offered => {
            format!(
                "the proxy {proxy} wants to know who you are by {}, and pinhole can tell by Basic only: ask whoever runs \
                 the proxy",
                schemes.join(" or ")
            )
        }
        (401 | 407, _) if proxy.authorization().is_some() => {
            format!("the proxy {proxy} does not accept the user name and password in {variable}")
        }
        (401 | 407, _) => {
            format!(
                "the proxy {proxy} wants a user name and password: set {variable}=http://user:password@{proxy}, with \
                 special characters percent-encoded"
            )
        }
        (300..=399 | 511, Some(location)) => {
            format!("the proxy {proxy} wants you to open {location} in a browser first")
        }
        (403, _) => format!("the proxy {proxy} does not allow connections to {target}: ask whoever runs it"),
        (400 | 404 | 405 | 501, _) => {
            format!("{proxy} does not connect to other machines: is {variable} the address of an HTTP proxy?")
        }
        (500 | 502..=504, _) => {
            format!("the proxy {proxy} does not reach {target}: is the address right, and is the other side running?")
        }
        _ => format!("the proxy {proxy} refused to connect to {target}"),
    };
    format!("{sentence} (HTTP status {status})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::proxy::ProxyVariables;

    fn proxy(address: &str) -> Proxy {
        let variables = ProxyVariables::read(|name| (name == "HTTPS_PROXY").then(|| address.into()));
        variables.find(true, "host.test", 443).unwrap().unwrap()
    }

    fn request(address: &str) -> String {
        String::from_utf8(Connect::new(proxy(address), "host.test:443".into()).request.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_request_is_complete() {
        let agent = concat!("User-Agent: pinhole/", env!("CARGO_PKG_VERSION"), "\r\n");
        let plain = format!("CONNECT host.test:443 HTTP/1.1\r\nHost: host.test:443\r\n{agent}\r\n");
        assert_eq!(request("http://proxy.test:3128"), plain);
        let known = request("http://Aladdin:open%20sesame@proxy.test:3128");
        assert!(known.ends_with("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{known}");
    }

    #[test]
    fn what_a_proxy_says_is_explained() {
        let refused = |address, status, schemes: &[&str], location: Option<&str>| {
            let schemes = schemes.iter().map(|name| (*name).to_owned()).collect();
            let problem = ProxyProblem::Refused { status, schemes, location: location.map(str::to_owned) };
            sentence(&proxy(address), "host.test:443", &problem)
        };
        let (unknown, known) = ("http://p.test:3128", "http://u:secret@p.test:3128");
        let rows = [
            (refused(unknown, 407, &[], None), "set HTTPS_PROXY=http://user:password@p.test:3128"),
            (refused(unknown, 407, &["Negotiate", "basic"], None), "wants a user name and password"),
            (
                refused(unknown, 407, &["Negotiate", "NTLM"], None),
                "by Negotiate or NTLM, and pinhole can tell by Basic",
            ),
            (refused(known, 407, &["Basic"], None), "does not accept the user name and password in HTTPS_PROXY"),
            (refused(known, 401, &[], None), "does not accept the user name and password in HTTPS_PROXY"),
            (refused(known, 500, &[], None), "the proxy p.test:3128 does not reach host.test:443"),
            (refused(known, 403, &[], None), "does not allow connections to host.test:443"),
            (refused(unknown, 302, &[], Some("http://portal.test/")), "open http://portal.test/ in a browser"),
            (refused(unknown, 511, &[], Some("http://portal.test/")), "open http://portal.test/ in a browser"),
            (refused(unknown, 405, &[], None), "is HTTPS_PROXY the address of an HTTP proxy?"),
            (refused(unknown, 502, &[], None), "the proxy p.test:3128 does not reach host.test:443"),
            (refused(unknown, 504, &[], None), "is the other side running? (HTTP status 504)"),
            (refused(unknown, 429, &[], None), "refused to connect to host.test:443 (HTTP status 429)"),
            (refused(unknown, 302, &[], None), "refused to connect to host.test:443 (HTTP status 302)"),
        ];
        for (sentence, part) in rows {
            assert!(sentence.contains(part), "{sentence} should say: {part}");
            assert!(!sentence.contains("secret"), "{sentence}");
        }
    }
}
