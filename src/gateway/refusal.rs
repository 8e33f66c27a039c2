//! Answers of our own: a page for people, JSON or a sentence for programs.
//!
//! They repeat nothing of the request, so nothing has to be escaped.

use serde_json::json;

use super::Malformed;
use super::answer::AnswerFault;
use super::format::Format;
use crate::http::Answer;

/// Default time to wait before trying again, in seconds.
const RETRY_AFTER: u32 = 5;

const LOGIN: &str = "Basic realm=\"pinhole\", charset=\"UTF-8\"";

/// Why a request gets no answer from a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 404: no host of this name is connected.
    NoHost,
    /// 403: the host is connected, but publishes nothing.
    NotPublic,
    /// 401: the host requires a user name and password, and they are missing or wrong.
    LoginWanted,
    /// 407: the proxy requires a host's name and its token, and they are missing or wrong.
    ProxyLogin,
    /// 407: the proxy of a client requires the user name and password that were set for it.
    ClientLogin,
    /// The host of a client's proxy could not reach the destination, or does not allow it.
    Destination {
        /// The status of the answer.
        status: u16,
        /// A stable word for programs.
        code: &'static str,
        /// What happened, as a sentence.
        message: &'static str,
        /// What to do next, as a sentence.
        advice: &'static str,
    },
    /// 403: the visitor is not allowed, or the host does not allow the destination.
    Denied,
    /// 502: the host could not reach the service, or the service ended the connection.
    ServiceDown,
    /// 502: the host went away.
    HostGone,
    /// 503: the host may be at another server, to which there is no link at the moment.
    HostAway,
    /// 504: the service, or the host, did not answer in time.
    Timeout,
    /// 408: the request did not come in time.
    SlowRequest,
    /// 503: too many connections or requests at once.
    TooMany {
        /// When to try again, in seconds.
        retry_after: u32,
    },
    /// 429: there are so many login attempts that this one was not checked.
    TooManyLogins {
        /// When to try again, in seconds.
        retry_after: u32,
    },
    /// 503: the server is being stopped.
    ShuttingDown,
    /// 502: the service's answer is not acceptable.
    BadAnswer(AnswerFault),
    /// 400 and others: the request is not acceptable.
    Malformed(Malformed),
}

