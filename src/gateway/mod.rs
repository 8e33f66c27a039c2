//! The HTTP/1.1 engine of the server's web gateway and of its forward proxy, without I/O and without a clock.
//!
//! One [`Exchange`] is one accepted connection of a browser, or of a program that uses the proxy. It reads requests,
//! asks where each of them goes ([`Exchange::poll_request`]), rewrites it for the service ([`Exchange::to_service`])
//! and rewrites the answer for the browser ([`Exchange::to_browser`]). It serves the requests of a connection one after
//! the other.
//!
//! Messages of browsers and services are parsed and written anew, never passed on unread. So both sides see exactly
//! what was checked here, and a request cannot hide within another (RFC 9112, section 11.2).
//!
//! | to change | open |
//! |---|---|
//! | the course of a request | `exchange` |
//! | which requests are refused | `request`, `authority`, `framing`, `malformed` |
//! | which answers are refused | `answer` |
//! | which fields pass, and which are set | `fields` |
//! | how a body is delimited | `body`, `chunks` |
//! | the answers of our own, and their format | `refusal`, `format` |

mod answer;
mod authority;
mod body;
mod buffer;
mod chunks;
mod exchange;
mod fields;
mod format;
mod framing;
mod malformed;
mod refusal;
mod request;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::http::forwarded::{Sender, TrustedProxies};

pub use answer::AnswerFault;
pub use exchange::{Ending, Exchange, MAX_TO_BROWSER, MAX_TO_SERVICE, Stage};
pub use malformed::Malformed;
pub use refusal::Refusal;

/// Largest head of a request or of an answer, in bytes, including the empty line at its end.
pub const MAX_HEAD: usize = 64 * 1024;

/// Maximum number of fields of a head.
pub const MAX_FIELDS: usize = 100;

/// Longest target of a request, in bytes. RFC 9112, section 3, recommends at least 8000.
pub const MAX_TARGET: usize = 16 * 1024;

/// The purpose of a port of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Browsers reach services by the name in `Host`.
    Web,
    /// Programs use it as their HTTP proxy: a whole URL as the target, or CONNECT.
    Proxy,
}

/// The origin of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The address it came from.
    pub remote: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Proxies that may name the visitor behind them.
    pub proxies: Arc<TrustedProxies>,
}

/// A complete and valid head that waits for its route.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Who sent it.
    pub sender: Sender,
    /// The method, in its original case.
    pub method: String,
    /// The host in small letters, without a port, brackets or the root's dot.
    pub host: String,
    /// The port, if the request has one; always set for a proxy's request.
    pub port: Option<u16>,
    /// The target as the service will see it: a path with its query, or `*`. For a CONNECT it is `host:port`.
    pub target: String,
    /// Whether the request wants a pipe to `host` and `port`, instead of an answer of a service.
    pub is_connect: bool,
    /// Whether the request wants another protocol, such as a WebSocket.
    pub is_upgrade: bool,
    /// Whether a body follows.
    pub has_body: bool,
    /// Whether it must not go to a reused stream. If that stream turned out to be closed, the request could not be sent
    /// again, because it has a body or is not idempotent (RFC 9110, section 9.2.2).
    pub wants_fresh: bool,
    /// Whether a refusal should be JSON.
    pub wants_json: bool,
    /// The login for the service or for the gateway, if it is `Basic`.
    pub login: Option<Login>,
    /// The login for the proxy, if it is `Basic`.
    pub proxy_login: Option<Login>,
}

/// Hides the query of the target, which may be secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &path_of(&self.target))
            .field("is_connect", &self.is_connect)
            .field("has_body", &self.has_body)
            .field("login", &self.login)
            .field("proxy_login", &self.proxy_login)
            .finish_non_exhaustive()
    }
}

/// A login by `Basic` (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name, without a colon.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Whether a new stream carries it. Otherwise the stream of the last request does; that requires
    /// [`Exchange::keeps_service`] and a request without `wants_fresh`.
    pub fresh: bool,
    /// Whether `Authorization` was meant for the gateway, so that the service must not see it.
    pub strip_authorization: bool,
}

/// The outcome of a request, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finished {
    /// The method; empty for a malformed request.
    pub method: String,
    /// The host as in [`Request::host`]; empty for a malformed request.
    pub host: String,
    /// The path without its query, which may contain secrets; empty for a malformed request.
    pub path: String,
    /// The status of the answer; `None` if the connection ended before there was one.
    pub status: Option<u16>,
    /// Bytes for the browser, heads included.
    pub to_browser: u64,
    /// Bytes from the browser, heads included.
    pub from_browser: u64,
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod malformed_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod pipe_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod talk_tests;
