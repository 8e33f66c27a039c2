//! The client's `-D` port as a state machine: SOCKS5 and HTTP on one port.
//!
//! There is one [`Negotiation`] for each connection, without I/O and without a clock. The first byte selects the
//! protocol: 5 is SOCKS5 (RFC 1928; without a login, or with RFC 1929's), a letter is HTTP. Of HTTP, CONNECT is served
//! here (RFC 9110, section 9.3.6; without a login, or with `Basic`); other requests are left to the gateway's engine.
//! SOCKS4 and SOCKS4a are refused in their own protocol. [`datagram`] handles datagrams of a UDP ASSOCIATE.
//!
//! SOCKS5 is implemented here because no crate fits: `socks5-proto` and `socks5-impl` are under the GPL, `fast-socks5`
//! reads from asynchronous streams, `tor-socksproto` accepts any password and refuses UDP ASSOCIATE, and `socker` is
//! too young to count as maintained. The protocol is only a few length-prefixed fields.

mod address;
mod credentials;
pub mod datagram;
mod http;
mod socks5;

use std::fmt;
use std::mem;
use std::net::SocketAddr;

use thiserror::Error;

pub use address::{AddressError, destination};
pub use credentials::{Credentials, CredentialsError};
pub use http::{Explanation, explain};

use crate::address::Target;
use crate::http::MAX_HEAD;
use crate::tunnel::AbortReason;

/// First byte of SOCKS4 and SOCKS4a.
const SOCKS4: u8 = 4;

/// SOCKS4's "rejected or failed".
const SOCKS4_REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// First byte of TLS: a handshake record.
const TLS: u8 = 22;

/// The request of a local program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A connection. The host is a name in small letters (perhaps with the root's dot) or an IP address in its normal
    /// form.
    Connect(Target),
    /// A relay for datagrams, for as long as the connection lasts.
    UdpAssociate,
    /// Plain requests of HTTP, which begin with these bytes. They are answered one by one, so neither
    /// [`accept`](Negotiation::accept) nor [`refuse`](Negotiation::refuse) has anything to say.
    Http(Vec<u8>),
}

/// Why a program was refused before the other side was asked. Its text is for the log, and never contains what the
/// program sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The program speaks SOCKS4 or SOCKS4a.
    #[error("it speaks SOCKS4; set it to SOCKS5, or to an HTTP proxy")]
    Socks4,
    /// The program speaks TLS to the proxy itself.
    #[error("it speaks TLS to the proxy; set it to an http:// proxy, not https://")]
    Tls,
    /// The program speaks another protocol, which begins with this byte.
    #[error("it speaks neither SOCKS5 nor HTTP (the first byte is {0})")]
    Protocol(u8),
    /// A message after the first has another version.
    #[error("a SOCKS5 message has the version {0}")]
    Version(u8),
    /// `--proxy-auth` is set, and the program offers no user name and password.
    #[error("it does not log in; give it the user name and password of --proxy-auth")]
    LoginMissing,
    /// The program's user name or password is wrong.
    #[error("its user name or password is wrong")]
    LoginWrong,
    /// The program insists on logging in, but `--proxy-auth` is not set.
    #[error("it insists on logging in, which only works with --proxy-auth")]
    LoginNotWanted,
    /// A SOCKS5 command other than CONNECT and UDP ASSOCIATE; 2 is BIND.
    #[error("it asks for the SOCKS5 command {0}; only CONNECT and UDP ASSOCIATE are served")]
    Command(u8),
    /// The destination is invalid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// HTTP of a version other than 1.0 and 1.1.
    #[error("its version of HTTP is not supported")]
    HttpVersion,
    /// It begins with a letter, but is not an HTTP request.
    #[error("it speaks neither SOCKS5 nor HTTP")]
    NotHttp,
    /// The head of an HTTP request exceeds 8 KiB or 64 fields.
    #[error("the head of its HTTP request is too large")]
    TooLarge,
}

