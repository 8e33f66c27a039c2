//! Who may ask: not the page of another site, nor one that reaches this machine under a name of its own, and over TCP
//! only who has the token.

use std::net::IpAddr;

use super::reader::Request;
use super::refusal;
use crate::config::AdminToken;
use crate::http::Answer;

/// Where requests come in.
pub enum Door {
    /// A unix socket: whoever can open it is the user, or root.
    Socket,
    /// A TCP port, which any user and any web page of this machine can reach.
    Port(AdminToken),
}

impl Door {
    /// Refuses requests that web pages of others may have caused.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Answer> {
        let host = request.host.as_deref();
        // A page must not reach this under a name of its own (DNS rebinding).
        if let Door::Port(_) = self
            && !host.is_some_and(is_own_name)
        {
            return Err(refusal(403, "use the address of this machine as a number, or localhost"));
        }
        match request.initiator.is_foreign(host, false) {
            true => Err(refusal(403, "a page of another site may not ask this")),
            false => Ok(()),
        }
    }

    /// Refuses requests without the token.
    pub(super) fn authorize(&self, request: &Request) -> Result<(), Answer> {
        let Door::Port(token) = self else { return Ok(()) };
        let given = request.authorization.as_deref().and_then(|field| field.split_once(' '));
        let is_right = given.is_some_and(|(scheme, text)| {
            scheme.eq_ignore_ascii_case("bearer") && token.is(text.trim_start_matches(' ').as_bytes())
        });
        match is_right {
            true => Ok(()),
            false => {
                let sentence =
                    "this needs the header field 'Authorization: Bearer TOKEN', with the token of this process";
                Err(refusal(401, sentence).with_header("WWW-Authenticate", "Bearer"))
            }
        }
    }
}

/// Tells whether a `Host` field names this machine as no other site can: by an address, or as localhost.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_point_here_are_own() {
        for own in ["localhost", "LOCALHOST:81", "127.0.0.1", "127.0.0.1:80", "[::1]:80", "[::1]", "10.0.0.1:9"] {
            assert!(is_own_name(own), "{own}");
        }
        for other in ["", "example.org", "localhost.example.org:80", "127.0.0.1.example.org", "a:b"] {
            assert!(!is_own_name(other), "{other}");
        }
    }
}
