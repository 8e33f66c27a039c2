//! What a proxy did instead of connecting, and what to do about it.

use std::{fmt, io};

use crate::http::proxy::Proxy;

/// A failure of a proxy to connect; its `Display` says what to do.
#[derive(Debug)]
pub struct ProxyFailure {
    /// The proxy.
    pub proxy: Proxy,
    /// Host and port it should have connected to.
    pub target: String,
    /// What it did.
    pub problem: ProxyProblem,
}

/// The ways in which a proxy fails to connect.
#[derive(Debug)]
pub enum ProxyProblem {
    /// The proxy itself cannot be reached.
    Connect(io::Error),
    /// It answered with a status other than success.
    Refused {
        /// The HTTP status code.
        status: u16,
        /// The schemes of `Proxy-Authenticate`; empty if there are none.
        schemes: Vec<String>,
        /// Where a person has to log in.
        location: Option<String>,
    },
    /// Its answer is not HTTP, or has no end.
    Protocol(String),
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
    // Some (tinyproxy) answer 401 where others answer 407, and 500 where others answer 502.
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