/// The server's side of one connection, until the stream's own data begins.
///
/// After a refusal, write the output of [`poll_output`](Negotiation::poll_output), shut down the writing half, then
/// read and discard for a moment: closing a socket with unread bytes resets it, and the program might never see why.
pub struct Negotiation {
    credentials: Option<Credentials>,
    state: State,
    /// The message that is arriving, at most [`MAX_HEAD`] bytes.
    message: Vec<u8>,
    output: Vec<u8>,
}

/// ```text
///            5                                           request
///  Start ─┬────→ Methods ──→ (Login ──→) Request ──┬──────────────→ Asked ──→ Answered
///         │ letter                                 │                  accept, refuse
///         └────→ Head ─────────────────────────────┘
///
///  each of the first row ──→ Refused
/// ```
#[derive(Debug)]
enum State {
    /// Nothing was received.
    Start,
    /// SOCKS5: the program's list of authentication methods comes next.
    Methods,
    /// SOCKS5: user name and password come next.
    Login,
    /// SOCKS5: the request comes next.
    Request,
    /// HTTP: the head of a request is arriving.
    Head,
    /// The request is complete; `None` once it was polled.
    Asked { protocol: Protocol, request: Option<Request> },
    /// The program was answered; its further bytes belong to the stream.
    Answered,
    /// The program was refused.
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy)]
enum Protocol {
    Socks5,
    Http,
}

impl State {
    fn asked(protocol: Protocol) -> impl FnOnce((Request, usize)) -> (State, usize) {
        move |(request, length)| (State::Asked { protocol, request: Some(request) }, length)
    }
}

impl Negotiation {
    /// Creates it for a connection that was just accepted. With credentials, the program must log in with them.
    pub fn new(credentials: Option<Credentials>) -> Negotiation {
        Negotiation { credentials, state: State::Start, message: Vec::new(), output: Vec::new() }
    }