impl Refusal {
    /// The status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Refusal::NoHost => 404,
            Refusal::NotPublic | Refusal::Denied => 403,
            Refusal::LoginWanted => 401,
            Refusal::ProxyLogin | Refusal::ClientLogin => 407,
            Refusal::Destination { status, .. } => status,
            Refusal::ServiceDown | Refusal::HostGone | Refusal::BadAnswer(_) => 502,
            Refusal::Timeout => 504,
            Refusal::SlowRequest => 408,
            Refusal::TooManyLogins { .. } => 429,
            Refusal::TooMany { .. } | Refusal::ShuttingDown | Refusal::HostAway => 503,
            Refusal::Malformed(problem) => problem.status(),
        }
    }

    /// Returns a stable word for programs.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::NoHost => "no-host",
            Refusal::NotPublic => "not-public",
            Refusal::LoginWanted => "login-wanted",
            Refusal::ProxyLogin | Refusal::ClientLogin => "proxy-login-wanted",
            Refusal::Destination { code, .. } => code,
            Refusal::Denied => "denied",
            Refusal::ServiceDown => "service-down",
            Refusal::HostGone => "host-gone",
            Refusal::HostAway => "host-away",
            Refusal::Timeout => "timeout",
            Refusal::SlowRequest => "slow-request",
            Refusal::TooMany { .. } => "too-many",
            Refusal::TooManyLogins { .. } => "too-many-logins",
            Refusal::ShuttingDown => "shutting-down",
            Refusal::BadAnswer(_) => "bad-answer",
            Refusal::Malformed(_) => "malformed-request",
        }
    }

    /// Returns what happened, as a sentence.
    pub fn message(self) -> String {
        match self {
            Refusal::NoHost => "No host of this name is connected.".into(),
            Refusal::NotPublic => "The host of this name does not publish a web service.".into(),
            Refusal::LoginWanted => "This service wants a user name and a password.".into(),
            Refusal::ProxyLogin => {
                "This proxy wants the name of a host and its token as user name and password.".into()
            }
            Refusal::ClientLogin => "This proxy wants the user name and password of the client's --proxy-auth.".into(),
            Refusal::Destination { message, .. } => message.into(),
            Refusal::Denied => "This is not allowed.".into(),
            Refusal::ServiceDown => "The host is connected, but its service cannot be reached.".into(),
            Refusal::HostGone => "The host's connection was lost.".into(),
            Refusal::HostAway => "The host cannot be found at the moment.".into(),
            Refusal::Timeout => "The service did not answer in time.".into(),
            Refusal::SlowRequest => "The request did not come in time.".into(),
            Refusal::TooMany { .. } => "Too many requests are in progress at the moment.".into(),
            Refusal::TooManyLogins { .. } => "Too many people are trying to log in at the moment.".into(),
            Refusal::ShuttingDown => "This server is being restarted.".into(),
            Refusal::BadAnswer(fault) => format!("The service's answer cannot be passed on: {fault}."),
            Refusal::Malformed(problem) => capitalized(&format!("{problem}.")),
        }
    }

    /// Returns what to do next, as a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Refusal::NoHost => "Check the address, or ask who runs the host whether pinhole is running there.",
            Refusal::NotPublic => "Ask who runs the host to publish the service you want.",
            Refusal::LoginWanted => "Reload the page to be asked for them, or ask who runs the host.",
            Refusal::ProxyLogin => "Set them in the program that uses the proxy, as http://name:token@server:port.",
            Refusal::ClientLogin => "Set them in the program that uses the proxy, as http://user:password@host:port.",
            Refusal::Destination { advice, .. } => advice,
            Refusal::Denied => "If it should be, ask who runs the host.",
            Refusal::ServiceDown => "Check that the service is running on the host, and on the port that is published.",
            Refusal::HostGone | Refusal::HostAway | Refusal::ShuttingDown => "Try again in a moment.",
            Refusal::Timeout => "Try again, or check whether the service is stuck.",
            Refusal::SlowRequest => "Try again.",
            Refusal::TooMany { .. } => "Try again shortly.",
            Refusal::TooManyLogins { .. } => "Yours was not looked at; try again shortly.",
            Refusal::BadAnswer(_) => "Check that what the host publishes is a web service that speaks plain HTTP/1.1.",
            Refusal::Malformed(_) => "Correct the program that sent it, or its settings.",
        }
    }

    /// Returns the answer in this format; the connection ends after it unless it is kept.
    pub(super) fn answer(self, format: Format) -> Answer {
        let (status, message, advice) = (self.status(), self.message(), self.advice());
        let answer = match format {
            Format::Page => Answer::html(status, &message, advice),
            Format::Json => {
                let error = json!({ "status": status, "code": self.code(), "message": message, "advice": advice });
                Answer::json(status, &json!({ "error": error }))
            }
            Format::Text => Answer::text(status, &format!("{message} {advice}")),
        };
        match self {
            Refusal::LoginWanted => answer.with_header("WWW-Authenticate", LOGIN),
            Refusal::ProxyLogin | Refusal::ClientLogin => answer.with_header("Proxy-Authenticate", LOGIN),
            Refusal::TooMany { retry_after } | Refusal::TooManyLogins { retry_after } => {
                answer.with_header("Retry-After", &retry_after.to_string())
            }
            Refusal::HostGone | Refusal::HostAway | Refusal::ShuttingDown => {
                answer.with_header("Retry-After", &RETRY_AFTER.to_string())
            }
            Refusal::Malformed(Malformed::Connect) => {
                answer.with_header("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
            }
            Refusal::NoHost
            | Refusal::NotPublic
            | Refusal::Destination { .. }
            | Refusal::Denied
            | Refusal::ServiceDown
            | Refusal::Timeout
            | Refusal::SlowRequest
            | Refusal::BadAnswer(_)
            | Refusal::Malformed(_) => answer,
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::framing::FramingError;
    use crate::http::Headers;

    const ALL: &[Refusal] = &[
        Refusal::NoHost,
        Refusal::NotPublic,
        Refusal::LoginWanted,
        Refusal::ProxyLogin,
        Refusal::ClientLogin,
        Refusal::Destination { status: 502, code: "refused", message: "It refused.", advice: "Start it." },
        Refusal::Denied,
        Refusal::ServiceDown,
        Refusal::HostGone,
        Refusal::HostAway,
        Refusal::Timeout,
        Refusal::SlowRequest,
        Refusal::TooMany { retry_after: 7 },
        Refusal::TooManyLogins { retry_after: 7 },
        Refusal::ShuttingDown,
        Refusal::BadAnswer(AnswerFault::Ended),
        Refusal::Malformed(Malformed::Tls),
        Refusal::Malformed(Malformed::TooLarge),
        Refusal::Malformed(Malformed::TargetTooLong),
        Refusal::Malformed(Malformed::Version),
        Refusal::Malformed(Malformed::Connect),
        Refusal::Malformed(Malformed::Loop),
        Refusal::Malformed(Malformed::Framing(FramingError::UnknownCoding)),
    ];

    fn rendered(refusal: Refusal, format: Format) -> (String, String) {
        let text = String::from_utf8(refusal.answer(format).render(false)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn each_is_a_page_json_and_a_sentence() {
        for refusal in ALL {
            let status = format!("HTTP/1.1 {} ", refusal.status());
            let (head, body) = rendered(*refusal, Format::Page);
            assert!(head.starts_with(&status) && !head.contains(" Error\r\n"), "{head}");
            assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
            assert!(head.contains("Content-Type: text/html; charset=utf-8"), "{head}");
            assert!(body.contains(refusal.advice()) && body.contains(&refusal.status().to_string()), "{body}");
            let (head, body) = rendered(*refusal, Format::Json);
            assert!(head.starts_with(&status) && head.contains("Content-Type: application/json"), "{head}");
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["error"]["status"], refusal.status());
            assert_eq!(value["error"]["code"], refusal.code());
            assert_eq!(value["error"]["message"], refusal.message());
            let (head, body) = rendered(*refusal, Format::Text);
            assert!(head.contains("Content-Type: text/plain") && head.contains("Cache-Control: no-store"), "{head}");
            assert_eq!(body, format!("{} {}\n", refusal.message(), refusal.advice()));
        }
    }

    #[test]
    fn what_a_status_wants_beside_it_is_there() {
        let head = |refusal| rendered(refusal, Format::Page).0;
        assert!(head(Refusal::LoginWanted).contains("WWW-Authenticate: Basic realm=\"pinhole\""));
        assert!(head(Refusal::ProxyLogin).contains("Proxy-Authenticate: Basic realm=\"pinhole\""));
        assert!(head(Refusal::TooMany { retry_after: 7 }).contains("Retry-After: 7\r\n"));
        assert!(head(Refusal::Malformed(Malformed::Connect)).contains("Allow: GET, "));
    }

    #[test]
    fn the_format_follows_accept() {
        let rows = [
            (&[][..], Format::Text),
            (&["*/*"], Format::Text),
            (&["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"], Format::Page),
            (&["application/json"], Format::Json),
            (&["application/json, text/plain, */*"], Format::Json),
            (&["APPLICATION/problem+JSON;q=1"], Format::Json),
            (&["application/json", "text/html"], Format::Page),
            (&["image/png"], Format::Text),
        ];
        for (values, expected) in rows {
            let fields: Vec<httparse::Header<'_>> =
                values.iter().map(|value| httparse::Header { name: "accept", value: value.as_bytes() }).collect();
            assert_eq!(Format::of(&Headers(&fields)), expected, "{values:?}");
        }
    }
}
