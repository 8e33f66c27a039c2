//! SOCKS5 messages (RFC 1928), and the login by user name and password (RFC 1929).

use std::net::{Ipv4Addr, SocketAddr};

use super::address::{self, AddressError, RawAddress};
use super::credentials::Credentials;
use super::{Refusal, Request};
use crate::tunnel::AbortReason;

/// First byte of every message except those of the login.
pub(super) const VERSION: u8 = 5;

/// Longest message of a program, in bytes: a login with a user name and password of 255 each.
pub(super) const MAX_MESSAGE: usize = 3 + 255 + 255;

/// Method: no authentication.
pub(super) const NONE: u8 = 0;

/// Method: user name and password.
pub(super) const PASSWORD: u8 = 2;

/// Answer to a list without an acceptable method.
pub(super) const NO_METHOD: [u8; 2] = [VERSION, 0xff];

const LOGIN_VERSION: u8 = 1;

/// Answer to the right user name and password.
pub(super) const LOGGED_IN: [u8; 2] = [LOGIN_VERSION, 0];

/// Answer to a wrong login; the connection must end.
pub(super) const NOT_LOGGED_IN: [u8; 2] = [LOGIN_VERSION, 1];

const CONNECT: u8 = 1;
const UDP_ASSOCIATE: u8 = 3;

/// A complete message, with its length; `None` if bytes are missing.
pub(super) type Parsed<T> = Result<Option<(T, usize)>, Refusal>;

/// Parses the list of methods, and chooses the required one.
pub(super) fn methods(bytes: &[u8], credentials: Option<&Credentials>) -> Parsed<u8> {
    let [_version, count, rest @ ..] = bytes else { return Ok(None) };
    let count = usize::from(*count);
    let Some(offered) = rest.get(..count) else { return Ok(None) };
    let (needed, refusal) = match credentials {
        Some(_) => (PASSWORD, Refusal::LoginMissing),
        None => (NONE, Refusal::LoginNotWanted),
    };
    if offered.contains(&needed) { Ok(Some((needed, 2 + count))) } else { Err(refusal) }
}

/// Parses a login and checks it.
pub(super) fn login(bytes: &[u8], credentials: Option<&Credentials>) -> Parsed<()> {
    let Some((version, rest)) = bytes.split_first() else { return Ok(None) };
    if *version != LOGIN_VERSION {
        return Err(Refusal::Version(*version));
    }
    let Some((user, rest)) = counted(rest) else { return Ok(None) };
    let Some((password, rest)) = counted(rest) else { return Ok(None) };
    if !credentials.is_some_and(|credentials| credentials.are(user, password)) {
        return Err(Refusal::LoginWrong);
    }
    Ok(Some(((), bytes.len() - rest.len())))
}

/// Splits after a field that begins with its length.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// Parses a request. The command is judged once the whole request has arrived, so that nothing of it is unread when the
/// connection ends.
pub(super) fn request(bytes: &[u8]) -> Parsed<Request> {
    let Some((version, rest)) = bytes.split_first() else { return Ok(None) };
    if *version != VERSION {
        return Err(Refusal::Version(*version));
    }
    let [command, _reserved, rest @ ..] = rest else { return Ok(None) };
    let Some((address, length)) = RawAddress::decode(rest)? else { return Ok(None) };
    let request = match *command {
        CONNECT => Request::Connect(address.target()?),
        // The address is where the program will send from. Many send 0.0.0.0:0, and behind a NAT they cannot know it.
        UDP_ASSOCIATE => Request::UdpAssociate,
        command => return Err(Refusal::Command(command)),
    };
    Ok(Some((request, 3 + length)))
}

/// Encodes the answer to a request: success at `bound`, all zeros if unknown.
pub(super) fn success(bound: Option<SocketAddr>) -> Vec<u8> {
    reply(0, bound)
}

/// Encodes the answer to a request that is malformed or not supported.
pub(super) fn malformed(refusal: Refusal) -> Vec<u8> {
    let code = match refusal {
        Refusal::Command(_) => 7,
        Refusal::Address(AddressError::Type(_)) => 8,
        _ => 1,
    };
    reply(code, None)
}

/// Encodes the answer to a request that the other side could not or would not fulfil.
pub(super) fn failure(reason: AbortReason) -> Vec<u8> {
    let code = match reason {
        AbortReason::Denied => 2,
        AbortReason::Unreachable => 4,
        AbortReason::Refused => 5,
        // "TTL expired" is RFC 1928's code for an answer that did not come.
        AbortReason::Timeout => 6,
        AbortReason::Reset
        | AbortReason::FlowControl
        | AbortReason::IdInUse
        | AbortReason::Protocol
        | AbortReason::Shutdown
        | AbortReason::TooManyStreams
        | AbortReason::UnknownService
        | AbortReason::Gone
        | AbortReason::Other(_) => 1,
    };
    reply(code, None)
}

fn reply(code: u8, bound: Option<SocketAddr>) -> Vec<u8> {
    let bound = bound.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    let mut bytes = vec![VERSION, code, 0];
    address::encode_ip(bound.ip(), bound.port(), &mut bytes);
    bytes
}
