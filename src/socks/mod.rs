//! What a local program says to the client's `-D` port, and what it is told: SOCKS5 and HTTP CONNECT on one port.
//!
//! One [`Negotiation`] for each connection, without I/O and without a clock. The first byte tells the protocols apart:
//! 5 is SOCKS5 (RFC 1928; without a login, or with RFC 1929's), a letter is HTTP (RFC 9110, section 9.3.6; without a
//! login, or with `Basic`). SOCKS4 and SOCKS4a are refused in their own words. Datagrams of a UDP ASSOCIATE are
//! [`datagram`]'s.
//!
//! SOCKS5 is written here because no crate fits: `socks5-proto` and `socks5-impl` are under the GPL, `fast-socks5`
//! reads from asynchronous streams, `tor-socksproto` takes any password and refuses UDP ASSOCIATE, and `socker` is too
//! young to be called kept. What is left to do is a few length-prefixed fields.

mod address;
mod credentials;
pub mod datagram;
mod http;
mod socks5;

use std::fmt;
use std::mem;
use std::net::SocketAddr;

use thiserror::Error;

pub use address::AddressError;
pub use credentials::{Credentials, CredentialsError};

use crate::address::Target;
use crate::http::MAX_HEAD;
use crate::tunnel::AbortReason;

/// What SOCKS4 and SOCKS4a begin with.
const SOCKS4: u8 = 4;

/// SOCKS4's "rejected or failed".
const SOCKS4_REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// What TLS begins with: a handshake record.
const TLS: u8 = 22;

/// What a local program asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A connection. The host is a name in small letters (maybe with the root's dot) or an IP address in its normal
    /// form.
    Connect(Target),
    /// Somewhere to send datagrams to, for as long as the connection lasts.
    UdpAssociate,
}

/// Why a program got a refusal before anything was asked of the other side. What it says is for the log: it never holds
/// what the program sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The program speaks SOCKS4 or SOCKS4a.
    #[error("it speaks SOCKS4; set it to SOCKS5, or to an HTTP proxy")]
    Socks4,
    /// The program speaks TLS to the proxy itself.
    #[error("it speaks TLS to the proxy; set it to an http:// proxy, not https://")]
    Tls,
    /// The program speaks something else, which begins with this byte.
    #[error("it speaks neither SOCKS5 nor HTTP (the first byte is {0})")]
    Protocol(u8),
    /// A message after the first has the version of another protocol.
    #[error("a SOCKS5 message has the version {0}")]
    Version(u8),
    /// `--proxy-auth` is set, and the program offers no user name and password.
    #[error("it does not log in; give it the user name and password of --proxy-auth")]
    LoginMissing,
    /// The program's user name or password is wrong.
    #[error("its user name or password is wrong")]
    LoginWrong,
    /// The program insists on logging in, and `--proxy-auth` is not set.
    #[error("it insists on logging in, which only works with --proxy-auth")]
    LoginNotWanted,
    /// A SOCKS5 command other than CONNECT and UDP ASSOCIATE; 2 is BIND.
    #[error("it asks for the SOCKS5 command {0}; only CONNECT and UDP ASSOCIATE are served")]
    Command(u8),
    /// The destination is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An HTTP request other than CONNECT.
    #[error("it sends an HTTP request other than CONNECT; set it to SOCKS5")]
    Method,
    /// HTTP of a version other than 1.0 and 1.1.
    #[error("its version of HTTP is not spoken here")]
    HttpVersion,
    /// It begins with a letter, and is no HTTP request.
    #[error("it speaks neither SOCKS5 nor HTTP")]
    NotHttp,
    /// The head of an HTTP request exceeds 8 KiB or 64 fields.
    #[error("the head of its HTTP request is too large")]
    TooLarge,
}

/// The server's side of one connection, up to where the stream's own data begins.
///
/// After a refusal write what [`poll_output`](Negotiation::poll_output) has, shut down the writing half, and read on
/// for a moment without looking: a socket that is closed with unread bytes resets, and the program may never see why.
pub struct Negotiation {
    credentials: Option<Credentials>,
    state: State,
    /// The message that is under way, at most [`MAX_HEAD`] bytes.
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
    /// Nothing came.
    Start,
    /// SOCKS5: the methods of authentication that the program offers come next.
    Methods,
    /// SOCKS5: user name and password come next.
    Login,
    /// SOCKS5: the request comes next.
    Request,
    /// HTTP: the head of a request is under way.
    Head,
    /// The request is complete, and was or was not taken yet.
    Asked { protocol: Protocol, request: Option<Request> },
    /// The program has its answer; what it sends is not ours.
    Answered,
    /// The program got a refusal.
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
    /// Begins with a connection that was just accepted. With credentials, only who has them is served.
    pub fn new(credentials: Option<Credentials>) -> Negotiation {
        Negotiation { credentials, state: State::Start, message: Vec::new(), output: Vec::new() }
    }

    /// Takes bytes of the program's and returns how many: all of them until the request is complete, and none behind
    /// it. Those are the stream's, and are to be kept (or left in the socket) until the request was accepted.
    ///
    /// # Errors
    /// [`Refusal`], again each time: the connection is to be ended once the output is written.
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

    /// Tells whether the next bytes may hold a login, which is then verified.
    pub fn may_log_in(&self) -> bool {
        let is_before = matches!(self.state, State::Start | State::Methods | State::Login | State::Head);
        self.credentials.is_some() && is_before
    }

    /// Returns bytes to write to the program, until `None`.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        if self.output.is_empty() { None } else { Some(mem::take(&mut self.output)) }
    }

    /// Returns the request, once. It is to be answered by [`accept`](Negotiation::accept) or
    /// [`refuse`](Negotiation::refuse).
    pub fn poll_request(&mut self) -> Option<Request> {
        match &mut self.state {
            State::Asked { request, .. } => request.take(),
            _ => None,
        }
    }

    /// Tells the program that it may proceed, which is true only after the other side's ACCEPT. `bound` is where a UDP
    /// ASSOCIATE is to send its datagrams; of a connection it may stay unknown. Does nothing unless a request waits.
    pub fn accept(&mut self, bound: Option<SocketAddr>) {
        self.answer(|protocol| match protocol {
            Protocol::Socks5 => socks5::success(bound),
            Protocol::Http => http::SUCCESS.to_vec(),
        });
    }

    /// Tells the program that its request failed; the connection is to be ended as after a [`Refusal`]. Does nothing
    /// unless a request waits.
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

    /// Adds to the message under way, and goes on to the next if it is complete. Returns how many bytes were its.
    fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let before = self.message.len();
        let limit = if matches!(self.state, State::Head) { MAX_HEAD } else { socks5::MAX_MESSAGE };
        let piece = &bytes[..bytes.len().min(limit - before)];
        self.message.extend_from_slice(piece);
        let credentials = self.credentials.as_ref();
        let parsed = match self.state {
            // Parsing begins anew each time: once a line, or a sender of single bytes would cost their square.
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
        // All that was there before was not enough, so the end is in this piece.
        Ok(length - before)
    }

    /// Says why in the protocol's words, and forgets what the program sent.
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

/// Without the message: it may hold a password.
impl fmt::Debug for Negotiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Negotiation").field("state", &self.state).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod negotiation_tests;