    /// Handles bytes of the program and returns how many were consumed: all of them until the request is complete, and
    /// none after it. Later bytes belong to the stream; keep them (or leave them in the socket) until the request is
    /// accepted.
    ///
    /// # Errors
    /// [`Refusal`], again at each call: end the connection once the output is written.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut taken = 0;
        while taken < bytes.len() {
            let rest = &bytes[taken..];
            taken += match self.state {
                State::Start => self.begin(rest[0]).map(|()| 0),
                State::Methods | State::Login | State::Request | State::Head => self.advance(rest),
                State::Asked { .. } | State::Answered => break,
                State::Refused(refusal) => return Err(refusal),
            }
            .map_err(|refusal| self.fail(refusal))?;
        }
        match self.state {
            State::Refused(refusal) => Err(refusal),
            _ => Ok(taken),
        }
    }

    /// Tells whether the next bytes may contain a login, which is then verified.
    pub fn may_log_in(&self) -> bool {
        let is_before = matches!(self.state, State::Start | State::Methods | State::Login | State::Head);
        self.credentials.is_some() && is_before
    }

    /// Returns the next bytes to write to the program, until `None`.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        if self.output.is_empty() { None } else { Some(mem::take(&mut self.output)) }
    }

    /// Returns the request, once. Answer it with [`accept`](Negotiation::accept) or [`refuse`](Negotiation::refuse).
    pub fn poll_request(&mut self) -> Option<Request> {
        match &mut self.state {
            State::Asked { request, .. } => request.take(),
            _ => None,
        }
    }

    /// Tells the program that it may proceed; call it only after the other side's ACCEPT. `bound` is the address for
    /// the datagrams of a UDP ASSOCIATE; for a connection it may be unknown. Does nothing unless a request waits.
    pub fn accept(&mut self, bound: Option<SocketAddr>) {
        self.answer(|protocol| match protocol {
            Protocol::Socks5 => socks5::success(bound),
            Protocol::Http => http::SUCCESS.to_vec(),
        });
    }

    /// Tells the program that its request failed; end the connection as after a [`Refusal`]. Does nothing unless a
    /// request waits.
    ///
    /// | reason | SOCKS5 | HTTP |
    /// |---|---|---|
    /// | denied | 2, not allowed by ruleset | 403 |
    /// | unreachable | 4, host unreachable | 502 |
    /// | refused | 5, connection refused | 502 |
    /// | timeout | 6, TTL expired | 504 |
    /// | shutdown, too many streams | 1, general failure | 503 |
    /// | others | 1, general failure | 502 |
    pub fn refuse(&mut self, reason: AbortReason) {
        self.answer(|protocol| match protocol {
            Protocol::Socks5 => socks5::failure(reason),
            Protocol::Http => http::failure(reason),
        });
    }

    fn answer(&mut self, encode: impl FnOnce(Protocol) -> Vec<u8>) {
        if let State::Asked { protocol, .. } = self.state {
            self.output.extend(encode(protocol));
            self.state = State::Answered;
        }
    }

    fn begin(&mut self, first: u8) -> Result<(), Refusal> {
        self.state = match first {
            socks5::VERSION => State::Methods,
            SOCKS4 => return Err(Refusal::Socks4),
            TLS => return Err(Refusal::Tls),
            letter if letter.is_ascii_alphabetic() => State::Head,
            other => return Err(Refusal::Protocol(other)),
        };
        Ok(())
    }

    /// Adds to the message that is arriving, and handles it once complete. Returns how many bytes belong to it.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let before = self.message.len();
        let limit = if matches!(self.state, State::Head) { MAX_HEAD } else { socks5::MAX_MESSAGE };
        let piece = &bytes[..bytes.len().min(limit - before)];
        self.message.extend_from_slice(piece);
        if let (State::Head, Some(last)) = (&self.state, http::other_than_connect(&self.message)) {
            self.message.truncate(last + 1);
            let request = Request::Http(mem::take(&mut self.message));
            self.state = State::Asked { protocol: Protocol::Http, request: Some(request) };
            return Ok(last + 1 - before);
        }
        let credentials = self.credentials.as_ref();
        let parsed = match self.state {
            // Parsing begins anew each time, so parse once per line: a sender of single bytes would cause quadratic
            // work.
            State::Head if !piece.contains(&b'\n') && self.message.len() < MAX_HEAD => None,
            State::Head => http::request(&self.message, credentials)?.map(State::asked(Protocol::Http)),
            State::Methods => socks5::methods(&self.message, credentials)?.map(|(method, length)| {
                self.output.extend([socks5::VERSION, method]);
                (if method == socks5::PASSWORD { State::Login } else { State::Request }, length)
            }),
            State::Login => socks5::login(&self.message, credentials)?.map(|((), length)| {
                self.output.extend(socks5::LOGGED_IN);
                (State::Request, length)
            }),
            State::Request => socks5::request(&self.message)?.map(State::asked(Protocol::Socks5)),
            State::Start | State::Asked { .. } | State::Answered | State::Refused(_) => None,
        };
        let Some((next, length)) = parsed else { return Ok(piece.len()) };
        self.state = next;
        self.message = Vec::new();
        // The earlier bytes were incomplete, so the end is in this piece.
        Ok(length - before)
    }

    /// Queues the refusal in the program's protocol, and forgets what the program sent.
    fn fail(&mut self, refusal: Refusal) -> Refusal {
        match self.state {
            State::Start if refusal == Refusal::Socks4 => self.output.extend(SOCKS4_REJECTED),
            State::Methods => self.output.extend(socks5::NO_METHOD),
            State::Login => self.output.extend(socks5::NOT_LOGGED_IN),
            State::Request => self.output.extend(socks5::malformed(refusal)),
            State::Head => self.output.extend(http::malformed(refusal, &self.message)),
            State::Start | State::Asked { .. } | State::Answered | State::Refused(_) => {}
        }
        self.message = Vec::new();
        self.state = State::Refused(refusal);
        refusal
    }
}

/// Hides the message, which may contain a password.
impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiation").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod negotiation_tests;
