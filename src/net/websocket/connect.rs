//! A connection through an HTTP proxy: a CONNECT request, and the proxy's answer (RFC 9110, section 9.3.6).

use std::io::{self, Read as _};

use httparse::Status;

use super::answer::{MAX_ANSWER_HEAD, MAX_ANSWER_HEADERS};
use super::error::{Phase, WebSocketError, printable};
use super::proxy_answer::{ProxyFailure, ProxyProblem};
use crate::http::Headers;
use crate::http::proxy::Proxy;
use crate::net::transport::{Transport, Unsent};

/// Maximum number of characters of a proxy's own text in a message.
const MAX_SHOWN: usize = 300;

/// A request to a proxy that is being sent, and the answer so far.
#[derive(Debug)]
pub(super) struct Connect {
    proxy: Proxy,
    /// Host and port to connect to.
    target: String,
    request: Unsent,
    answer: Vec<u8>,
}

impl Connect {
    /// Prepares a request for a connection to `target`: host and port, in characters that an authority may have.
    pub(super) fn new(proxy: Proxy, target: String) -> Connect {
        let user_agent = concat!("pinhole/", env!("CARGO_PKG_VERSION"));
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {user_agent}\r\n");
        if let Some(authorization) = proxy.authorization() {
            request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        request.push_str("\r\n");
        Connect { proxy, target, request: Unsent::new(request.into_bytes()), answer: Vec::new() }
    }

    /// Returns the error for a failed connection to the proxy.
    pub(super) fn unreachable(&self, source: io::Error) -> WebSocketError {
        self.problem(ProxyProblem::Connect(source))
    }

    /// Writes the rest of the request and reads the answer. Returns true once the proxy has connected; bytes after its
    /// answer come from the host and are read next. False means: wait for the next event.
    pub(super) fn advance(&mut self, transport: &mut Transport) -> Result<bool, WebSocketError> {
        let failed = |error| WebSocketError::from_io(error, Phase::Proxy);
        let write = self.request.write(&mut transport.clear());
        // Read the answer even if writing failed: a proxy that refuses early says why before it resets.
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

    /// Returns where the head of a success ends, once it has arrived.
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

/// Returns the names of the ways to log in. A field may list several, each followed by parameters (RFC 9110, section
/// 11.6.1).
fn schemes(headers: &Headers<'_>) -> Vec<String> {
    let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let names = headers.tokens("proxy-authenticate").filter_map(|part| part.split_whitespace().next());
    names.filter(is_name).take(8).map(|name| printable(name, 20)).collect()
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
}
